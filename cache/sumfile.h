/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the checksums share (sums.c: the hot path; sumsd.c: the thread that owns the
 * sidecars; rehash.c: the thread that reads images). Nobody else includes it.
 *
 * Sums are used in frames, copies of sum pages in a memfd that outlives the process: what is in a
 * frame has survived its death. A frame whose sums are newer than the sidecar's is not given up
 * before they are written.
 *
 * What is known of a region is one atomic word. Its state there is the durable one but for the
 * moment in which sumsd makes it so, and only sumsd changes clean to anything else and back. A
 * region becomes clean only if no write was submitted to it from before its IDLE was set (when none
 * was under way) until the image and its sums were on the device; a write takes the IDLE away.
 */
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "image.h"
#include "sidecar.h"
#include "sums.h"

#define WORD_STATE 3u	       /* enum region_state */
#define WORD_BAD REGION_BAD    /* some blocks are listed as bad */
#define WORD_IDLE (1u << 3)    /* see above */
#define WORD_MARK (1u << 4)    /* sumsd: is being made dirty */
#define WORD_FLUX (1u << 5)    /* unhashed only while somebody changes the file (sums_change) */
#define WORD_REPORT (1u << 6)  /* its list of bad blocks is to be written */
#define WORD_WRITER (1u << 16) /* times the writes under way */
#define WORD_WRITERS (~0u << 16)

_Static_assert(REGIONS_MAX *REGION_BYTES > SUMS_BYTES_MAX, "all of the largest file");

struct sum_frame {
	_Atomic uint64_t id; /* of the sidecar; 0: free */
	_Atomic uint64_t region;
	_Atomic uint32_t changes; /* goes up with each */
	_Atomic uint32_t written; /* the last one that the sidecar has */
	uint64_t spare;
};

/* A write that is under way: if we die, what it covers holds the old or the new data. */
#define INTENT_BLOCKS 260u
struct sum_intent {
	_Atomic uint64_t id; /* of the sidecar; 0: none */
	uint64_t first;	     /* block */
	uint64_t blocks;
	uint64_t sums[INTENT_BLOCKS];
};

/* Whether the sidecar is up to date. */
enum sums_trust {
	SUMS_KEPT,
	SUMS_UNTOLD, /* it could not be, and does not say so yet: a crash would make it believed, so
			no write is let through */
	SUMS_BROKEN, /* it could not be, and will be hashed again: no sum is looked at */
};

struct sum_file {
	struct sums *sums;
	struct image *image;
	struct sidecar sidecar;
	struct sum_file *next;
	_Atomic uint32_t *word;	    /* by region */
	_Atomic uint16_t *frame;    /* by region: number + 1 of its frame, 0: none */
	_Atomic uint32_t *unclean;  /* by group: regions that are not clean */
	uint8_t *marking;	    /* by group: its map is to be written */
	_Atomic uint64_t unhashed;  /* regions */
	_Atomic uint64_t doubtful;  /* regions that were in doubt when it was opened */
	_Atomic uint64_t errors;    /* mismatches */
	_Atomic bool in_doubt;	    /* an fsync has failed, and its regions do not say so yet */
	_Atomic bool reports;	    /* some regions are WORD_REPORT */
	int error;		    /* sumsd: what came of the last batch */
	_Atomic int trust;	    /* enum sums_trust */
	_Atomic bool leaving;	    /* is being closed */
	_Atomic bool used;	    /* the header says that we have it open */
	bool marked;		    /* something of it waits for fdatasync */
	pthread_mutex_t sync_lock;  /* from setting IDLE, over a sync, to what becomes clean */
	struct timespec unreadable; /* rehash.c: when something could not be read */
	uint64_t cursor;	    /* rehash.c: where it goes on */
	uint64_t to_hash;	    /* rehash.c: regions, for the progress */
	struct timespec started, told;
	void *reserved;
};

/* Something that a thread waits for, done in another. */
struct sums_call {
	void (*run)(struct sums_call *call);
	struct sums_call *next;
	struct sum_file *file;
	uint64_t start, end; /* regions */
	void *context;
	int result;
	sem_t done;
};

struct sums_thread {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct sums_call *calls;
	struct sums_op *ops;
	work_inbox work; /* rehash */
	bool woken, stopping, running;
};

struct sums {
	const struct sums_config *config;
	int dir; /* .bouncefs; -1: there is none (yet) */
	struct sums_memory *memory;
	unsigned nframes, hand;
	struct sum_frame *frames;
	struct sum_page *pages; /* of the frames */
	struct sum_intent *intents;
	unsigned nintents;
	uint64_t memory_size;
	int memory_fd;
	_Atomic int32_t *pins;	 /* by frame; -1: being given up */
	struct sum_file **owner; /* by frame */
	uint64_t session;	 /* of this memory: whoever has it has what was written under it */
	pthread_mutex_t
		opening; /* by who opens a sidecar, or takes it from a file that is not open */
	pthread_mutex_t files_lock;
	struct sum_file
		*files; /* changed under the lock, and by nobody while rehash or sumsd look */
	struct sum_file *busy; /* the reader is at it; under the lock */
	pthread_cond_t not_busy;
	struct sums_thread keeper, reader;
};

