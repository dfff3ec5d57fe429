/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the store's command `log` writes: entries in the order in which they were done. */
#pragma once

#include <stdint.h>

enum log_op {
	LOG_WRITE, /* followed by LENGTH bytes of data */
	LOG_ZERO,  /* a discard, or a zeroing */
	LOG_FLUSH, /* an fsync: what stands before it is on stable storage with its answer */
};

struct log_entry {
	uint32_t op;
	uint32_t spare;
	uint64_t offset, length;
};
