/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open regular files: what an fh stands for. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "state.h"

struct mount;
struct image;

/* Opens NODE for a caller that gave open(2) FLAGS, in request UNIQUE. Returns its fh in *ID.
 * -errno. */
int file_open(struct mount *mount, struct node *node, int flags, uint64_t unique, uint64_t *id);

/* Call when the answer that names it has been sent. */
void file_told(struct mount *mount, uint64_t id);

/* Takes over what a predecessor had open, but for what no answer has named: its opener is going to
 * ask again, or was killed and would never close it. Call before the requests are sent again.
 * -errno. */
int file_restore(struct mount *mount);

/* An fh that is not open (any more) is no error: RELEASE may come twice. An error that no FSYNC
 * told is logged, and is the next opener's. */
void file_close(struct mount *mount, uint64_t id);

/* How many are open. */
unsigned file_count(const struct mount *mount);

/* The hot path's look-up, without a lock; NULL for an fh that is not open. */
static inline struct file *file_get(const struct state *state, uint64_t id)
{
	uint32_t index = state_index(id);
	struct file *file;

	if (index >= FILES_MAX)
		return NULL;
	file = &state->files[index];
	return atomic_load_explicit(&file->id, memory_order_acquire) == id ? file : NULL;
}

/* How the pool's policy wants NODE's file opened. */
struct image_request;
struct node_opener {
	struct mount *mount;
	struct node *node;
};
void file_image_request(struct node_opener *opener, int flags, struct image_request *request);
