/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hot path. A worker owns a clone of /dev/fuse and a lane; it reads requests in batches, starts
 * READ, WRITE and FSYNC on the lane (cache/io.h) and answers them when they complete. All else it
 * hands to the metadata threads (meta.h).
 *
 *   receive -> decode -> image -> bounce -> submit -> complete -> reply
 *   `-------- worker.c --------'  `--- cache/io.c ---'   `- worker.c -'
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "cache/io.h"
#include "cache/lane.h"

struct mount;
struct fuse_session;

/* What one slot carries: the request whose message was read into it. */
struct request {
	struct io io;
	struct worker *worker;
	struct file *file;
	_Atomic uint64_t *executing; /* says outside the process what we are at */
	uint64_t unique;	     /* of the message, as it came: the reply's name */
};

/* A request without a slot: its message. */
struct parked {
	struct parked *next;
	size_t length;
	char bytes[];
};

struct worker {
	struct mount *mount;
	struct lane *lane;
	int device_fd;
	struct fuse_session *session; /* libfuse's, on the same device */
	struct request *requests;     /* one a slot */
	struct parked *parked;	      /* oldest first */
	pthread_t thread;

	struct lane_op poll_op; /* the device has something to read */
	bool polling;
	bool readable; /* it may have: read until it says no */
	bool gone;     /* the connection has ended */
	bool draining; /* nothing new is taken on: a successor will */
	bool stopping;
	struct lane_work stop_work, drain_work, ping_work;
	unsigned pings; /* asked for by the main thread */
	_Atomic unsigned pongs;
};

/* Worker INDEX on DEVICE_FD, a clone of the mount's device that it owns from now on. -errno. */
int worker_init(struct worker *worker, struct mount *mount, unsigned index, int device_fd);
void worker_fini(struct worker *worker);

int worker_start(struct worker *worker);

/* A clone of the mount's device: fd or -errno. */
int worker_clone_device(int device_fd);

/* Takes on nothing new. It is drained when its lane's slots are all free. */
void worker_drain(struct worker *worker);
bool worker_drained(const struct worker *worker);

/* The loop counts WORKER->pongs up when it comes by. */
void worker_ping(struct worker *worker);

/* After the connection has ended and nobody else uses the lane any more: ends the thread. */
void worker_stop(struct worker *worker);
