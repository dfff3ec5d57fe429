/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inodes that the kernel knows, keyed by (st_dev, file handle): Btrfs subvolumes and mounts
 * repeat inode numbers. Nodes hold no descriptor; they are opened by handle when they are needed,
 * so a million of them cost no fds and a successor can open them all the same. Where the filesystem
 * has no handles, a node holds an O_PATH descriptor (and does not survive the process).
 *
 * All functions may be called by any metadata thread.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "state.h"

#define NODE_BUCKETS (1u << 16)

struct node_table {
	struct state *state;
	pthread_mutex_t lock;
	uint32_t *buckets; /* node index + 1, 0: empty */
	uint32_t *next;	   /* by node index: in the bucket, or in the list of free records */
	int *path_fd;	   /* by node index: O_PATH descriptor + 1, 0: none */
	uint32_t free;	   /* index + 1 of the first free record that was used before */
	uint32_t used;	   /* records that were ever used */
	int device_fd[DEVICES_MAX]; /* something open on each filesystem, for open_by_handle_at */
	unsigned devices;
};

/* ROOT_FD, the pool's root, stays the caller's; it becomes node FUSE_ROOT_ID. -errno. */
int node_table_init(struct node_table *table, struct state *state, int root_fd);

/* The table of a predecessor. DEVICE_FD are what was kept of it, -1 for none; the first is the
 * root, which stays the caller's. -errno. */
int node_table_restore(struct node_table *table, struct state *state,
		       const int device_fd[DEVICES_MAX]);
void node_table_fini(struct node_table *table);

/* The node of what O_PATH descriptor FD is, made if need be, with one more lookup; fills ST.
 * -errno. */
int node_of_fd(struct node_table *table, int fd, struct stat *st, struct node **node);

/* NULL if the kernel does not know such a node (any more). */
struct node *node_get(struct node_table *table, uint64_t id);

/* The id of the node of what FD is, if the kernel knows it; else 0. No look-up is counted. */
uint64_t node_find(struct node_table *table, int fd);

void node_forget(struct node_table *table, uint64_t id, uint64_t lookups);

/* Node ID, open (O_PATH) as FD, is about to lose a name, and with the last one perhaps its handle.
 */
void node_hold(struct node_table *table, uint64_t id, int fd);

/* Opens a node with open(2) FLAGS (O_PATH too); fd or -errno. Never follows a symlink. */
int node_open(struct node_table *table, const struct node *node, int flags);
int node_open_id(struct node_table *table, uint64_t id, int flags);

/* The number that users see: the pool's own inodes keep theirs. */
uint64_t node_ino(uint32_t device, uint64_t ino);

/* Index of the filesystem with this st_dev; -ENOENT if no node of it is known. */
int node_device(const struct node_table *table, uint64_t st_dev);
