// SPDX-License-Identifier: GPL-2.0-or-later
#include "dirty.h"

#include <stddef.h>

#include "policy/util.h"

void dirty_init(struct dirty *dirty)
{
	*dirty = (struct dirty){.last = &dirty->first};
	pthread_mutex_init(&dirty->lock, NULL);
}

static bool too_far(const struct dirty *dirty, const struct dirty_wait *wait)
{
	return wait->end > dirty->clean + dirty->limit / 2;
}

static void widen(struct dirty_span *span, struct dirty_span more)
{
	if (more.from == more.to)
		return;
	if (span->from == span->to)
		*span = more;
	span->from = MIN(span->from, more.from);
	span->to = MAX(span->to, more.to);
}

static void cover(struct dirty *dirty)
{
	widen(&dirty->at_risk, dirty->uncovered);
	dirty->uncovered = (struct dirty_span){0};
	dirty->covered = dirty->written;
}

static void clean_up_to(struct dirty *dirty, uint64_t mark)
{
	dirty->clean = MAX(dirty->clean, mark);
	if (mark >= dirty->covered)
		dirty->at_risk = (struct dirty_span){0};
}

static void begin_sync(struct dirty *dirty)
{
	dirty->syncing = true;
	dirty->sync_mark = dirty->started = dirty->written;
	cover(dirty);
}

static void enqueue(struct dirty *dirty, struct dirty_wait *wait)
{
	wait->next = NULL;
	*dirty->last = wait;
	dirty->last = &wait->next;
}

static struct dirty_wait *dequeue(struct dirty *dirty)
{
	struct dirty_wait *wait = dirty->first;

	dirty->first = wait->next;
	if (!dirty->first)
		dirty->last = &dirty->first;
	return wait;
}

enum dirty_action dirty_add(struct dirty *dirty, struct dirty_span span, struct dirty_wait *wait)
{
	enum dirty_action action = DIRTY_GO_ON;

	pthread_mutex_lock(&dirty->lock);
	wait->end = dirty->written += span.to - span.from;
	widen(&dirty->uncovered, span);
	if (too_far(dirty, wait) && dirty->syncing) {
		enqueue(dirty, wait);
		action = DIRTY_WAIT;
	} else if (too_far(dirty, wait)) {
		begin_sync(dirty);
		action = DIRTY_SYNC;
	} else if (dirty->written - dirty->started > dirty->limit / 8) {
		dirty->started = dirty->written;
		action = DIRTY_START;
	}
	pthread_mutex_unlock(&dirty->lock);
	return action;
}

/* All that were waiting in the order of their ends: those that need not wait any longer. */
static struct dirty_wait *take_released(struct dirty *dirty)
{
	struct dirty_wait *first = NULL, **last = &first;

	while (dirty->first && !too_far(dirty, dirty->first)) {
		*last = dequeue(dirty);
		last = &(*last)->next;
	}
	*last = NULL;
	return first;
}

void dirty_synced(struct dirty *dirty)
{
	struct dirty_wait *released, *next_syncer = NULL;

	pthread_mutex_lock(&dirty->lock);
	clean_up_to(dirty, dirty->sync_mark);
	released = take_released(dirty);
	dirty->syncing = false;
	if (dirty->first) {
		next_syncer = dequeue(dirty);
		begin_sync(dirty);
	}
	pthread_mutex_unlock(&dirty->lock);
	while (released) {
		struct dirty_wait *wait = released;

		released = wait->next; /* it may be gone after the call */
		wait->go_on(wait, false);
	}
	if (next_syncer)
		next_syncer->go_on(next_syncer, true);
}

uint64_t dirty_mark(struct dirty *dirty)
{
	uint64_t mark;

	pthread_mutex_lock(&dirty->lock);
	mark = dirty->written;
	cover(dirty);
	pthread_mutex_unlock(&dirty->lock);
	return mark;
}

void dirty_cleaned(struct dirty *dirty, uint64_t mark)
{
	pthread_mutex_lock(&dirty->lock);
	clean_up_to(dirty, mark);
	pthread_mutex_unlock(&dirty->lock);
}

struct dirty_span dirty_lost(struct dirty *dirty)
{
	struct dirty_span lost;

	pthread_mutex_lock(&dirty->lock);
	cover(dirty);
	lost = dirty->at_risk;
	dirty->at_risk = (struct dirty_span){0};
	pthread_mutex_unlock(&dirty->lock);
	return lost;
}

uint64_t dirty_outstanding(struct dirty *dirty)
{
	uint64_t bytes;

	pthread_mutex_lock(&dirty->lock);
	bytes = dirty->written - dirty->clean;
	pthread_mutex_unlock(&dirty->lock);
	return bytes;
}
