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
#include "cache/image.h"
#include "protocol.h"

#define STATE_VERSION 2
#define STATE_VERSION_TEXT "2"
#define NODES_MAX (1u << 22)
#define FILES_MAX (1u << 16)
/* Two witnesses each are kept, and all names of what is kept have to fit one string of 128 KiB in a
 * new process's environment. */
#define IMAGES_MAX 4096
#define DEVICES_MAX 256
#define INTENTS_MAX 256
#define SUSPECTS_MAX 256
#define EXECUTING_MAX 8192 /* requests at a time, all threads together */
#define HANDLE_MAX 88	   /* bytes; Btrfs needs 40, overlayfs with nfs_export about 70 */

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

#define NODE_ERROR (1u << 1) /* the last close met an error that nobody has heard of */

/* A filesystem below the pool's root: the pool's own, a Btrfs subvolume, a mount. */
struct device {
	_Atomic uint64_t id; /* st_dev + 1 */
};

/* One open regular file: what an fh stands for. */
struct file {
	_Atomic uint64_t id;	 /* the fh */
	_Atomic uint64_t unique; /* of the request that opened it, until it has been answered */
	uint64_t node;		 /* node id */
	uint32_t image;		 /* index in the image table */
	uint32_t flags;		 /* FILE_* */
	_Atomic uint32_t
		error_seen; /* struct image_record.error_seq that its opener has heard of */
	uint32_t spare;
};

#define FILE_WRITER (1u << 0)

/* What a name led to before an operation that must not be done twice. */
struct name_before {
	uint32_t existed;
	uint32_t spare;
	uint64_t dev, ino;
};

/* Such an operation, from before it is begun until it is answered. */
struct intent {
	_Atomic uint64_t unique; /* of its request, without the mark of a resent one */
	struct name_before names[2];
};

#define INTENT_RESERVED UINT64_MAX /* being written */

/* A request that was in execution when a worker crashed by its own fault. */
struct suspect {
	uint64_t unique;
	uint64_t crashes;
};

struct state_header {
	uint64_t magic;
	uint32_t version;
	uint32_t spare;
	struct protocol protocol;
	_Atomic uint64_t generation; /* the last one given to a node or an open file */
	_Atomic uint64_t nodes_used; /* node records from here on were never used */
	_Atomic uint64_t lives;	     /* workers so far */
	uint32_t workers;	     /* clones of the device */
	uint32_t images;	     /* size of the image table */
	struct suspect suspects[SUSPECTS_MAX];
};

struct state {
	int fd; /* the memfd */
	struct state_header *header;
	struct device *devices;
	struct intent *intents;
	_Atomic uint64_t *executing; /* uniques, by worker and slot, then by metadata thread */
	struct image_record *images;
	struct file *files;
	struct node *nodes;
};

/* A new, empty state. -errno. */
int state_create(struct state *state);

/* The state that lies in FD, which it owns from now on. -EPROTO: of a version that we do not know.
 */
int state_open(struct state *state, int fd);
void state_unmap(struct state *state);

/* Ids carry a sequence number above the record's index, so none is ever given twice. */
#define STATE_INDEX_BITS 24
uint64_t state_new_id(struct state *state, uint32_t index);

/* Where a thread says which request it executes: workers from the front, the others from the end.
 */
static inline _Atomic uint64_t *state_executing_meta(struct state *state, unsigned thread)
{
	return &state->executing[EXECUTING_MAX - 1 - thread];
}

static inline uint32_t state_index(uint64_t id)
{
	return (uint32_t)(id & ((1u << STATE_INDEX_BITS) - 1)) - 1;
}
