/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cache modes, by QEMU's and libvirt's names. The data path asks what a mode does, never which one
 * it is.
 */
#pragma once

#include <stdbool.h>

enum cache_mode {
	CACHE_NONE,
	CACHE_DIRECTSYNC,
	CACHE_WRITEBACK,
	CACHE_DONTCACHE,
	CACHE_WRITETHROUGH,
	CACHE_UNSAFE,
	CACHE_AUTO, /* a wish, never in effect: auto_pick() turns it into one of the others */
	CACHE_MODES,
};

struct cache_traits {
	const char *name;
	bool direct;  /* backing I/O bypasses the page cache */
	bool dsync;   /* every write is on stable storage before its reply */
	bool flush;   /* FSYNC reaches the device */
	bool bounded; /* dirty data is kept below dirty-limit */
	bool drop;    /* pages leave the page cache as soon as they are written */
};

const struct cache_traits *cache_traits(enum cache_mode mode);
