/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pool's policy at work: which settings hold for a file, and what happens when that changes
 * while the file is open. What the settings are and who decides is policy/.
 */
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "policy/file.h"

struct mount;
struct node;
struct image;

struct policy {
	pthread_rwlock_t lock; /* of the file below */
	struct policy_file *file;
	pthread_t thread; /* switches images where that may take its time */
	sem_t wanted;
	_Atomic bool read_again, stopping;
};

/* Reads the policy file: a broken one changes nothing, and ERROR says which line and why. -errno.
 */
int policy_load(struct mount *mount, char error[POLICY_ERROR_MAX]);

int policy_start(struct mount *mount);
void policy_stop(struct mount *mount);

/* Reads the file again soon, and switches the open images to what holds then. */
void policy_reload(struct mount *mount);

/* The settings of NODE, which is open as FD; *IS_IMAGE: by its name, then by its own xattrs, too.
 */
void policy_resolve(struct mount *mount, const struct node *node, int fd, bool *is_image,
		    struct settings *settings);

/* Where in the pool node ID is, which is open as FD; or something to call it by. */
const char *policy_name(struct mount *mount, uint64_t id, int fd, char path[PATH_MAX]);

/* The same of an open image, for messages of cache/sums.h. */
const char *policy_image_name(void *mount, const struct image *image, char path[PATH_MAX]);

/* Logs at LEVEL what is in effect for IMAGE from now on, and what is dangerous at any level. */
void policy_announce(struct mount *mount, struct image *image, int level);

/* Resolves again what is open of node ID: at once, or soon if much has to be written out before.
 * -errno. */
int policy_apply(struct mount *mount, uint64_t id);

/* The same for all that is open, at once. */
void policy_apply_all(struct mount *mount);
