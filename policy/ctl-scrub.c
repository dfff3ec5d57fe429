// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The daemon reads, step by step; the file's position, and what was found so far, are kept here. So
 * a scrub outlives the daemon, and can be interrupted between any two steps.
 */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>

#include "ctl.h"
#include "ioctl.h"
#include "settings.h"
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
	bool progress; /* on stderr, a terminal */
	bool bad, unable;
};

struct file {
	const char *path;
	int fd;
	uint64_t data; /* bytes there are to read, about */
	uint64_t position, read, bad;
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

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void sleep_for(double seconds)
{
	struct timespec ts = {(time_t)seconds, (seconds - (time_t)seconds) * 1e9};

	nanosleep(&ts, NULL);
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
	f->saved = now();
}

/* ===== output ===== */

static const char *reason(const struct bad_range *r)
{
	return r->reason == BAD_DEVICE ? "device error" : "checksum mismatch";
}

static void print_range(struct file *f, const struct bad_range *r)
{
	if (ctl_json)
		printf("%s{\"offset\": %lu, \"length\": %lu, \"reason\": \"%s\"}",
		       f->bad ? ", " : "", r->offset, r->length, reason(r));
	else
		printf("%s: %lu %lu %s\n", f->path, r->offset, r->length, reason(r));
	f->bad++;
}

static void print_last(struct file *f)
{
	if (f->last.length)
		print_range(f, &f->last);
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
	return (f->read - f->began_read) / MAX(now() - f->began, 1e-3);
}

static void print_progress(const struct file *f)
{
	static const char full[] = "##############################";
	double part = f->data ? MIN((double)f->read / f->data, 1) : 1;
	unsigned left = (1 - part) * f->data / MAX(speed(f), 1);
	int bar = strlen(full);

	fprintf(stderr, "\r%s [%-*.*s] %3.0f %% %6.0f MB/s, %u:%02u:%02u left\033[K", f->path, bar,
		(int)(part * bar), full, part * 100, speed(f) / 1e6, left / 3600, left / 60 % 60,
		left % 60);
}

static void print_summary(const struct run *run, const struct file *f, bool whole)
{
	if (ctl_json) {
		printf("], \"size\": %lu, \"read\": %lu, \"checksums\": %s, \"complete\": %s, "
		       "\"seconds\": %.3f}\n",
		       f->step.size, f->read, f->step.summed ? "true" : "false",
		       whole ? "true" : "false", now() - f->began);
		return;
	}
	fprintf(stderr, "%s%s: %s%.1f MiB read in %.1f s, %.0f MB/s, %s, %lu bad range%s\n",
		run->progress ? "\r\033[K" : "", f->path,
		whole ? "" : "interrupted: ", f->read / 1048576.0, now() - f->began, speed(f) / 1e6,
		f->step.summed ? "checksums compared" : "no checksums", f->bad,
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
		sleep_for(0.005);
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
	ahead = (f->read - f->began_read) / run->rate - (now() - f->began);
	if (ahead > 0 && !interrupted)
		sleep_for(ahead);
}

/* Returns -errno where it had to stop. */
static int scrub(const struct run *run, struct file *f)
{
	int rc = take_step(run, f);

	while (rc == 0) {
		print_ranges(f);
		if (f->position >= f->step.size)
			break;
		if (run->progress)
			print_progress(f);
		keep_rate(run, f);
		if (now() - f->saved > SAVE_SECONDS)
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
	f->began = f->saved = now();
	f->began_read = f->read;
	if (ctl_json) {
		printf("{\"file\": ");
		json_string(f->path);
		printf(", \"bad-before\": %lu, \"bad\": [", f->bad);
	}
	rc = scrub(run, f);
	if (rc == 0 || rc == -EINTR)
		print_summary(run, f, rc == 0);
	else if (ctl_json)
		printf("], \"complete\": false}\n");
	fflush(stdout);
	run->bad |= f->bad > 0;
	run->unable |= rc < 0;
	if (rc == 0 || rc == -EINTR)
		save(f);
	else if (rc == -ENOTTY)
		ctl_trouble("%s: not on a bouncefs mount", f->path);
	else
		ctl_trouble("%s: %s", f->path, strerror(-rc));
}

static void scrub_path(struct run *run, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	_cleanup_free_ struct file *f = calloc(1, sizeof(*f));
	struct stat st;

	if (!f || fd < 0 || fstat(fd, &st) < 0) {
		ctl_trouble("%s: %s", path, strerror(errno));
		run->unable = true;
		return;
	}
	f->path = path;
	f->fd = fd;
	f->data = MIN(st.st_blocks * 512ull, (uint64_t)st.st_size);
	scrub_file(run, f);
}

/* ===== what there is to scrub ===== */

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Calls VISIT with each regular file of PATHS, and below them. */
static void walk(struct run *run, char **paths, void (*visit)(struct run *run, const char *path))
{
	FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR | FTS_XDEV, by_name);
	FTSENT *e;

	while (fts && !interrupted && (e = fts_read(fts))) {
		switch (e->fts_info) {
		case FTS_F:
			visit(run, e->fts_path);
			break;
		case FTS_DNR:
		case FTS_ERR:
		case FTS_NS:
			ctl_trouble("%s: %s", e->fts_path, strerror(e->fts_errno));
			run->unable = true;
			break;
		default:
			if (e->fts_level > FTS_ROOTLEVEL || e->fts_info == FTS_D ||
			    e->fts_info == FTS_DP)
				break;
			ctl_trouble("%s: not a regular file", e->fts_path);
			run->unable = true;
		}
	}
	if (fts)
		fts_close(fts);
}

/* All that was to be scrubbed is: nothing is left to be resumed. */
static void forget(struct run *run, const char *path)
{
	(void)run;
	removexattr(path, RESUME_XATTR);
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
	struct run run = {.progress = !ctl_json && isatty(STDERR_FILENO)};
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
	walk(&run, argv + optind, scrub_path);
	if (!interrupted && !run.unable)
		walk(&run, argv + optind, forget);
	return run.bad ? EXIT_BAD : run.unable ? EXIT_UNABLE : 0;
}
