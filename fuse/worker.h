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
	uint64_t unique; /* of the message, as it came: the reply's name */
};

struct worker {
	struct mount *mount;
	struct lane *lane;
	int device_fd;
	struct fuse_session *session; /* libfuse's, on the same device */
	struct request *requests;     /* one a slot */
	pthread_t thread;

	struct lane_op poll_op; /* the device has something to read */
	bool polling;
	bool readable; /* it may have: read until it says no */
	bool gone;     /* the connection has ended */
	bool stopping;
	struct lane_work stop_work;
};

/* Clones the mount's device for worker INDEX, and makes its session. -errno. */
int worker_init(struct worker *worker, struct mount *mount, unsigned index);
void worker_fini(struct worker *worker);

int worker_start(struct worker *worker);

/* After the connection has ended and nobody else uses the lane any more: ends the thread. */
void worker_stop(struct worker *worker);
