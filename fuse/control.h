/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The xattrs user.bouncefs.*. Settings are stored on the backing file, so that they travel with it,
 * and act at once; what is read only is made up here and is in no list.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mount;

/* Before a setxattr on the backing file for a caller with UID: 0: go on, and tell control_stored();
 * 1: it is done; -errno: it is refused. FD is O_PATH. */
int control_set(struct mount *mount, uid_t uid, uint64_t ino, int fd, const char *name,
		const char *value, size_t size);

/* The same before a removexattr. */
int control_remove(uint64_t ino, const char *name);

/* After the backing file was changed: acts on what is open. -errno. */
int control_stored(struct mount *mount, uint64_t ino, const char *name);

/* 1: *VALUE was made up, to be freed; 0: the backing file is to be asked; -errno. FD is O_PATH. */
int control_get(struct mount *mount, uint64_t ino, int fd, const char *name, char **value);
