/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ioctls of policy/ioctl.h: what bouncectl wants done. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct mount;

/* Whether CMD is one of them. */
bool command_known(unsigned cmd);

/* Does it for a caller with UID and the file open as FH, in a thread that may sleep; the argument
 * becomes the answer. -errno. */
int command_run(struct mount *mount, uid_t uid, uint64_t fh, unsigned cmd, void *arg);
