/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checksums of an image's blocks (bouncefs-checksums(5)): XXH3 of each 4096 bytes, verified at
 * every read and renewed at every write. A block that reads as zeroes has the sum 0, and so has one
 * that was never written.
 *
 * A file has sums as long as it has a sidecar (sidecar.h), whatever its name. Who reads or changes
 * blocks holds their range (rangelock.h) meanwhile; that is what makes a sum and its block one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SUM_BLOCK 4096u

struct image;

/* ===== for threads that may sleep; the image is open ===== */

enum sums_phase {
	SUMS_NONE,     /* the image has no sums */
	SUMS_BUILDING, /* those of some regions are not known (again) yet: reads there are not
			  verified */
	SUMS_COMPLETE,
};

struct sums_state {
	enum sums_phase phase;
	uint64_t to_hash; /* bytes whose sums are not known yet */
	uint64_t dirty;	  /* bytes that a crash of the machine would make us hash again */
	uint64_t bad;	  /* blocks that are listed as bad */
	uint64_t errors;  /* mismatches met since the image was opened */
	uint64_t sidecar; /* bytes on disk */
};

void sums_state(struct image *image, struct sums_state *state);

/*
 * Which of the blocks of DATA, which begins at OFFSET of the image, differ from their sums as they
 * are now: sets bit N of BAD (the caller's, and zero before) for the Nth. LENGTH and OFFSET are of
 * whole blocks; what lies beyond the end of the file is zero. Says and counts nothing. Returns
 * their number; -errno if the sums cannot be read. What has no sums, or none yet, never differs.
 */
int sums_compare(struct image *image, const void *data, uint64_t offset, uint32_t length,
		 uint64_t *bad);

/* The first OFFSET from here on where there may be sums; -ENXIO: there are none. */
int64_t sums_seek(struct image *image, uint64_t offset);

/* BLOCK, read with its range held, differs from its sum and did so twice: log line, counter, entry
 * in the persistent list. */
void sums_report(struct image *image, const void *block, uint64_t offset);

/* Blocks listed as bad from *OFFSET on: the next such range. False: no more. */
bool sums_error_next(struct image *image, uint64_t *offset, uint64_t *length);

/* Writes DATA over a block that differs from its sum, if DATA does not. Holds the range itself. 0:
 * it is written and on the device; -EALREADY: the block is fine; -EBADMSG: DATA is not what it was;
 * -ENODATA: there are no sums (yet). -errno. */
int sums_repair(struct image *image, const void *data, uint64_t offset);

/* The image was moved (it is another inode now): takes the sums that a file of its size had at PATH
 * in the pool instead of those that it has. Holds the image. -ENOENT: there are none. -errno. */
int sums_adopt(struct image *image, const char *path);
