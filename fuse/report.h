/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Failed requests in the log, at most one a second: a worker waits for no log and looks up no name,
 * it leaves the failure here for a thread that may.
 */
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "cache/io.h"

struct mount;

struct report {
	pthread_t thread;
	sem_t wanted;		 /* a failure is there, or the end */
	_Atomic bool taken;	 /* the failure is somebody's: being noted, said, or just said */
	_Atomic unsigned unsaid; /* failures that came meanwhile */
	_Atomic bool stopping;
	struct {
		uint64_t key; /* of the image */
		enum io_kind kind;
		uint64_t offset;
		uint32_t length;
		int error; /* -errno */
	} failure;
};

/* -errno. */
int reporter_start(struct mount *mount);
void reporter_stop(struct mount *mount);

/* IO has failed with ERROR (-errno). For workers. */
void report_failure(struct mount *mount, const struct io *io, int error);
