// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bouncefs: parses its command line and becomes the keeper (keeper.h), which starts this program
 * again as the worker (server.h) that mounts and serves.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keeper.h"
#include "mountpoint.h"
#include "options.h"
#include "policy/log.h"
#include "process.h"
#include "server.h"
#include "state.h"

static int fail(const char *what, int rc)
{
	log_complain("%s: %s", what, strerror(-rc));
	return 1;
}

/* The worker's command line: ours, marked, with paths that hold in any directory. A first character
 * '@' tells systemd not to kill us at shutdown before the filesystems are gone. */
static void worker_argv(const struct options *options, char **argv)
{
	*argv++ = "@bouncefs";
	*argv++ = "--worker";
	if (options->foreground)
		*argv++ = "-f";
	if (options->list) {
		*argv++ = "-o";
		*argv++ = options->list;
	}
	*argv++ = options->source;
	*argv++ = options->mountpoint;
	*argv = NULL;
}

static int become_keeper(struct options *options, char *name)
{
	static char program[PATH_MAX], *worker[8];
	int ready_fd = -1;

	worker_argv(options, worker);
	if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0)
		return fail("/proc/self/exe", -errno);
	if (!options->foreground) {
		ready_fd = process_daemonize();
		if (ready_fd < 0)
			return fail("background", ready_fd);
	}
	*name = '@';
	return keeper_run(program, worker, options->mountpoint, ready_fd);
}

static int remount(const struct options *options)
{
	int rc = mountpoint_remount(options->mountpoint, options->mount_flags);

	return rc < 0 ? fail("remount", rc) : 0;
}

int main(int argc, char **argv)
{
	static struct options options; /* in use until the process ends */
	int rc;

	switch (options_parse(&options, argc, argv)) {
	case OPTIONS_EXIT:
		return 0;
	case OPTIONS_BAD:
		return 2;
	case OPTIONS_RUN:
		break;
	}
	log_level = options.log_level;
	rc = log_open(options.log_file);
	if (rc < 0)
		return fail(options.log_file, rc);
	if (options.remount)
		return remount(&options);
	if (!options.foreground)
		log_daemonized();
	return options.worker ? server_run(&options) : become_keeper(&options, argv[0]);
}
