/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Open backing files. All opens of one file share one struct image, hence one cache mode, one set
 * of range locks and one memory of errors. (Ordinary files that are no VM images go the same way,
 * with cache mode writeback.)
 *
 * Opening, closing and looking up by key are for threads that may sleep. image_at() and the reading
 * of an image that is open are for the hot path and take no lock: FUSE sends no request on a file
 * before its OPEN is answered nor after its RELEASE.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "counters.h"
#include "dirty.h"
#include "lane.h"
#include "policy/settings.h"
#include "rangelock.h"
#include "sums.h"

/* Direct I/O that is coarser than this is not used: the slots have no room to widen a request. */
#define IMAGE_ALIGN_MAX SLOT_PAGE

/*
 * What outlives the process of an open image, in memory that its user provides. A record is in use
 * while its key is not 0; the key is written last and cleared first.
 */
struct image_record {
	_Atomic uint64_t key;
	uint32_t is_image;
	/* Errors that no request got to see: the sequence number goes up with each, and every
	 * opener whose own number is behind gets the error at its next FSYNC. */
	_Atomic uint32_t error_seq;
	_Atomic int32_t error; /* -errno */
	/* Bit N: witness N is being fsynced. What it says is lost if we die before the bit is
	 * cleared. */
	_Atomic uint32_t witness_busy;
	/* Syncs under way: what they are told is lost if we die before it is remembered. */
	_Atomic uint32_t syncing;
	_Atomic uint32_t unheard; /* somebody died so, and no witness has been heard since */
	_Atomic int32_t backing;  /* the kernel's number for reading it past us; 0: none */
	struct settings settings;
	uint8_t spare[152];
};
_Static_assert(sizeof(struct image_record) == 256, "image records have a fixed size");

#define IMAGE_WITNESSES 2

struct image {
	uint64_t key;
	struct image_record *record;
	struct image *next; /* in the table's bucket */
	unsigned index;	    /* in the table */
	unsigned opens, writers;
	int access;    /* open(2) flags of the descriptors */
	bool writable; /* descriptors are open for writing */
	bool is_image; /* else an ordinary file; an image's descriptors are fixed files of every
			  lane */

	/* In effect; CACHE_AUTO is resolved. Changed only by who holds both the table's lock and
	 * all of the ranges: either of them is enough for reading. */
	struct settings settings;
	const struct cache_traits *traits; /* of the cache mode */
	int fd;				   /* where data goes: with O_DIRECT if traits->direct */
	int cached_fd;			   /* without O_DIRECT; the same as fd if !traits->direct */
	uint32_t align; /* of offset and length for fd, bytes; 1 if !traits->direct */
	/* Found out at the first use: what the backing file cannot do. */
	_Atomic bool lacks_dontcache, lacks_zeroing;

	struct range_queue ranges;
	struct dirty dirty;
	pthread_mutex_t changing; /* the settings, or the sums: by one at a time */

	/* Of its blocks; NULL: it has none. Changed only by who holds all of the ranges (or before
	 * and after anybody uses the image) and the lock. */
	struct sum_file *sums;
	pthread_rwlock_t sums_lock;

	/*
	 * Witnesses: descriptions that nobody fsyncs and that are kept outside the process. An
	 * error that an fsync returned is gone for the next one on the same description, so after a
	 * predecessor's death only they tell what it may have heard and not passed on. They are
	 * also how an unlinked file is opened again.
	 */
	int witness[IMAGE_WITNESSES]; /* -1: none */
	_Atomic bool witness_due;     /* to be heard before the next FSYNC is answered */

	_Atomic uint32_t error_told; /* the last of record->error_seq that any opener heard of */

	struct counters counters;
	_Atomic uint64_t read_undropped; /* bytes read since the page cache was dropped */
};

/* Who keeps what an image has outside the process (fuse/takeover.h). */
struct image_keeper {
	void *context;
	/* Returns when N of them are kept, from the FIRST on, and what was forgotten before is
	 * gone. -errno. */
	int (*keep)(unsigned index, unsigned first, const int *witnesses, unsigned n);
	void (*forget)(unsigned index, unsigned witness);
	/* The last close: the record is about to be free. */
	void (*ended)(void *context, struct image_record *record);
};

#define IMAGE_BUCKETS 1024

struct image_table {
	struct image **images;	      /* by index; NULL: free */
	struct image_record *records; /* by index */
	const struct image_keeper *keeper;
	struct sums *sums;
	unsigned size;
	unsigned rover; /* where to look for a free index first */
	struct image *buckets[IMAGE_BUCKETS];
	struct lane *lanes;
	unsigned nlanes;
	pthread_mutex_t lock; /* opens and closes */
	struct counters past; /* of images that are closed */
};

/* What is to be opened. */
struct image_request {
	uint64_t key;  /* one number a file: the same for each of its names */
	bool is_image; /* by its name: a VM image, else an ordinary file */
	bool append;   /* for writing at the end only: all that an append-only file allows */
	bool write;    /* for writing, or for reading only */
	/* Opens the file with open(2) FLAGS (O_RDWR or O_RDONLY, O_DIRECT perhaps); fd or -errno.
	 */
	int (*open)(void *context, int flags);
	/* The settings of the file that is open as FD. May make an image of it. -errno. */
	int (*resolve)(void *context, int fd, bool *is_image, struct settings *settings);
	void *context;
};

