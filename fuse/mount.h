/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One mount: the only global state there is. Made by main.c, read by everybody, changed by nobody
 * else but through the parts' own functions.
 */
#pragma once

#include "cache/image.h"
#include "meta.h"
#include "node.h"
#include "options.h"
#include "policy.h"
#include "protocol.h"
#include "report.h"
#include "state.h"
#include "worker.h"

struct mount {
	struct options options;
	int root_fd;   /* SOURCE, locked; opened before anything was mounted over it */
	int device_fd; /* /dev/fuse; the workers' are clones of it */
	struct protocol protocol;
	struct state state;
	struct node_table nodes;
	struct image_table images;
	struct image_keeper image_keeper;
	struct sums *sums;
	struct sums_config sums_config;
	int sums_fd;
	struct policy policy;
	struct report report;
	struct lane *lanes; /* one a worker */
	struct helper helper;
	struct worker *workers;
	unsigned nworkers;
	int clones[THREADS_MAX]; /* of the device, one a worker */
	struct meta meta;
	int gone_fd; /* eventfd: the connection has ended */
	_Atomic unsigned open_files;
	_Atomic uint32_t file_rover; /* where to look for a free record first */
};
