/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks the kernel what auto.h needs to know. */
#pragma once

#include "auto.h"

/* Fills FACTS for the open regular file FD. Returns -errno only if the filesystem cannot be told:
 * what else cannot be found out counts as absent. */
int facts_gather(int fd, struct file_facts *facts);

/* The line of /proc/self/mountinfo of the mount that FD, or PATH, lies on, to be freed, or NULL. By
 * mount id: the st_dev of a Btrfs subvolume is not in it. Asks no daemon. */
char *facts_mount_line(int fd, const char *path);

/* Whether a kernel of this release (uname -r) buffers direct writes on Btrfs: to checksummed files,
 * or (DUPLICATED) to any file where the data profile stores it more than once. */
bool facts_btrfs_buffers(const char *release, bool duplicated);

/* Where something lies, below all mounts of bouncefs. */
struct place {
	char *type;	 /* of the filesystem */
	char *path;	 /* in the filesystem */
	char device[24]; /* its "MAJOR:MINOR", the same for all subvolumes of Btrfs */
};

/* Of PATH (absolute, without links), by /proc/self/mountinfo alone: asks no filesystem. What is
 * found is freed by the cleanup; all NULL: nothing was. */
void facts_place(const char *path, struct place *place);
void place_free(struct place *place);
#define _cleanup_place_ __attribute__((cleanup(place_free)))

/* PATH is DIR, or below it. */
bool path_lies_in(const char *path, const char *dir);
