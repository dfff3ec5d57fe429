/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metadata requests: everything but READ, WRITE and FSYNC. Workers hand them over as they were
 * read; a few threads that may sleep give them to libfuse, so a slow unlink or a cold lookup never
 * stands in front of a guest's write.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define META_THREADS 8

struct message;
struct mount;
struct fuse_session;
struct request;
struct worker;

struct meta_message {
	struct meta_message *next;
	struct fuse_session *session; /* of the device that it was read from: the reply's way */
	struct request *request;      /* or what came through a ring, to be answered there */
	bool spare; /* one of those that are there for short ones */
	size_t length;
	char bytes[]; /* header and arguments, as the kernel sent them */
};

struct meta {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct meta_message *first, **last;
	char *memory; /* of the spare ones */
	struct meta_message *spare;
	bool stopping;
	unsigned busy; /* threads at work */
	unsigned nthreads;
	_Atomic unsigned started;
	pthread_t threads[META_THREADS];
	struct fuse_session *sessions[META_THREADS]; /* for what came through rings */
};

/* -errno. */
int meta_start(struct mount *mount);

/* Does what is queued, then ends the threads. */
void meta_stop(struct mount *mount);

/* In a metadata thread: the number of the request that it works on, with the mark of a resent one.
 */
uint64_t meta_unique(void);

/* Whether nothing is queued or under way. */
bool meta_idle(struct mount *mount);

/* A worker's thread. The message, with what follows it at DATA, is copied; REQUEST is what it came
 * as through a ring, or NULL. -ENOMEM; -EINVAL and -ENOSYS of message_check(). */
int meta_submit(struct worker *worker, struct request *request, const struct message *message,
		const void *data);
