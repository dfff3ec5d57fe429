// SPDX-License-Identifier: GPL-2.0-or-later
#include "dirty.h"

enum dirty_action dirty_add(struct dirty *dirty, uint64_t bytes)
{
	uint64_t unwaited, unstarted;

	if (!dirty->limit)
		return DIRTY_GO_ON;
	unwaited = atomic_fetch_add(&dirty->unwaited, bytes) + bytes;
	unstarted = atomic_fetch_add(&dirty->unstarted, bytes) + bytes;
	if (unwaited > dirty->limit / 2)
		return DIRTY_WAIT;
	/* Only one of those who pass the mark at the same time starts it. */
	if (unstarted > dirty->limit / 4 &&
	    atomic_compare_exchange_strong(&dirty->unstarted, &(uint64_t){unstarted}, 0))
		return DIRTY_START;
	return DIRTY_GO_ON;
}

void dirty_waited(struct dirty *dirty, uint64_t unwaited)
{
	uint64_t now = atomic_load(&dirty->unwaited);

	/* Several may have waited for the same bytes: never count below zero. */
	while (!atomic_compare_exchange_weak(&dirty->unwaited, &now,
					     now > unwaited ? now - unwaited : 0))
		;
}
