// SPDX-License-Identifier: GPL-2.0-or-later
/* What there is to do about checksums but comparing them with the data (ctl-scrub.c). */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

#include "ctl.h"
#include "ioctl.h"
#include "settings.h"
#include "util.h"

#define XATTR XATTR_PREFIX "checksum"

/* What an action is called with, file by file. */
struct job {
	const char *mount; /* adopt: where the pool is */
	int good;	   /* repair: the copy */
	int status;
};

static int fetch_state(int fd, const char *path, struct checksum_state *state)
{
	return ioctl(fd, IOC_CHECKSUM_STATE, state) < 0 ? ctl_ioctl_trouble(path) : 0;
}

/* ===== show ===== */

static void print_state(const char *path, const struct checksum_state *s)
{
	const char *phase = !s->summed ? "none" : s->building ? "building" : "complete";

	if (ctl_json) {
		printf("{\"file\": ");
		json_string(path);
		printf(", \"checksum\": \"%s\", \"state\": \"%s\", \"size\": %lu, \"to-hash\": "
		       "%lu, \"bad\": %lu, \"errors\": %lu, \"sidecar\": %lu}\n",
		       s->summed ? "xxh3" : "off", phase, s->size, s->to_hash, s->bad, s->errors,
		       s->sidecar);
		return;
	}
	ctl_print_path(stdout, path);
	printf(": %s", phase);
	if (s->building)
		printf(", %.1f MiB to hash", s->to_hash / 1048576.0);
	if (s->summed)
		printf(", %lu bad block%s, %lu error%s since opened, %.1f MiB of checksums", s->bad,
		       s->bad == 1 ? "" : "s", s->errors, s->errors == 1 ? "" : "s",
		       s->sidecar / 1048576.0);
	putchar('\n');
}

static int show(struct job *job, const char *path)
{
	_cleanup_close_ int fd = ctl_open(path, O_RDONLY);
	struct checksum_state state = {0};

	(void)job;
	if (fd < 0 || fetch_state(fd, path, &state))
		return EXIT_TROUBLE;
	print_state(path, &state);
	return 0;
}

/* ===== build and drop ===== */

/* Until all is hashed; the file is open, so the daemon goes on. */
static int wait_built(int fd, const char *path)
{
	struct checksum_state state = {0};
	double began = ctl_now();
	uint64_t first;

	if (fetch_state(fd, path, &state))
		return EXIT_TROUBLE;
	first = state.to_hash;
	while (state.building) {
		if (ctl_progress_wanted())
			ctl_progress(path, first - MIN(state.to_hash, first), first,
				     (first - MIN(state.to_hash, first)) / (ctl_now() - began));
		ctl_sleep(0.1);
		if (fetch_state(fd, path, &state))
			return EXIT_TROUBLE;
	}
	ctl_progress_end();
	if (!state.summed)
		return ctl_trouble("%s: its checksums were dropped meanwhile", path);
	if (ctl_json)
		print_state(path, &state);
	return 0;
}

static int build(struct job *job, const char *path)
{
	_cleanup_close_ int fd = ctl_open(path, O_RDONLY);

	(void)job;
	if (fd < 0)
		return EXIT_TROUBLE;
	if (fsetxattr(fd, XATTR, "xxh3", 4, 0) < 0)
		return ctl_xattr_trouble(path, "checksum");
	return wait_built(fd, path);
}

static int drop(struct job *job, const char *path)
{
	_cleanup_close_ int fd = ctl_open(path, O_RDONLY);
	struct checksum_state state = {0};

	(void)job;
	if (fd < 0)
		return EXIT_TROUBLE;
	if (fsetxattr(fd, XATTR, "off", 3, 0) < 0)
		return ctl_xattr_trouble(path, "checksum");
	if (fetch_state(fd, path, &state))
		return EXIT_TROUBLE;
	if (ctl_json)
		print_state(path, &state);
	return 0;
}

/* ===== list-errors, and what to do about them ===== */

/* Calls EACH with every range that is listed as bad. */
static int for_errors(int fd, const char *path,
		      int (*each)(struct job *job, int fd, const char *path,
				  const struct bad_range *range, bool first),
		      struct job *job)
{
	_cleanup_free_ struct checksum_list *errors = calloc(1, sizeof(*errors));
	bool first = true;
	int status = 0;

	if (!errors)
		return ctl_trouble("out of memory");
	do {
		if (ioctl(fd, IOC_CHECKSUM_ERRORS, errors) < 0)
			return ctl_ioctl_trouble(path);
		for (unsigned i = 0; i < errors->nbad; i++) {
			status |= each(job, fd, path, &errors->bad[i], first);
			first = false;
		}
	} while (errors->position != UINT64_MAX);
	return status;
}

static int print_error(struct job *job, int fd, const char *path, const struct bad_range *range,
		       bool first)
{
	(void)job;
	(void)fd;
	ctl_print_range(path, range, first);
	return 0;
}

