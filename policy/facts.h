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
