// SPDX-License-Identifier: GPL-2.0-or-later
#include "rangelock.h"

#include <stddef.h>

#include "policy/util.h"

void range_queue_init(struct range_queue *queue)
{
	pthread_mutex_init(&queue->lock, NULL);
	queue->first = queue->last = NULL;
	queue->waiting = 0;
	queue->held = 0;
}

static bool conflict(const struct range *a, const struct range *b)
{
	return a->start < b->end && b->start < a->end && (a->exclusive || b->exclusive);
}

static bool grantable(const struct range *range)
{
	for (const struct range *earlier = range->prev; earlier; earlier = earlier->prev)
		if (conflict(earlier, range))
			return false;
	return true;
}

bool range_acquire(struct range_queue *queue, struct range *range)
{
	bool granted;

	pthread_mutex_lock(&queue->lock);
	range->next = NULL;
	range->prev = queue->last;
	*(queue->last ? &queue->last->next : &queue->first) = range;
	queue->last = range;
	granted = range->granted = grantable(range);
	if (!granted)
		queue->waiting++;
	pthread_mutex_unlock(&queue->lock);
	return granted;
}

/* The next waiting range after FROM that nothing keeps back any more; it is marked granted. */
static struct range *next_grant(struct range_queue *queue, struct range *from)
{
	for (struct range *r = from; r && queue->waiting; r = r->next) {
		if (r->granted || !grantable(r))
			continue;
		r->granted = true;
		queue->waiting--;
		return r;
	}
	return NULL;
}

void range_release(struct range_queue *queue, struct range *range)
{
	struct range *wake[16];
	unsigned n;

	pthread_mutex_lock(&queue->lock);
	*(range->prev ? &range->prev->next : &queue->first) = range->next;
	*(range->next ? &range->next->prev : &queue->last) = range->prev;
	do {
		/* Who is called back may release at once, and its range be gone: so collect under
		 * the lock, call without it, and begin again from the front. */
		struct range *r = queue->waiting ? queue->first : NULL;

		for (n = 0; n < ARRAY_SIZE(wake) && (r = next_grant(queue, r)); n++)
			wake[n] = r;
		pthread_mutex_unlock(&queue->lock);
		for (unsigned i = 0; i < n; i++)
			wake[i]->on_grant(wake[i]);
		if (n < ARRAY_SIZE(wake))
			return;
		pthread_mutex_lock(&queue->lock);
	} while (true);
}

static void wake_sleeper(struct range *range)
{
	sem_post(&container_of(range, struct held_range, range)->granted);
}

static void wait_for(struct range_queue *queue, struct held_range *held, uint64_t start,
		     uint64_t end, bool exclusive)
{
	held->range = (struct range){
		.start = start,
		.end = end,
		.exclusive = exclusive,
		.on_grant = wake_sleeper,
	};
	atomic_fetch_add(&queue->held, 1);
	sem_init(&held->granted, 0, 0);
	if (!range_acquire(queue, &held->range))
		while (sem_wait(&held->granted) < 0 && errno == EINTR)
			;
}

void range_hold(struct range_queue *queue, struct held_range *held, uint64_t start, uint64_t end)
{
	wait_for(queue, held, start, end, true);
}

void range_share(struct range_queue *queue, struct held_range *held, uint64_t start, uint64_t end)
{
	wait_for(queue, held, start, end, false);
}

void range_drop(struct range_queue *queue, struct held_range *held)
{
	range_release(queue, &held->range);
	sem_destroy(&held->granted);
	atomic_fetch_sub(&queue->held, 1);
}
