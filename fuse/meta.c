// SPDX-License-Identifier: GPL-2.0-or-later
#include "meta.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "abi.h"
#include "message.h"
#include "mount.h"
#include "ops.h"
#include "policy/log.h"
#include "policy/util.h"

static __thread uint64_t current_unique;

uint64_t meta_unique(void)
{
	return current_unique;
}

/* ===== messages ===== */

/* Nearly all are as short as this and there are no more at a time: they are there from the start,
 * since a worker must not wait for memory. */
#define SHORT_LENGTH 512
#define SHORT_STRIDE (sizeof(struct meta_message) + SHORT_LENGTH)
#define SPARES 256

static int make_spares(struct meta *meta)
{
	meta->memory = calloc(SPARES, SHORT_STRIDE);
	if (!meta->memory)
		return -ENOMEM;
	for (unsigned i = 0; i < SPARES; i++) {
		struct meta_message *message = (void *)(meta->memory + i * SHORT_STRIDE);

		*message = (struct meta_message){.spare = true, .next = meta->spare};
		meta->spare = message;
	}
	return 0;
}

static struct meta_message *message_new(struct meta *meta, size_t length)
{
	struct meta_message *message = NULL;

	if (length <= SHORT_LENGTH) {
		pthread_mutex_lock(&meta->lock);
		message = meta->spare;
		if (message)
			meta->spare = message->next;
		pthread_mutex_unlock(&meta->lock);
	}
	if (!message) {
		message = malloc(sizeof(*message) + length);
		if (!message)
			return NULL;
		message->spare = false;
	}
	message->next = NULL;
	message->length = length;
	return message;
}

static void message_free(struct meta *meta, struct meta_message *message)
{
	if (!message->spare) {
		free(message);
		return;
	}
	pthread_mutex_lock(&meta->lock);
	message->next = meta->spare;
	meta->spare = message;
	pthread_mutex_unlock(&meta->lock);
}

/* ===== threads ===== */

/* The next message, after the last one is done with. */
static struct meta_message *take(struct meta *meta, bool was_busy)
{
	struct meta_message *message;

	pthread_mutex_lock(&meta->lock);
	meta->busy -= was_busy;
	while (!meta->first && !meta->stopping)
		pthread_cond_wait(&meta->more, &meta->lock);
	message = meta->first;
	if (message) {
		meta->busy++;
		meta->first = message->next;
		if (!meta->first)
			meta->last = &meta->first;
	}
	pthread_mutex_unlock(&meta->lock);
	return message;
}

bool meta_idle(struct mount *mount)
{
	struct meta *meta = &mount->meta;
	bool idle;

	pthread_mutex_lock(&meta->lock);
	idle = !meta->busy && !meta->first;
	pthread_mutex_unlock(&meta->lock);
	return idle;
}

static void process(struct mount *mount, unsigned thread, struct meta_message *message)
{
	struct fuse_buf buf = {.mem = message->bytes, .size = message->length};

	if (ops_raw(mount, message))
		return;
	if (message->request)
		uring_meta_process(mount, thread, message);
	else
		fuse_session_process_buf(message->session, &buf);
}

static void *meta_thread(void *arg)
{
	struct mount *mount = arg;
	struct meta_message *message;
	_Atomic uint64_t *executing;
	unsigned thread;

	pthread_setname_np(pthread_self(), "bouncefs/meta");
	if (setpriority(PRIO_PROCESS, 0, 5) < 0)
		log_info("setpriority: %s", strerror(errno));
	/* A umask of its own: that of the caller it works for. */
	if (unshare(CLONE_FS) < 0)
		log_warn("metadata thread: unshare: %s", strerror(errno));
	thread = atomic_fetch_add(&mount->meta.started, 1);
	executing = state_executing_meta(&mount->state, thread);
	for (bool busy = false; (message = take(&mount->meta, busy)); busy = true) {
		current_unique = ((struct fuse_in_header *)message->bytes)->unique;
		atomic_store(executing, current_unique & ~FUSE_UNIQUE_RESEND);
		process(mount, thread, message);
		atomic_store(executing, 0);
		message_free(&mount->meta, message);
	}
	return NULL;
}

int meta_start(struct mount *mount)
{
	struct meta *meta = &mount->meta;
	int rc = make_spares(meta);

	meta->last = &meta->first;
	pthread_mutex_init(&meta->lock, NULL);
	pthread_cond_init(&meta->more, NULL);
	while (meta->nthreads < META_THREADS && !rc) {
		rc = thread_start(&meta->threads[meta->nthreads], meta_thread, mount);
		meta->nthreads += !rc;
	}
	return rc;
}

void meta_stop(struct mount *mount)
{
	struct meta *meta = &mount->meta;

	pthread_mutex_lock(&meta->lock);
	meta->stopping = true;
	pthread_cond_broadcast(&meta->more);
	pthread_mutex_unlock(&meta->lock);
	for (unsigned i = 0; i < meta->nthreads; i++)
		pthread_join(meta->threads[i], NULL);
	free(meta->memory);
}

int meta_submit(struct worker *worker, struct request *request, const struct message *from,
		const void *data)
{
	struct meta *meta = &worker->mount->meta;
	size_t length = sizeof(*from->header) + from->arg_length + from->data_length;
	struct meta_message *message = message_new(meta, length);
	char *to;
	int rc;

	if (!message)
		return -ENOMEM;
	message->session = worker->session;
	message->request = request;
	to = mempcpy(message->bytes, from->header, sizeof(*from->header));
	to = mempcpy(to, from->arg, from->arg_length);
	memcpy(to, data, from->data_length);
	rc = message_check((struct fuse_in_header *)message->bytes, length);
	if (rc < 0) {
		message_free(meta, message);
		return rc;
	}
	pthread_mutex_lock(&meta->lock);
	*meta->last = message;
	meta->last = &message->next;
	pthread_cond_signal(&meta->more);
	pthread_mutex_unlock(&meta->lock);
	return 0;
}
