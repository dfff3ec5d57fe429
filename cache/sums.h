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

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "work.h"

#define SUM_BLOCK 4096u

/* Files that are larger have none. */
#define SUMS_BYTES_MAX (65ull << 40)

struct image;
struct sums;	 /* the mount's */
struct sum_file; /* an open image's */
struct sum_intent;

/* ===== the mount's ===== */

struct sums_config {
	int root_fd; /* of the pool */
	void *context;
	/* What the image is called, for messages. Returns PATH or something better. */
	const char *(*name)(void *context, const struct image *image, char path[PATH_MAX]);
};

/* What outlives the process, for INTENTS writes at a time: a memfd, or -errno. */
int sums_memory(unsigned intents);

/* CONFIG stays the caller's, MEMORY_FD becomes ours. -EPROTO: of a version that we do not know. */
int sums_init(struct sums **sums, const struct sums_config *config, int memory_fd);

/* The two threads: none of them is needed to take over what a predecessor left. -errno. */
int sums_start(struct sums *sums);
void sums_stop(struct sums *sums);

/* After a take-over, when what was open is open again: of what was being closed then. */
void sums_settle_orphans(struct sums *sums);

struct sum_intent *sums_intent(struct sums *sums, unsigned index);

/* ===== opening and closing; for threads that may sleep ===== */

enum sums_wish {
	SUMS_KEEP, /* those that there are */
	SUMS_MAKE, /* there shall be some */
	SUMS_DROP, /* there shall be none */
};

/*
 * Gives IMAGE, which nobody reads or writes meanwhile, its sums if it has or gets some. FOREIGN is
 * an enum foreign_change. -EOPNOTSUPP: it cannot have any; -EPROTONOSUPPORT: of a version that we
 * do not know; -EIO: it was changed behind the mount and is to be refused (a line has said so).
 * -errno.
 */
int sums_open(struct sums *sums, struct image *image, enum sums_wish wish, int foreign);

/* IMAGE was moved and is another inode now. In the place of the sums that it has, if any, it gets
 * those that a file of its size had at PATH in the pool. Nobody uses it meanwhile. -ENOENT: there
 * are none. */
int sums_adopt(struct sums *sums, struct image *image, const char *path);

/* As far as possible all is as after a clean close: what was written is on the device, and nothing
 * would be hashed again after a crash. FLUSH: the cache mode has flushes, without which nothing is
 * believed to be on the device. Nobody writes meanwhile. */
void sums_settle(struct image *image, bool flush);

/* Nothing of ours reads the image by itself any more when it returns; or it may again. To be called
 * before the image is held for sums_close(). */
void sums_leave(struct image *image, bool leaving);

/* Nobody uses the image any more. Of a file without a name the sums go, too. */
void sums_close(struct image *image);

/* The file is gone that is still open as FD: so are its sums. */
void sums_remove(struct sums *sums, int fd);

/* Whether the file that is open (O_PATH will do) as FD has sums. */
bool sums_exist(struct sums *sums, int fd);

/* ===== the data path ===== */

/* What a read, a write or somebody else needs of the sums of some blocks. */
struct sums_op {
	struct sum_file *file;
	uint64_t first;	 /* block */
	uint32_t blocks; /* at most 496 */
	bool write;
	bool raw;		   /* also where the sums mean nothing */
	uint32_t whole, whole_end; /* write: those from here to there are overwritten wholly */
	void (*ready)(struct sums_op *op); /* another thread calls it */

	int32_t frame[2]; /* ours: one a region; -1: its sums mean nothing */
	bool begun;
	int error; /* write: nothing may be written */
	struct sums_op *next;
};

/* True: it has what it needs. False: ready() will be called. The blocks' range is held until the
 * end of the op. For a write the regions' dirty bits are durable then. */
bool sums_begin(struct sums_op *op);
void sums_end(struct sums_op *op);

/* The first of the op's blocks FROM to END (not included), which DATA are, that differs from its
 * sum; END: none does. */
uint32_t sums_differ(const struct sums_op *op, const void *data, uint32_t from, uint32_t end);

/* Before the op's DATA go out, and when they have arrived. In between INTENT says outside the
 * process what is under way. */
void sums_intend(const struct sums_op *op, const void *data, struct sum_intent *intent);
void sums_commit(const struct sums_op *op, struct sum_intent *intent);

/* The write failed: each block that it might have changed gets the sum of what is there now. For
 * threads that may sleep. */
void sums_settle_failed(const struct sums_op *op, struct sum_intent *intent);

/* WORK is done by a thread that may sleep. */
void sums_ask(struct sum_file *file, struct lane_work *work);

/* An fsync failed: what is dirty now may be lost. Any thread. */
void sums_doubt(struct image *image);

/* ===== changes of another kind than a write; for threads that may sleep ===== */

/* Widens a range to whole regions if the image has sums: what is to be held for a change. Returns
 * whether it has: it may get some before the range is granted. */
bool sums_widen(struct image *image, uint64_t *start, uint64_t *end);

/*
 * Before START to END (bytes) change; they are held. What the first and the last block keep is
 * verified: -EIO if that is bad. From here on their sums mean nothing, until one of the next says
 * what they are (or, after a failure, they are hashed again in time). -errno: nothing may be
 * changed.
 */
int sums_change(struct image *image, uint64_t start, uint64_t end, bool zeroing);
void sums_zeroed(struct image *image, uint64_t start, uint64_t end);
void sums_copied(struct image *image, uint64_t start, struct image *from, uint64_t from_start,
		 uint64_t length, uint64_t copied);
void sums_failed(struct image *image, uint64_t start, uint64_t end);

/* Before the file's times change. -errno. */
int sums_touch(struct image *image);

/* ===== for threads that may sleep; the image is open ===== */

/* It may get some, or lose them, at once. */
bool sums_present(struct image *image);

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
