/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bounce buffers. One pool belongs to one lane (one thread): no locks.
 *
 * A slot holds one request. Its payload is page-aligned, and the bytes directly before it are where
 * the request's headers land, so that read(/dev/fuse) puts a WRITE's data where O_DIRECT wants it.
 *
 *   | ... headers | payload: PAYLOAD_MAX bytes | SLACK: room to widen an unaligned request |
 *                 ^ page boundary
 *
 * Two kinds. Resident slots are registered with the ring and never given back: a registered buffer
 * keeps its old pages in the ring after MADV_DONTNEED, so the CPU would see a new write and the
 * disk get the old one. Burst slots are not registered; they are populated before they face the
 * device (a process killed while the kernel copies a request into a page that is not there loses
 * that request to EIO) and given back when a burst is over. Both may take its time where memory is
 * scarce, so the pool only says what is to be done, and another thread does it (lane.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#define SLOT_PAGE 4096u
#define PAYLOAD_MAX (1u << 20)
#define SLOT_SLACK (2 * SLOT_PAGE)

struct slot {
	char *payload;
	int buffer;	/* index among the ring's registered buffers, -1: not registered */
	bool populated; /* it has memory */
	struct slot *next;
};

struct pool {
	struct slot *slots;
	char *memory;
	unsigned resident, total; /* slots */
	struct slot *free_resident, *free_burst;
	struct slot *empty; /* burst slots without memory */
	unsigned busy;	    /* slots handed out */
	bool wanting;	    /* nothing was free, but some were empty */
	bool burst_used;    /* since pool_take_idle() was asked last */
};

/* RESIDENT slots that stay, TOTAL slots in all (>= RESIDENT). -ENOMEM. */
int pool_init(struct pool *pool, unsigned resident, unsigned total);
void pool_fini(struct pool *pool);

/* NULL when all slots with memory are in use: the resident ones guarantee progress. Resident slots
 * first, the most recently used first. */
struct slot *pool_get(struct pool *pool);
void pool_put(struct pool *pool, struct slot *slot);

/* A burst slot whose memory comes with its use, and is not given back: only for what nobody
 * promises to answer after a death. NULL if there is none. */
struct slot *pool_get_burst(struct pool *pool);

/* Takes slots out of the pool, linked by their next, NULL if there are none: one that is to be
 * populated because a pool_get() wanted it; the idle ones that are to be emptied, if none of their
 * kind was used since the last call. Others come by pool_bring(). */
struct slot *pool_take_wanted(struct pool *pool);
struct slot *pool_take_idle(struct pool *pool);
void pool_bring(struct pool *pool, struct slot *slots);

/* For one that was taken out, in any thread; slot->populated tells. */
void slot_populate(struct slot *slot);
void slot_empty(struct slot *slot);

/* What the ring shall register: one iovec a resident slot, in the order of slot->buffer. */
void pool_buffers(const struct pool *pool, struct iovec *iov);