static inline void unlock_sums(pthread_rwlock_t **lock)
{
	pthread_rwlock_unlock(*lock);
}

/* For who holds no range: checksum=off takes the sums away only when nobody looks at them. */
#define _keep_sums_(image)                                                     \
	__attribute__((cleanup(unlock_sums), unused)) pthread_rwlock_t *kept = \
		&(image)->sums_lock;                                           \
	pthread_rwlock_rdlock(kept)

/* For messages. Returns PATH or something better. */
static inline const char *name_of(const struct sum_file *file, char path[PATH_MAX])
{
	const struct sums_config *config = file->sums->config;

	return config->name(config->context, file->image, path);
}

static inline uint64_t region_of(uint64_t block)
{
	return block / REGION_BLOCKS;
}

static inline enum region_state state_of(uint32_t word)
{
	return word & WORD_STATE;
}

static inline uint64_t load_sum(const struct sum_page *page, unsigned block)
{
	return __atomic_load_n(&page->sums[block], __ATOMIC_RELAXED);
}

static inline void store_sum(struct sum_page *page, unsigned block, uint64_t sum)
{
	__atomic_store_n(&page->sums[block], sum, __ATOMIC_RELAXED);
}

static inline bool is_listed(const struct sum_page *page, unsigned block)
{
	return __atomic_load_n(&page->bad[block / 64], __ATOMIC_RELAXED) >> block % 64 & 1;
}

/* While others may be changing it. */
static inline void sums_copy_page(struct sum_page *to, const struct sum_page *from)
{
	const uint64_t *word = (const uint64_t *)from;

	for (unsigned i = 0; i < sizeof(*from) / sizeof(*word); i++)
		((uint64_t *)to)[i] = __atomic_load_n(&word[i], __ATOMIC_RELAXED);
}

/* ===== sums.c ===== */

uint64_t sum_of(const void *block);
bool sums_unlists(const struct sums_op *op, uint64_t region, const struct sum_page *page);

/* An op that a thread waits for. */
struct waiting_op {
	struct sums_op op;
	sem_t ready;
};
void sums_begin_waiting(struct waiting_op *w, struct sum_file *file, uint64_t first,
			uint32_t blocks, bool raw);

/* ===== sumsd.c ===== */

void *sumsd_thread(void *sums);
void sums_queue(struct sums_thread *keeper, struct sums_op *op);
void sums_wake(struct sums_thread *thread);

/* Before the image is used: it may be in memory that a predecessor left. After, under sync_lock:
 * SYNCED says whether the data of what is idle are on the device. */
void sumsd_join(struct sum_file *file);
int sumsd_settle(struct sum_file *file, bool synced);
void sumsd_leave(struct sum_file *file);

/* Only by the thread, or before the file has joined. */
void sumsd_set_state(struct sum_file *file, uint64_t region, enum region_state state);
void sumsd_restore_state(struct sum_file *file, uint64_t region, enum region_state state);
int sumsd_write_marks(struct sum_file *file);
int sumsd_begin_use(struct sum_file *file);
uint64_t sumsd_next_unclean(const struct sum_file *file, uint64_t region);

/* Regions FIRST to END are about to be changed: durably without meaning, or, where ZEROING, those
 * that have sums. Then: they mean something again; sum pages of PUNCH to PUNCH_END are all zero. */
int sumsd_change(struct sum_file *file, uint64_t first, uint64_t end, bool zeroing);
void sumsd_changed(struct sum_file *file, uint64_t first, uint64_t end, uint64_t punch,
		   uint64_t punch_end);
void sumsd_failed(struct sum_file *file, uint64_t first, uint64_t end);
bool sumsd_has_sums(struct sum_file *file, uint64_t region);

/* The region's sums mean nothing (any more); and now they do. */
void sumsd_unhash(struct sum_file *file, uint64_t region);
void sumsd_hashed(struct sum_file *file, uint64_t region);

/* Under sync_lock. What has no write under way is idle until the next one. Then, when the image has
 * been synced successfully, it is clean. */
void sums_set_idle(struct sum_file *file);
void sumsd_clear(struct sum_file *file);

/* ===== sumfile.c ===== */

/* .bouncefs of the pool, opened once. -ENOENT. */
int sums_store(struct sums *sums, bool make);

/* ===== sweep.c ===== */

struct sums_sweep;

/* Removes, one a call, the sidecars of files that were removed behind the mount. False: no more. */
struct sums_sweep *sums_sweep_begin(struct sums *sums);
bool sums_sweep_next(struct sums_sweep *sweep);
void sums_sweep_end(struct sums_sweep *sweep);

/* ===== rehash.c ===== */

void *rehash_thread(void *arg);
