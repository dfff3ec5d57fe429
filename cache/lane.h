/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lane is what one worker thread owns: an io_uring, a pool of bounce buffers, and an inbox.
 * Everything that a lane submits completes in its own thread.
 *
 * The ring belongs to the thread that called lane_enable() (SINGLE_ISSUER: the kernel refuses all
 * others). Other threads may call lane_post() and lane_set_file(), which go through the inbox.
 */
#pragma once

#include <liburing.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "helper.h"
#include "pool.h"
#include "work.h"

/* Something that will complete: the ring's user_data points to one of these. */
struct lane_op {
	void (*complete)(struct lane_op *op, int res);
};

struct lane {
	struct io_uring ring;
	struct pool pool;
	unsigned index;
	bool buffers_registered;
	_Atomic uint64_t now;  /* ns, CLOCK_MONOTONIC: when the last wait ended */
	_Atomic bool attended; /* a thread runs it, or is about to: the inbox is attended to */

	int wake_fd; /* eventfd: the inbox has something */
	uint64_t wake_count;
	struct lane_op wake_op;
	work_inbox inbox;

	struct lane_op tick_op; /* once a second while burst slots have memory */
	bool ticking;
	/* Slots on their way to get or to lose memory, done by the helper. Without one, as in tests
	 * of other things, there are only the resident slots. */
	struct helper *helper;
	struct slot *errand; /* NULL: none is */
	bool fetching;	     /* to get memory, or to lose it */
	bool starved;	     /* there was no memory: not again before the next tick */
	struct lane_work errand_work;
};

/* The ring's fixed files: the device, the inbox's eventfd, the write end of the fence (a pipe that
 * reads as ended when no ring is left, and with the rings all their I/O), the pool (which stays
 * locked as long, should all of us be killed), then two an image
 * (direct, cached). */
enum { LANE_FILE_DEVICE, LANE_FILE_WAKE, LANE_FILE_FENCE, LANE_FILE_POOL, LANE_FILE_IMAGES };

/* A lane with SLOTS bounce buffers, RESIDENT of them resident, and FILES fixed files. Only with
 * COMMANDS its ring takes IORING_OP_URING_CMD. -errno. */
int lane_init(struct lane *lane, unsigned index, unsigned resident, unsigned slots, unsigned files,
	      bool commands);
void lane_fini(struct lane *lane);

/* To be called before any thread that runs a lane is made: from now on only that one may touch the
 * ring, and what others ask for waits for it. */
void lane_attend(struct lane *lane);

/* The calling thread runs the lane from now on. -errno. */
int lane_enable(struct lane *lane);
void lane_disable(struct lane *lane);

/* A cleared submission entry that completes as OP. Never NULL. */
struct io_uring_sqe *lane_sqe(struct lane *lane, struct lane_op *op);

/* Submits what is prepared, without waiting for anything. */
void lane_submit(struct lane *lane);

/* Submits what is prepared, waits for at least one completion and runs all that are there. -errno
 * only for what the program cannot go on after. */
int lane_run_once(struct lane *lane);

/* Any thread: WORK runs in the lane's thread soon, in order of arrival. */
void lane_post(struct lane *lane, struct lane_work *work);

/* Fixed file INDEX is FD from now on (-1: nothing). Any thread but that of another lane: it waits
 * for the lane's. -errno. */
int lane_set_file(struct lane *lane, unsigned index, int fd);
