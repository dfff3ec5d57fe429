/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads, and a list of things to be done by another one, which any may push to without a lock. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* One that needs little stack, which is locked memory. -errno. */
static inline int thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
	pthread_attr_t attr;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	rc = -pthread_create(thread, &attr, run, arg);
	pthread_attr_destroy(&attr);
	return rc;
}

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
