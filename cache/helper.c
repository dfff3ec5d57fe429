// SPDX-License-Identifier: GPL-2.0-or-later
#include "helper.h"

#include <errno.h>

static void *helper_thread(void *arg)
{
	struct helper *helper = arg;

	pthread_setname_np(pthread_self(), "bouncefs/memory");
	for (bool stopping = false; !stopping;) {
		while (sem_wait(&helper->wanted) < 0)
			;
		stopping = helper->stopping;
		work_run_all(&helper->inbox);
	}
	return NULL;
}

int helper_start(struct helper *helper)
{
	*helper = (struct helper){.inbox = NULL};
	sem_init(&helper->wanted, 0, 0);
	return thread_start(&helper->thread, helper_thread, helper);
}

void helper_stop(struct helper *helper)
{
	helper->stopping = true;
	sem_post(&helper->wanted);
	pthread_join(helper->thread, NULL);
	sem_destroy(&helper->wanted);
}

void helper_post(struct helper *helper, struct lane_work *work)
{
	if (work_push(&helper->inbox, work))
		sem_post(&helper->wanted);
}
