/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread that asks the kernel for memory in the place of the lanes. Where memory is scarce, that
 * waits for something to be written out, perhaps to a guest's disk: a lane that waited so would
 * wait for itself.
 */
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include "work.h"

struct helper {
	work_inbox inbox;
	sem_t wanted;
	_Atomic bool stopping;
	pthread_t thread;
};

/* -errno. */
int helper_start(struct helper *helper);

/* Does what was posted, then ends the thread. Nobody posts any more. */
void helper_stop(struct helper *helper);

/* Any thread: WORK runs in the helper's soon, in order of arrival. */
void helper_post(struct helper *helper, struct lane_work *work);
