/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keeper: a parent process whose only job is to hold file descriptors for the worker process
 * and to start the next one when it dies. A FUSE connection lives as long as somebody holds its
 * device descriptors, so the mount outlives every worker.
 *
 * It speaks systemd's protocol: the worker sends FDSTORE=1, FDSTOREREMOVE=1, BARRIER=1, READY=1...
 * through the socket that is kept as KEEPER_SOCKET, and finds what is kept through LISTEN_FDS and
 * LISTEN_FDNAMES. If there is a service manager ($NOTIFY_SOCKET), the worker sends the same there:
 * that store is the second line, for the keeper's own death.
 *
 * It has one thread, is locked in memory, and after its start allocates nothing and waits for
 * nothing but the next message or signal, until it gives a mount up.
 */
#pragma once

#include <stdbool.h>
#include <string.h>

/* Names of what is kept are shorter than this. */
#define KEEPER_NAME_MAX 24

#define KEEPER_SOCKET "keeper"

/* What tells that a worker, and all that its rings had under way, is gone (takeover.h). */
static inline bool keeper_is_fence(const char *name)
{
	return !strncmp(name, "fence-", 6) || !strncmp(name, "pid-", 4);
}

/* Environment of a worker: how its predecessor ended, as in wait(2); 0 if there was none. */
#define KEEPER_ENV_DEATH "BOUNCEFS_DEATH"

/* Exit status of a worker that has handed over: start the next one at once. */
#define KEEPER_EXIT_HANDOVER 75

/*
 * Runs workers with ARGV until the last one is done; READY_FD (or -1) is told when the first is
 * ready. After a death the successor is the program that runs now; on X_BOUNCEFS_RESTART=1 with a
 * pipe PROGRAM is opened again and asked whether it takes over. If it does, the pipe is closed and
 * SIGQUIT sent to the worker, else an errno is written to it before. A program that then dies
 * before it is ready is replaced by the old one. MOUNTPOINT is detached if the mount has to be
 * given up. Returns the exit status.
 */
int keeper_run(const char *program, char **argv, const char *mountpoint, int ready_fd);
