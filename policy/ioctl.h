/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What bouncectl asks a mount to do with an open file of it, where an xattr does not suffice:
 * ioctls on that file. Each is short and can be done again, so they survive the daemon's death like
 * any other request; what takes long is done in steps, and who asks keeps count.
 */
#pragma once

#include <linux/ioctl.h>
#include <stdint.h>

enum bad_reason { BAD_DEVICE, BAD_CHECKSUM };

struct bad_range {
	uint64_t offset, length; /* bytes */
	uint32_t reason;	 /* enum bad_reason */
	uint32_t spare;
};

/* The kernel passes at most 16 KiB. */
#define BAD_RANGES 512

/*
 * One step of a scrub: reads the data from POSITION on, LENGTH bytes at most, and compares them
 * with their checksums if the file has some. Anybody who may read the file may do so. EAGAIN: too
 * many scrubs are at it; to be asked again soon.
 */
struct scrub_step {
	uint64_t position; /* becomes where the next step has to begin: SIZE or more at the end */
	uint64_t length;
	uint64_t size;	 /* out: of the file, from here on */
	uint64_t read;	 /* data that were read: holes are not */
	uint32_t summed; /* whether there are checksums */
	uint32_t nbad;
	struct bad_range bad[BAD_RANGES]; /* by offset */
};

#define IOC_SCRUB _IOWR('B', 1, struct scrub_step)
