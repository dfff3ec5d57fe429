/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Byte-range locks of one image, in order of arrival: a range is granted when no earlier range that
 * is still there conflicts with it. So nobody starves, and an exclusive lock on everything is a
 * quiesce.
 *
 * Nothing here sleeps: who cannot have the range at once is called back by the thread that releases
 * the last conflicting one. Any thread may call anything.
 */
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct range {
	uint64_t start, end; /* bytes, end exclusive */
	bool exclusive;
	bool granted;
	void (*on_grant)(struct range *); /* not under any lock; only if range_acquire said false */
	struct range *prev, *next;
};

struct range_queue {
	pthread_mutex_t lock;
	struct range *first, *last;
	unsigned waiting;
	_Atomic unsigned held; /* by threads that may sleep: for long, perhaps */
};

void range_queue_init(struct range_queue *queue);

/* True: granted at once. False: on_grant will be called. RANGE must stay until it is released. */
bool range_acquire(struct range_queue *queue, struct range *range);
void range_release(struct range_queue *queue, struct range *range);

/* For threads that may sleep: a lock, waited for; exclusive, or shared. */
struct held_range {
	struct range range;
	sem_t granted;
};

void range_share(struct range_queue *queue, struct held_range *held, uint64_t start, uint64_t end);
void range_hold(struct range_queue *queue, struct held_range *held, uint64_t start, uint64_t end);
void range_drop(struct range_queue *queue, struct held_range *held);

static inline bool range_is_held(const struct range_queue *queue)
{
	return atomic_load_explicit(&queue->held, memory_order_relaxed) > 0;
}
