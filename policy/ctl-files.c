// SPDX-License-Identifier: GPL-2.0-or-later
/* What commands share that go through files. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "ctl.h"
#include "ioctl.h"
#include "util.h"

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* False: it has said what is in the way. */
static bool is_passable(const FTSENT *e)
{
	switch (e->fts_info) {
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		ctl_trouble("%s: %s", e->fts_path, strerror(e->fts_errno));
		return false;
	case FTS_D:
	case FTS_DP:
	case FTS_F:
		return true;
	}
	if (e->fts_level == FTS_ROOTLEVEL)
		ctl_trouble("%s: not a regular file", e->fts_path);
	return e->fts_level > FTS_ROOTLEVEL;
}

bool ctl_walk(char **paths, bool (*visit)(void *context, const char *path), void *context)
{
	FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR | FTS_XDEV, by_name);
	bool ok = fts, go_on = ok;
	FTSENT *e;

	while (go_on && (e = fts_read(fts))) {
		ok &= is_passable(e);
		if (e->fts_info == FTS_F)
			go_on = visit(context, e->fts_path);
	}
	if (fts)
		fts_close(fts);
	return ok && go_on;
}

int ctl_open(const char *path, int flags)
{
	int fd = open(path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		ctl_trouble("%s: %s", path, strerror(errno));
	return fd;
}

int ctl_ioctl_trouble(const char *path)
{
	return ctl_trouble("%s: %s", path,
			   errno == ENOTTY ? "not on a bouncefs mount" : strerror(errno));
}

double ctl_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

void ctl_sleep(double seconds)
{
	struct timespec ts = {(time_t)seconds, (seconds - (time_t)seconds) * 1e9};

	nanosleep(&ts, NULL);
}

/* Names of files come from anybody; they must not steer a terminal. */
void ctl_print_path(FILE *out, const char *path)
{
	for (; *path; path++)
		fputc(iscntrl((unsigned char)*path) ? '?' : *path, out);
}

void ctl_print_range(const char *path, const struct bad_range *r, bool first)
{
	const char *reason = r->reason == BAD_DEVICE ? "device error" : "checksum mismatch";

	if (ctl_json) {
		printf("%s{\"offset\": %lu, \"length\": %lu, \"reason\": \"%s\"}",
		       first ? "" : ", ", r->offset, r->length, reason);
		return;
	}
	ctl_print_path(stdout, path);
	printf(": %lu %lu %s\n", r->offset, r->length, reason);
}

bool ctl_progress_wanted(void)
{
	return !ctl_json && isatty(STDERR_FILENO);
}

void ctl_progress(const char *path, double done, double all, double speed)
{
	static const char full[] = "##############################";
	int bar = strlen(full);
	double part = all > 0 ? MIN(done / all, 1) : 1;
	unsigned left = MIN((1 - part) * all / MAX(speed, 1), 3.6e8);

	fputc('\r', stderr);
	ctl_print_path(stderr, path);
	fprintf(stderr, " [%-*.*s] %3.0f %% %6.0f MB/s, %u:%02u:%02u left\033[K", bar,
		(int)(part * bar), full, part * 100, speed / 1e6, left / 3600, left / 60 % 60,
		left % 60);
}

void ctl_progress_end(void)
{
	if (ctl_progress_wanted())
		fputs("\r\033[K", stderr);
}