static int list_errors(struct job *job, const char *path)
{
	_cleanup_close_ int fd = ctl_open(path, O_RDONLY);
	int status;

	if (fd < 0)
		return EXIT_TROUBLE;
	if (ctl_json) {
		printf("{\"file\": ");
		json_string(path);
		printf(", \"bad\": [");
	}
	status = for_errors(fd, path, print_error, job);
	if (ctl_json)
		printf("]}\n");
	return status;
}

static const char *repair_block(int fd, int good, uint64_t offset)
{
	struct checksum_repair repair = {.offset = offset};

	if (pread(good, repair.data, sizeof(repair.data), offset) < 0)
		return strerror(errno);
	if (ioctl(fd, IOC_CHECKSUM_REPAIR, &repair) == 0 || errno == EALREADY)
		return NULL;
	switch (errno) {
	case EBADMSG:
		return "the copy is not what it was";
	case ENODATA:
		return "nobody knows what it was";
	default:
		return strerror(errno);
	}
}

static int repair_range(struct job *job, int fd, const char *path, const struct bad_range *range,
			bool first)
{
	int status = 0;

	(void)first;
	for (uint64_t at = range->offset; at < range->offset + range->length; at += REPAIR_BLOCK) {
		const char *trouble = repair_block(fd, job->good, at);

		if (trouble)
			status = ctl_trouble("%s: not repaired: %lu %d: %s", path, at, REPAIR_BLOCK,
					     trouble);
	}
	return status;
}

static int repair(struct job *job, const char *path)
{
	_cleanup_close_ int fd = ctl_open(path, O_RDWR);
	struct checksum_state before = {0}, after = {0};
	int status;

	if (fd < 0 || fetch_state(fd, path, &before))
		return EXIT_TROUBLE;
	status = for_errors(fd, path, repair_range, job);
	if (fetch_state(fd, path, &after))
		return EXIT_TROUBLE;
	if (ctl_json)
		print_state(path, &after);
	else
		fprintf(stderr, "%s: %lu of %lu bad blocks repaired\n", path,
			before.bad - MIN(after.bad, before.bad), before.bad);
	return status;
}

/* ===== adopt ===== */

/* A file that never had checksums is none of our business. */
static int adopt(struct job *job, const char *path)
{
	_cleanup_close_ int fd = ctl_open(path, O_RDONLY);
	_cleanup_free_ char *real = realpath(path, NULL);
	size_t n = strlen(job->mount);
	struct checksum_adopt adopt = {""};

	if (fd < 0 || !real)
		return EXIT_TROUBLE;
	if (!strncmp(real, job->mount, n) && real[n] == '/')
		snprintf(adopt.path, sizeof(adopt.path), "%s", real + n + 1);
	if (ioctl(fd, IOC_CHECKSUM_ADOPT, &adopt) < 0)
		return errno == ENOENT ? 0 : ctl_ioctl_trouble(path);
	if (ctl_json)
		json_object("file", path, NULL);
	else
		printf("%s\n", path);
	return 0;
}

/* ===== the command line ===== */

static const struct action {
	const char *name;
	int (*run)(struct job *job, const char *path);
} actions[] = {
	{"build", build}, {"show", show},     {"drop", drop}, {"list-errors", list_errors},
	{"adopt", adopt}, {"repair", repair},
};

static const struct action *find_action(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (!strcmp(actions[i].name, name))
			return &actions[i];
	return NULL;
}

struct visit {
	const struct action *action;
	struct job *job;
};

static bool visit_file(void *context, const char *path)
{
	struct visit *visit = context;

	visit->job->status |= visit->action->run(visit->job, path);
	return true;
}

static int run_all(const struct action *action, struct job *job, char **paths)
{
	struct visit visit = {action, job};

	if (!ctl_walk(paths, visit_file, &visit))
		job->status = EXIT_TROUBLE;
	return job->status;
}

static int run_adopt(const struct action *action, struct job *job, char **paths)
{
	struct ctl_mount *mount = ctl_mounts((char *[]){paths[0], NULL});
	int status = EXIT_TROUBLE;

	if (mount) {
		job->mount = mount->point;
		status = run_all(action, job, paths);
		ctl_mounts_free(mount);
	}
	return status;
}

/* Exactly one file, and a copy. */
static int run_repair(const struct action *action, struct job *job, char **paths, const char *from)
{
	_cleanup_close_ int good = -1;

	if (!from || paths[1])
		return EXIT_USAGE;
	good = open(from, O_RDONLY | O_CLOEXEC);
	if (good < 0)
		return ctl_trouble("%s: %s", from, strerror(errno));
	job->good = good;
	return action->run(job, paths[0]);
}

int ctl_checksum(int argc, char **argv)
{
	static const struct option options[] = {{"from", required_argument, NULL, 'f'}, {0}};
	const struct action *action;
	struct job job = {.good = -1};
	const char *from = NULL;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt != 'f')
			return EXIT_USAGE;
		from = optarg;
	}
	action = argc - optind > 1 ? find_action(argv[optind]) : NULL;
	if (!action)
		return EXIT_USAGE;
	if (action->run == repair)
		return run_repair(action, &job, argv + optind + 1, from);
	if (from)
		return EXIT_USAGE;
	return (action->run == adopt ? run_adopt : run_all)(action, &job, argv + optind + 1);
}
