/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One READ, WRITE or FSYNC of an image: from the bounce buffer to the backing file and back.
 *
 * The caller fills in the first part, calls io_start() in the lane's thread and gets done() in that
 * thread, exactly once, perhaps before io_start() returns. The io and its slot must stay until
 * then. From submit to completion an io holds its byte range (rangelock.h), so overlapping requests
 * of one image go one after the other and whoever holds the whole image has it to himself.
 *
 * Short results of the backing file are continued; what reaches done() is all that was asked for
 * (less only at the end of the file, for a read), or an error.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "image.h"
#include "lane.h"
#include "rangelock.h"

struct io {
	/* the caller's */
	enum io_kind kind;
	bool datasync; /* IO_FSYNC: data only */
	struct lane *lane;
	struct image *image;
	struct slot *slot;
	uint64_t offset; /* bytes */
	uint32_t length; /* bytes, at most PAYLOAD_MAX */
	void (*done)(struct io *io);
	struct sum_intent *intent; /* this io's, where the image has checksums */

	/* for done() */
	int result; /* bytes, or -errno */
	char *data; /* IO_READ: where they are, in the slot */

	/* io.c's own */
	uint64_t begun; /* lane->now */
	struct lane_op op;
	void (*step)(struct io *io, int res);
	struct range range;
	struct lane_work resume;
	uint64_t start;	   /* of what is transferred: offset, widened to the image's alignment */
	uint32_t span;	   /* its length */
	uint32_t progress; /* bytes of it done */
	uint32_t retries;
	char *base;		/* IO_WRITE: what is transferred, in the slot */
	bool through_cache;	/* this write goes through the page cache, synchronously */
	struct dirty_wait wait; /* IO_WRITE: for room below the dirty limit */
	unsigned witness;	/* IO_FSYNC: which one is being heard */
	uint64_t mark;		/* IO_FSYNC: what was written when it began */
	struct sums_op sums;
	uint32_t doubtful; /* the block that differed, of those transferred */
	char *block;	   /* where it is */
	void (*checked)(struct io *io);
};

void io_start(struct io *io);
