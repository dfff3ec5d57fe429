/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads an image wholly and compares it with its checksums, while it is in use. Without a lock: a
 * block that differs may have been overtaken by a write. Only such blocks are held, and read and
 * compared once more. So no guest ever waits for a scrub but where something is wrong.
 */
#pragma once

#include "image.h"
#include "policy/ioctl.h"

/* How large a read is; each of the threads of a step has one buffer of that size. */
#define SCRUB_CHUNK (1u << 20)
#define SCRUB_THREADS 2

/*
 * For threads that may sleep: does STEP, with threads of its own that have the lowest priority, and
 * stand back while TABLE's images have requests. FD is IMAGE, open for reading, with O_DIRECT if
 * DIRECT (else what was read is dropped from the page cache). A step ends early after a while or
 * when there is no room for more bad ranges. -errno if it cannot be done at all; what cannot be
 * read is a bad range.
 */
int scrub_do(const struct image_table *table, struct image *image, int fd, bool direct,
	     struct scrub_step *step);
