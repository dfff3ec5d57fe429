/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bounds what an image has dirty in the page cache (modes writeback and dontcache), so that neither
 * an FSYNC nor a shutdown has gigabytes to wait for.
 *
 * Each write is a stretch of one line, the bytes ever written; what lies behind `clean` on it is on
 * the device. Writeback is started every eighth of the limit, which keeps the device busy. Starting
 * alone would not do: on a slow device 600 MiB became dirty that way. So a write that ends more
 * than half the limit beyond `clean` is answered only when `clean` has followed. One sync at a time
 * moves it, for all that wait: any number of slow images then blocks no more threads than there are
 * images. The other half of the limit is for the writes that wait: their data are dirty, too.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct dirty_wait {
	uint64_t end; /* of its write on the line */
	struct dirty_wait *next;
	/* Its write may be answered; or (SYNC) it has to do the next sync first. Called by the
	 * thread that ended the last one. */
	void (*go_on)(struct dirty_wait *wait, bool sync);
};

/* Bytes of the image; empty where from == to. */
struct dirty_span {
	uint64_t from, to;
};

struct dirty {
	pthread_mutex_t lock;
	uint64_t limit; /* bytes; 0: unbounded */
	uint64_t written, started, clean;
	bool syncing;
	uint64_t sync_mark; /* the sync under way covers everything before it */
	struct dirty_wait *first, **last;
	/* Where the writes were that no sync covers, and those that one covers that was begun at
	 * `covered` and has not succeeded yet. */
	struct dirty_span uncovered, at_risk;
	uint64_t covered;
};

void dirty_init(struct dirty *dirty);

enum dirty_action {
	DIRTY_GO_ON, /* answer */
	DIRTY_START, /* start writeback, then answer */
	DIRTY_SYNC,  /* write everything out, wait for it, then dirty_synced() and answer */
	DIRTY_WAIT,  /* WAIT->go_on will be called */
};

/* SPAN was written: what its writer has to do before it answers. WAIT->go_on is set. */
enum dirty_action dirty_add(struct dirty *dirty, struct dirty_span span, struct dirty_wait *wait);

/* The sync has ended; who failed has told of the error elsewhere, and took the loss before. */
void dirty_synced(struct dirty *dirty);

/* A sync has failed: between which bytes data may be lost. Empty: nothing was written since. */
struct dirty_span dirty_lost(struct dirty *dirty);

/* Where the line ends now; and somebody else's sync, begun then, has succeeded. */
uint64_t dirty_mark(struct dirty *dirty);
void dirty_cleaned(struct dirty *dirty, uint64_t mark);

/* Bytes that are not known to be on the device. */
uint64_t dirty_outstanding(struct dirty *dirty);
