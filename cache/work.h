/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Things to be done by another thread: a list without a lock that any thread may push to. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct lane_work {
	void (*run)(struct lane_work *work);
	struct lane_work *next;
};

typedef _Atomic(struct lane_work *) work_inbox; /* newest first */

/* True if it was empty: its owner has to be woken. */
static inline bool work_push(work_inbox *inbox, struct lane_work *work)
{
	struct lane_work *head = atomic_load(inbox);

	do {
		work->next = head;
	} while (!atomic_compare_exchange_weak(inbox, &head, work));
	return !head;
}

/* Does all that is there, oldest first. */
static inline void work_run_all(work_inbox *inbox)
{
	struct lane_work *newest = atomic_exchange(inbox, NULL), *oldest = NULL;

	while (newest) {
		struct lane_work *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest) {
		struct lane_work *next = oldest->next; /* it may be gone after the call */

		oldest->run(oldest);
		oldest = next;
	}
}
