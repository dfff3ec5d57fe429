/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keeper: a parent process whose only job is to hold file descriptors for the worker process
 * and to start the next one when it dies. A FUSE connection lives as long as somebody holds its
 * device descriptors, so the mount outlives every worker.
 *
 * It speaks systemd's protocol to the worker: the worker sends FDSTORE=1, FDSTOREREMOVE=1,
 * BARRIER=1, READY=1... to $NOTIFY_SOCKET and finds what is kept through LISTEN_FDS and
 * LISTEN_FDNAMES. If the keeper has a manager above it, everything is passed on: that store is the
 * second line, for the keeper's own death.
 *
 * After its start it allocates nothing, has one thread and is locked in memory.
 */
#pragma once

/* Names of what is kept are shorter than this. */
#define KEEPER_NAME_MAX 24

/* Environment of a worker: the signal that killed its predecessor, if it was the program's own
 * fault. */
#define KEEPER_ENV_CRASH "BOUNCEFS_CRASH"

/* Set where a service manager keeps descriptors too: a worker may leave although files are open. */
#define KEEPER_ENV_MANAGED "BOUNCEFS_MANAGED"

/* Exit status of a worker that has handed over: start the next one at once. */
#define KEEPER_EXIT_HANDOVER 75

/*
 * Runs workers with ARGV until the last one is done; READY_FD (or -1) is told when the first is
 * ready. After a death the successor is the program that runs now; a deliberate restart (SIGQUIT is
 * then sent to the worker) opens PROGRAM again. MOUNTPOINT is detached if the mount has to be given
 * up. Returns the exit status.
 */
int keeper_run(const char *program, char **argv, const char *mountpoint, int ready_fd);
