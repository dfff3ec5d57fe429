/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hot path. A worker owns a clone of /dev/fuse and a lane; it takes requests on in batches
 * (transport.h), starts READ, WRITE and FSYNC on the lane (cache/io.h) and answers them when they
 * complete. All else it hands to the metadata threads (meta.h).
 *
 *   receive -> decode -> image -> bounce -> submit -> complete -> reply
 *   transport   worker.c         `--- cache/io.c ---'  worker.c   transport
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "cache/io.h"
#include "cache/lane.h"
#include "transport.h"

struct mount;
struct fuse_session;

/* What one slot carries: the request whose message came into it. */
struct request {
	struct io io;
	struct worker *worker;
	struct file *file;
	_Atomic uint64_t *executing; /* says outside the process what we are at */
	uint64_t unique;	     /* of the message, as it came: the reply's name */
	struct parked *parked;	     /* transport-dev.c's, while the message leaves the slot */

	/* transport-uring.c's */
	struct uring_queue *queue; /* NULL: the slot is no queue's */
	struct lane_op fetch_op;
	struct lane_work commit_work;
	uint64_t commit_id;
	bool aside;
};

struct worker {
	struct mount *mount;
	struct lane *lane;
	struct dev_door dev;
	struct uring_door uring;
	struct fuse_session *session; /* libfuse's, on the same device */
	struct request *requests;     /* one a slot */
	_Atomic unsigned executing; /* READs, WRITEs and FSYNCs under way; the main thread looks */
	pthread_t thread;

	_Atomic bool draining; /* nothing new is taken on: a successor will */
	bool stopping;
	struct lane_work stop_work, drain_work, ping_work;
	unsigned pings; /* asked for by the main thread */
	_Atomic unsigned pongs;
};

/* Worker INDEX on DEVICE_FD, a clone of the mount's device that it owns from now on. -errno. */
int worker_init(struct worker *worker, struct mount *mount, unsigned index, int device_fd);
void worker_fini(struct worker *worker);

int worker_start(struct worker *worker);

/* The CPU that worker INDEX runs on; -1: any. Not from a worker's own thread. */
int worker_cpu(unsigned index);

/* In the worker's thread: takes on what came into SLOT. False if the slot is not needed any more
 * (one that is a queue's goes with its answer). */
bool worker_decode(struct worker *worker, struct slot *slot, const struct message *message);

struct request *worker_request(struct worker *worker, const struct slot *slot);

/* Takes on nothing new. It is drained when nothing is under way. */
void worker_drain(struct worker *worker);
bool worker_drained(const struct worker *worker);

/* The loop counts WORKER->pongs up when it comes by. */
void worker_ping(struct worker *worker);

/* After the connection has ended and nobody else uses the lane any more: ends the thread. */
void worker_stop(struct worker *worker);
