// SPDX-License-Identifier: GPL-2.0-or-later
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <time.h>

#include "mount.h"
#include "policy/log.h"
#include "policy/util.h"

void report_failure(struct mount *mount, const struct io *io, int error)
{
	struct report *report = &mount->report;

	if (atomic_exchange(&report->taken, true)) {
		atomic_fetch_add(&report->unsaid, 1);
		return;
	}
	report->failure.key = io->image->key;
	report->failure.kind = io->kind;
	report->failure.offset = io->offset;
	report->failure.length = io->length;
	report->failure.error = error;
	sem_post(&report->wanted);
}

static void say(struct mount *mount)
{
	static const char *const kinds[] = {
		[IO_READ] = "read",
		[IO_WRITE] = "write",
		[IO_FSYNC] = "flush",
	};
	struct report *report = &mount->report;
	_cleanup_close_ int fd = node_open_id(&mount->nodes, report->failure.key, O_PATH);
	bool ranged = report->failure.kind != IO_FSYNC;
	char path[PATH_MAX], range[64] = "", more[48] = "";
	struct log_where where = {
		.image = policy_name(mount, report->failure.key, fd, path),
		.offset = ranged ? (int64_t)report->failure.offset : -1,
		.error = -report->failure.error,
	};
	unsigned unsaid = atomic_exchange(&report->unsaid, 0);

	if (ranged)
		snprintf(range, sizeof(range), " of %u bytes at %lu", report->failure.length,
			 report->failure.offset);
	if (unsaid)
		snprintf(more, sizeof(more), " (and %u more failures before)", unsaid);
	log_at(LOG_LEVEL_ERROR, &where, "%s: %s%s: %s%s", where.image, kinds[report->failure.kind],
	       range, strerror(where.error), more);
}

static void *report_thread(void *arg)
{
	struct mount *mount = arg;
	struct report *report = &mount->report;
	struct timespec soon;

	pthread_setname_np(pthread_self(), "bouncefs/report");
	for (;;) {
		while (sem_wait(&report->wanted) < 0)
			;
		if (report->stopping)
			return NULL;
		say(mount);
		/* Whatever fails now waits its second, or for the end. */
		clock_gettime(CLOCK_MONOTONIC, &soon);
		soon.tv_sec++;
		while (!report->stopping &&
		       sem_clockwait(&report->wanted, CLOCK_MONOTONIC, &soon) < 0 && errno == EINTR)
			;
		if (report->stopping)
			return NULL;
		atomic_store(&report->taken, false);
	}
}

int reporter_start(struct mount *mount)
{
	sem_init(&mount->report.wanted, 0, 0);
	return thread_start(&mount->report.thread, report_thread, mount);
}

void reporter_stop(struct mount *mount)
{
	mount->report.stopping = true;
	sem_post(&mount->report.wanted);
	pthread_join(mount->report.thread, NULL);
}
