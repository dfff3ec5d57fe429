/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bounds what an image has dirty in the page cache (modes writeback and dontcache), so that neither
 * an FSYNC nor a shutdown has gigabytes to wait for.
 *
 * Counted are the bytes written since the last sync that was waited for. At a quarter of the limit
 * writeback is started; who writes beyond the half waits for it before its write is answered.
 * Starting alone would not do: on a slow device 600 MiB became dirty that way.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#define DIRTY_LIMIT_DEFAULT (64ull << 20)

struct dirty {
	uint64_t limit;		    /* bytes; 0: unbounded */
	_Atomic uint64_t unwaited;  /* written since the last waited-for sync */
	_Atomic uint64_t unstarted; /* written since writeback was last started */
};

enum dirty_action { DIRTY_GO_ON, DIRTY_START, DIRTY_WAIT };

/* BYTES were written: what their writer has to do before it answers. */
enum dirty_action dirty_add(struct dirty *dirty, uint64_t bytes);

/* A wait that began when UNWAITED was read has succeeded. */
void dirty_waited(struct dirty *dirty, uint64_t unwaited);
