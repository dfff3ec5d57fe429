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
#define BAD_RANGES 640

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

/* What is known of the file's checksums. */
struct checksum_state {
	uint32_t summed;   /* there are some */
	uint32_t building; /* those of TO_HASH bytes are not known yet */
	uint64_t to_hash, size;
	uint64_t bad;	  /* blocks listed as bad */
	uint64_t errors;  /* mismatches met since the file was opened */
	uint64_t sidecar; /* bytes on disk */
};

/* Blocks that were found to be bad, from POSITION on; becomes where to ask for more: UINT64_MAX:
 * there are no more. */
struct checksum_list {
	uint64_t position;
	uint32_t nbad, spare;
	struct bad_range bad[BAD_RANGES];
};

/* A block's data, from a copy that is good, perhaps. To be asked for with the file open for
 * writing. EALREADY: the block is fine; EBADMSG: the data are not what it was; ENODATA: nobody
 * knows. */
#define REPAIR_BLOCK 4096
struct checksum_repair {
	uint64_t offset;
	char data[REPAIR_BLOCK];
};

/* The checksums that a file had at PATH in the pool are this file's. Only root may say so. */
struct checksum_adopt {
	char path[4096];
};

#define IOC_SCRUB _IOWR('B', 1, struct scrub_step)
#define IOC_CHECKSUM_STATE _IOWR('B', 2, struct checksum_state)
#define IOC_CHECKSUM_ERRORS _IOWR('B', 3, struct checksum_list)
#define IOC_CHECKSUM_REPAIR _IOWR('B', 4, struct checksum_repair)
#define IOC_CHECKSUM_ADOPT _IOWR('B', 5, struct checksum_adopt)
