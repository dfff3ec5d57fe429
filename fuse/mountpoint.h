/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mount itself: SOURCE's lock, mount(2), remount, umount(2). Strings are absolute paths. */
#pragma once

#include <stdbool.h>

/* Opens SOURCE as the root of a pool and locks it, waiting up to 10 s for a predecessor that is
 * leaving. The lock lasts as long as anyone holds this open file. fd; -EBUSY: the pool has a
 * daemon; -ELOOP: SOURCE is itself a bouncefs mount. */
int source_open(const char *source);

/* Where a pool is served that SOURCE lies in, or that lies in it, by what this mount namespace
 * shows; to be freed. NULL: there is none. */
char *source_overlaps(const char *source);

/* Mounts DEVICE_FD. FLAGS are MS_*. -errno. */
int mountpoint_mount(const char *source, const char *mountpoint, unsigned long flags,
		     int device_fd);
int mountpoint_remount(const char *mountpoint, unsigned long flags);

/* LAZY: the name goes at once, the rest with its last user. -errno. */
int mountpoint_unmount(const char *mountpoint, int lazy);

/* The connection ends at once: all that waits for an answer gets an error. -errno. */
int mountpoint_abort(const char *mountpoint);

/* Whether what is mounted on MOUNTPOINT lost its daemon for good. */
bool mountpoint_is_dead(const char *mountpoint);

/* Takes such mounts of ours away: what a daemon leaves that had to go while files were open.
 * -errno. */
int mountpoint_clear(const char *mountpoint);
