/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How requests come in and how their answers go out: two doors to one request path (worker.c).
 *
 *   transport-dev.c    a request is read from /dev/fuse into a free slot; the answer is written
 *                      there
 *   transport-uring.c  slots wait in the kernel, in one queue a CPU; it puts a request into one,
 *                      and the answer goes back with that slot (FUSE over io_uring, Linux 6.14)
 *
 * With rings in force, FUSE_INIT, FORGET and INTERRUPT still come through the device.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/lane.h"

struct meta_message;
struct mount;
struct parked;
struct request;
struct worker;

/* A message as it lies in a slot. What follows its ARG (data, names) is at the slot's payload. */
struct message {
	struct fuse_in_header *header;
	const void *arg; /* what the operation has beside: struct fuse_write_in... */
	uint32_t arg_length;
	uint32_t data_length;
};

/* ===== /dev/fuse ===== */

struct dev_door {
	int fd;			/* a clone of the mount's device */
	struct parked *parked;	/* oldest first */
	struct lane_op poll_op; /* the device has something to read */
	bool listening;		/* this worker is to read it */
	bool polling;
	bool readable; /* it may have something: read until it says no */
	bool gone;     /* the connection has ended */
};

/* Worker's thread: takes on all that there is, as long as there are slots for it. */
void dev_receive(struct worker *worker);
void dev_fini(struct worker *worker);

/* A slot that was read into is free again. */
void dev_give_back(struct worker *worker, struct slot *slot);

/* A clone of the mount's device: fd or -errno. */
int dev_clone(int device_fd);

/* ===== io_uring ===== */

struct uring_queue {
	uint16_t cpu;	  /* whose requests come here: its number */
	unsigned entries; /* slots registered with it */
	unsigned aside;	  /* of them, those with requests that may take long */
};

struct uring_door {
	struct uring_queue *queues; /* this worker's */
	unsigned nqueues;
	unsigned entries; /* slots that each has from the start */
};

/* Why the kernel has no rings to offer; NULL if it has. */
const char *uring_lacking(void);

/* Slots that a worker needs. */
unsigned uring_slots(const struct mount *mount);

/* The queues of WORKER. -ENOMEM. */
int uring_init(struct worker *worker);
void uring_fini(struct worker *worker);

/* Worker's thread: registers its queues. When all workers have, requests begin to come. */
void uring_open(struct worker *worker);

/* Worker's thread: REQUEST may take long and must not keep its slot from others: the queue gets
 * another one if it needs one. */
void uring_set_aside(struct request *request);

/* Answers REQUEST: in the worker's thread, or in any. */
void uring_reply(struct request *request, int error, const void *data, size_t length);
void uring_reply_from(struct request *request, int error, const void *data, size_t length);

/* libfuse in metadata threads: it answers into a file of the thread's own. -errno. */
int uring_meta_init(struct mount *mount);
void uring_meta_fini(struct mount *mount);
void uring_meta_process(struct mount *mount, unsigned thread, struct meta_message *message);
