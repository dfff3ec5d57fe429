// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The daemon reads, step by step; the file's position, and what was found so far, are kept here. So
 * a scrub outlives the daemon, and can be interrupted between any two steps.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <search.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "ctl.h"
#include "ioctl.h"
#include "util.h"

/* What bouncectl(8) says of scrub's exit status. */
enum { EXIT_BAD = 1, EXIT_UNABLE = 3 };

/* As much as a step may do, in bytes; with --rate, in seconds. */
#define STEP_MAX (64ull << 20)
#define STEP_MIN (64ull << 10)
#define STEP_SECONDS 0.1

/* Where an interrupted scrub is to go on: "POSITION READ BAD", on the file until all that was to be
 * scrubbed is. */
#define RESUME_XATTR "trusted.bouncefs.scrub"
#define SAVE_SECONDS 10

struct run {
	double rate; /* bytes a second; 0: as fast as it goes */
	bool resume;
	bool bad, unable;
	void *linked; /* the files with several names that have been scrubbed (tsearch(3)) */
};

struct file {
	const char *path;
	int fd;
	uint64_t data; /* bytes there are to read, about */
	uint64_t position, read, bad;
	uint64_t bad_before;   /* of them, until the last interruption */
	struct bad_range last; /* not printed yet: the next step may go on with it */
	double began, saved;
	uint64_t began_read;
	struct scrub_step step;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* ===== going on ===== */

static void load(struct file *f)
{
	char text[80] = "";

	if (fgetxattr(f->fd, RESUME_XATTR, text, sizeof(text) - 1) > 0)
		sscanf(text, "%lu %lu %lu", &f->position, &f->read, &f->bad);
}

static void save(struct file *f)
{
	char text[80];
	int n = snprintf(text, sizeof(text), "%lu %lu %lu", f->position, f->read, f->bad);

	/* Only root can, and not on a read-only mount: such a scrub cannot be resumed. */
	fsetxattr(f->fd, RESUME_XATTR, text, n, 0);
	f->saved = ctl_now();
}

/* ===== output ===== */

static void print_last(struct file *f)
{
	if (f->last.length)
		ctl_print_range(f->path, &f->last, f->bad++ == f->bad_before);
	f->last.length = 0;
}

static void print_ranges(struct file *f)
{
	for (unsigned i = 0; i < f->step.nbad; i++) {
		const struct bad_range *r = &f->step.bad[i];

		if (f->last.length && f->last.reason == r->reason &&
		    f->last.offset + f->last.length == r->offset) {
			f->last.length += r->length;
			continue;
		}
		print_last(f);
		f->last = *r;
	}
	if (f->step.nbad && f->last.offset + f->last.length < f->position)
		print_last(f);
}

static double speed(const struct file *f)
{
	return (f->read - f->began_read) / MAX(ctl_now() - f->began, 1e-3);
}

static void print_summary(const struct file *f, bool whole)
{
	if (ctl_json) {
		printf("], \"size\": %lu, \"read\": %lu, \"checksums\": %s, \"complete\": %s, "
		       "\"seconds\": %.3f}\n",
		       f->step.size, f->read, f->step.summed ? "true" : "false",
		       whole ? "true" : "false", ctl_now() - f->began);
		return;
	}
	ctl_progress_end();
	ctl_print_path(stderr, f->path);
	fprintf(stderr, ": %s%.1f MiB read in %.1f s, %.0f MB/s, %s, %lu bad range%s\n",
		whole ? "" : "interrupted: ", f->read / 1048576.0, ctl_now() - f->began,
		speed(f) / 1e6, f->step.summed ? "checksums compared" : "no checksums", f->bad,
		f->bad == 1 ? "" : "s");
}

/* ===== scrubbing ===== */

static uint64_t step_length(const struct run *run)
{
	uint64_t length = run->rate * STEP_SECONDS;

	return run->rate ? MIN(MAX(length, STEP_MIN), STEP_MAX) : STEP_MAX;
}

/* -errno. */
static int take_step(const struct run *run, struct file *f)
{
	f->step.position = f->position;
	f->step.length = step_length(run);
	while (ioctl(f->fd, IOC_SCRUB, &f->step) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		f->step.position = f->position;
		f->step.length = step_length(run);
		ctl_sleep(0.005);
	}
	f->position = f->step.position;
	f->read += f->step.read;
	return 0;
}

static void keep_rate(const struct run *run, const struct file *f)
{
	double ahead;

	if (!run->rate)
		return;
	ahead = (f->read - f->began_read) / run->rate - (ctl_now() - f->began);
	if (ahead > 0 && !interrupted)
		ctl_sleep(ahead);
}

/* Returns -errno where it had to stop. */
static int scrub(const struct run *run, struct file *f)
{
	int rc = take_step(run, f);

	while (rc == 0) {
		print_ranges(f);
		if (f->position >= f->step.size)
			break;
		if (ctl_progress_wanted())
			ctl_progress(f->path, f->read, f->data, speed(f));
		keep_rate(run, f);
		if (ctl_now() - f->saved > SAVE_SECONDS)
			save(f);
		rc = interrupted ? -EINTR : take_step(run, f);
	}
	print_last(f);
	return rc;
}

static void scrub_file(struct run *run, struct file *f)
{
	int rc;

	if (run->resume)
		load(f);
	f->began = f->saved = ctl_now();
	f->began_read = f->read;
	f->bad_before = f->bad;
	if (ctl_json) {
		printf("{\"file\": ");
		json_string(f->path);
		printf(", \"bad-before\": %lu, \"bad\": [", f->bad);
	}
	rc = scrub(run, f);
	if (rc == 0 || rc == -EINTR)
		print_summary(f, rc == 0);
	else if (ctl_json)
		printf("], \"complete\": false}\n");
	fflush(stdout);
	run->bad |= f->bad > 0;
	run->unable |= rc < 0;
	if (rc == 0 || rc == -EINTR) {
		save(f);
	} else {
		errno = -rc;
		ctl_ioctl_trouble(f->path);
	}
}

static int by_inode(const void *a, const void *b)
{
	const struct stat *x = a, *y = b;

	if (x->st_dev != y->st_dev)
		return x->st_dev < y->st_dev ? -1 : 1;
	return x->st_ino < y->st_ino ? -1 : x->st_ino > y->st_ino;
}

/* Whether it has been met under another name. */
static bool met(struct run *run, const struct stat *st)
{
	struct stat *this = st->st_nlink > 1 ? malloc(sizeof(*this)) : NULL;
	struct stat **first;

	if (!this)
		return false;
	*this = *st;
	first = tsearch(this, &run->linked, by_inode);
	if (!first || *first != this)
		free(this);
	return first && *first != this;
}

static bool scrub_path(void *context, const char *path)
{
	struct run *run = context;
	_cleanup_close_ int fd = ctl_open(path, O_RDONLY);
	_cleanup_free_ struct file *f = calloc(1, sizeof(*f));
	struct stat st;

	if (!f || fd < 0 || fstat(fd, &st) < 0) {
		run->unable = true;
		return true;
	}
	if (met(run, &st))
		return true;
	f->path = path;
	f->fd = fd;
	f->data = MIN(st.st_blocks * 512ull, (uint64_t)st.st_size);
	scrub_file(run, f);
	return !interrupted;
}

/* All that was to be scrubbed is: nothing is left to be resumed. */
static bool forget(void *context, const char *path)
{
	(void)context;
	removexattr(path, RESUME_XATTR);
	return true;
}

/* A number of bytes, or of K, M, G, T; 0 for what is none. */
static double parse_rate(const char *text)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	double rate = strtod(text, &end);

	if (end == text || !(rate > 0))
		return 0;
	if (!*end)
		return rate;
	unit = strchr(units, *end & ~0x20);
	return unit && !end[1] ? rate * (1ull << (10 * (unit - units + 1))) : 0;
}

int ctl_scrub(int argc, char **argv)
{
	static const struct option options[] = {
		{"rate", required_argument, NULL, 'r'}, {"resume", no_argument, NULL, 'c'}, {0}};
	struct sigaction action = {.sa_handler = interrupt};
	struct run run = {0};
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'c')
			run.resume = true;
		else if (opt != 'r' || !(run.rate = parse_rate(optarg)))
			return EXIT_USAGE;
	}
	if (optind == argc)
		return EXIT_USAGE;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	run.unable |= !ctl_walk(argv + optind, scrub_path, &run);
	if (!run.unable)
		ctl_walk(argv + optind, forget, NULL);
	tdestroy(run.linked, free);
	return run.bad ? EXIT_BAD : run.unable ? EXIT_UNABLE : 0;
}
