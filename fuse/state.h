/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a successor must know, in a memfd that outlives the process: the negotiated protocol, the
 * node table, the open files. Records have fixed places and sizes. A record is alive when its id is
 * not 0; the id is written last when one is made and first when one ends, so that a death between
 * any two instructions leaves either a whole record or none.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "abi.h"

#define STATE_VERSION 1
#define NODES_MAX (1u << 22)
#define FILES_MAX (1u << 16)
#define DEVICES_MAX 256
#define HANDLE_MAX 88 /* bytes; Btrfs needs 40, overlayfs with nfs_export about 70 */

/* One inode that the kernel knows. The id it was given is never used again. */
struct node {
	_Atomic uint64_t id;
	_Atomic uint64_t lookups; /* how many the kernel will FORGET */
	uint64_t ino;		  /* below */
	uint32_t device;	  /* index of its filesystem, struct device */
	uint16_t handle_length;	  /* 0: the filesystem has no handles */
	uint16_t handle_type;
	uint8_t handle[HANDLE_MAX];
	_Atomic uint32_t flags; /* NODE_* */
	uint32_t spare;
};

#define NODE_IMAGE (1u << 0) /* the name that it was found or renamed by is an image's */

_Static_assert(sizeof(struct node) == 128, "node records are two cache lines");

/* A filesystem below the pool's root: the pool's own, a Btrfs subvolume, a mount. */
struct device {
	_Atomic uint64_t id; /* st_dev + 1 */
};

/* One open regular file: what an fh stands for. */
struct file {
	_Atomic uint64_t id; /* the fh */
	uint64_t node;	     /* node id */
	uint32_t image;	     /* index in the image table */
	uint32_t flags;	     /* FILE_* */
	uint32_t error_seen; /* struct image.error_seq that its opener has heard of */
	uint32_t spare;
};

#define FILE_WRITER (1u << 0)

struct state_header {
	uint64_t magic;
	uint32_t version;
	uint32_t spare;
	struct fuse_init_in init_in;
	struct fuse_init_out init_out;
	_Atomic uint64_t generation; /* the last one given to a node or an open file */
};

struct state {
	int fd; /* the memfd */
	struct state_header *header;
	struct device *devices;
	struct file *files;
	struct node *nodes;
};

/* A new, empty state. -errno. */
int state_create(struct state *state);
void state_unmap(struct state *state);

/* Ids carry a sequence number above the record's index, so none is ever given twice. */
#define STATE_INDEX_BITS 24
uint64_t state_new_id(struct state *state, uint32_t index);

static inline uint32_t state_index(uint64_t id)
{
	return (uint32_t)(id & ((1u << STATE_INDEX_BITS) - 1)) - 1;
}
