/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the worker gives up once the mount is live, before its first thread starts: all capabilities
 * but the needed ones, all system calls but the needed ones, new privileges for ever, the network,
 * core dumps. (Its rings are restricted from their birth, cache/lane.c: seccomp does not see what
 * they do.) The keeper keeps what it needs to start the next worker and to unmount.
 */
#pragma once

/* What cannot be had is a log line, not an end. Call in the only thread there is. */
void sandbox_enter(void);

/* What is in force, for the status: such as "capabilities,seccomp,no-new-privileges,network". */
const char *sandbox_in_force(void);
