/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has been done for an image since it was opened first, or for all files of a mount. Written
 * on the hot path without a lock; whoever reads meanwhile may find a request in one number and not
 * yet in the next.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "policy/latency.h"

enum io_kind { IO_READ, IO_WRITE, IO_FSYNC };
#define IO_KINDS 3

struct kind_counters {
	_Atomic uint64_t bytes;
	_Atomic uint64_t microseconds; /* from receipt to completion, of all together */
	_Atomic uint64_t latency[LATENCY_BUCKETS];
};

struct counters {
	struct kind_counters kind[IO_KINDS]; /* requests that succeeded */
	_Atomic uint64_t errors;
};

static inline unsigned latency_bucket(uint64_t us)
{
	unsigned bits = us ? 64 - __builtin_clzll(us) : 0;

	if (bits < LATENCY_FIRST_BITS)
		return 0;
	bits -= LATENCY_FIRST_BITS;
	return bits < LATENCY_BUCKETS ? bits : LATENCY_BUCKETS - 1;
}

static inline void count_request(struct kind_counters *kind, uint64_t bytes, uint64_t us)
{
	atomic_fetch_add_explicit(&kind->bytes, bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&kind->microseconds, us, memory_order_relaxed);
	atomic_fetch_add_explicit(&kind->latency[latency_bucket(us)], 1, memory_order_relaxed);
}

static inline uint64_t count_of(const struct kind_counters *kind)
{
	uint64_t n = 0;

	for (int i = 0; i < LATENCY_BUCKETS; i++)
		n += atomic_load_explicit(&kind->latency[i], memory_order_relaxed);
	return n;
}

/* SUM, which nobody else touches, has MORE as well. */
static inline void counters_add(struct counters *sum, const struct counters *more)
{
	for (int k = 0; k < IO_KINDS; k++) {
		sum->kind[k].bytes += more->kind[k].bytes;
		sum->kind[k].microseconds += more->kind[k].microseconds;
		for (int i = 0; i < LATENCY_BUCKETS; i++)
			sum->kind[k].latency[i] += more->kind[k].latency[i];
	}
	sum->errors += more->errors;
}