/* SIZE: how many files may be open at once, and how many RECORDS there are. Everything given stays
 * the caller's. -ENOMEM. */
int image_table_init(struct image_table *table, unsigned size, struct image_record *records,
		     const struct image_keeper *keeper, struct sums *sums, struct lane *lanes,
		     unsigned nlanes);
void image_table_fini(struct image_table *table);

/* Opens (1) or shares (0). Each success is to be paired with one image_close(). -errno of open(2),
 * -ENFILE. */
int image_open(struct image_table *table, const struct image_request *request,
	       struct image **image);

/*
 * Opens again what a predecessor had open at INDEX, for so many OPENS and WRITERS, which have heard
 * of errors up to ERROR_TOLD. WITNESS are the descriptors that were kept, -1 for none.
 * REQUEST->open is asked only where there is none. -errno.
 */
int image_adopt(struct image_table *table, unsigned index, const struct image_request *request,
		unsigned opens, unsigned writers, uint32_t error_told,
		const int witness[IMAGE_WITNESSES]);

/* Makes sure that the file can be opened again after it has no name any more. -errno. */
int image_keep(struct image_table *table, struct image *image);

/* The last close of a writer syncs first. Returns the error that nobody heard of (-errno), which is
 * the next opener's. */
int image_close(struct image_table *table, struct image *image, bool writer);

/* Gives up write access that nobody needs any more (FS_IOC_ENABLE_VERITY demands it). -ETXTBSY:
 * there are writers; -errno. */
int image_make_readonly(struct image_table *table, struct image *image,
			const struct image_request *request);

/* An open file's image, for threads that may sleep; NULL if nobody has it open. It is one more open
 * (not a writer's), to be closed. */
struct image *image_find(struct image_table *table, uint64_t key);

/* The open image with the lowest index from *INDEX on, and *INDEX beyond it; NULL: no more. As with
 * image_find(), it is to be closed. */
struct image *image_next(struct image_table *table, unsigned *index);

/*
 * Resolves the settings again and puts them into effect while the image is in use: its requests
 * wait meanwhile, none fails. 1: something has changed. -errno: all is as it was.
 */
int image_reconfigure(struct image_table *table, struct image *image,
		      const struct image_request *request);

/* The checksums that a file of the same size had at PATH in the pool, before it was moved and
 * became this one, are the image's from now on. -ENOENT: there are none. -errno. */
int image_adopt_sums(struct image_table *table, struct image *image, const char *path);

/* Sum over all that are open or were. */
void image_table_counters(struct image_table *table, struct counters *sum);

/* What is in effect. */
struct settings image_settings(struct image_table *table, const struct image *image);

/* Checksums that there are count as wished for where nobody says anything. */
void image_tell_checksum(bool has_sums, struct settings *settings);

/* Bytes in the page cache that are not on the device yet. */
uint64_t image_dirty(struct image *image);

static inline struct image *image_at(const struct image_table *table, unsigned index)
{
	return table->images[index];
}

/* Bytes; -errno. */
int64_t image_size(const struct image *image);

/* Whole blocks (SUM_BLOCK) at OFFSET, zero beyond the end of the file; FRESH: from the device. DATA
 * are aligned as a block. For threads that may sleep and hold the range. -errno. */
int image_read_blocks(struct image *image, void *data, uint32_t length, uint64_t offset,
		      bool fresh);

/* One block; it is on stable storage when it returns. Nothing beyond the end of the file. -errno.
 */
int image_write_block(struct image *image, const void *data, uint64_t offset);

/* All that was written so far is on stable storage, or the error is remembered. -errno. */
int image_flush(struct image *image);

/* These bytes' dirty pages have been written, or the error is remembered. -errno. */
int image_write_out(struct image *image, uint64_t offset, uint32_t length);

/* Takes off the file that is open (O_PATH will do) as FD what a change by somebody without
 * CAP_FSETID ends. -errno. */
int image_drop_privileges(int fd);

/* Around each sync of the image, which consumes errors of earlier writes; the result is remembered
 * if it is one. */
void image_sync_begin(struct image *image);
void image_sync_end(struct image *image, int result);

/* Remembers an error that is nobody's yet, or that every opener must hear of (-errno). */
void image_remember_error(struct image *image, int error);

/* The error that an opener who knows of those up to SEEN has not heard of yet, or 0. *SEQ is what
 * it will have heard of with this answer: to be noted only when that has been sent. */
int image_recall_error(const struct image *image, uint32_t seen, uint32_t *seq);

/* An opener has been told of all errors up to SEQ. */
void image_told(struct image *image, uint32_t seq);

/* Fixed file number of an image's descriptor. */
static inline unsigned image_file(const struct image *image, bool cached)
{
	return LANE_FILE_IMAGES + 2 * image->index + (cached ? 1 : 0);
}
