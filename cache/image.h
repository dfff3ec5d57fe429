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

#include "dirty.h"
#include "lane.h"
#include "policy/settings.h"
#include "rangelock.h"

/* Direct I/O that is coarser than this is not used: the slots have no room to widen a request. */
#define IMAGE_ALIGN_MAX SLOT_PAGE

struct image {
	uint64_t key;
	struct image *next; /* in the table's bucket */
	unsigned index;	    /* in the table */
	unsigned opens, writers;
	bool writable; /* descriptors are open for writing */
	bool fixed;    /* descriptors are fixed files of every lane */

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

	/* Errors that no request got to see: the sequence number goes up with each, and every
	 * opener whose own number is behind gets the error at its next FSYNC. */
	_Atomic uint32_t error_seq;
	_Atomic int error; /* -errno */

	_Atomic uint64_t reads, writes, read_bytes, written_bytes, errors;
	_Atomic uint64_t read_undropped; /* bytes read since the page cache was dropped */
};

#define IMAGE_BUCKETS 1024

struct image_table {
	struct image **images; /* by index; NULL: free */
	unsigned size;
	unsigned rover; /* where to look for a free index first */
	struct image *buckets[IMAGE_BUCKETS];
	struct lane *lanes;
	unsigned nlanes;
	pthread_mutex_t lock; /* opens and closes */
};

/* What is to be opened. */
struct image_request {
	uint64_t key;  /* one number a file: the same for each of its names */
	bool is_image; /* by its name: a VM image, else an ordinary file */
	bool write;    /* for writing, or for reading only */
	/* Opens the file with open(2) FLAGS (O_RDWR or O_RDONLY, O_DIRECT perhaps); fd or -errno.
	 */
	int (*open)(void *context, int flags);
	/* The settings of the file that is open as FD. May make an image of it. -errno. */
	int (*resolve)(void *context, int fd, bool *is_image, struct settings *settings);
	void *context;
};

/* SIZE: how many files may be open at once. LANES stay the caller's. -ENOMEM. */
int image_table_init(struct image_table *table, unsigned size, struct lane *lanes, unsigned nlanes);
void image_table_fini(struct image_table *table);

/* Opens (1) or shares (0). Each success is to be paired with one image_close(). -errno of open(2),
 * -ENFILE. */
int image_open(struct image_table *table, const struct image_request *request,
	       struct image **image);

/* The last close of a writer syncs first: the error is remembered, and returned. */
int image_close(struct image_table *table, struct image *image, bool writer);

/* Gives up write access that nobody needs any more (FS_IOC_ENABLE_VERITY demands it). -errno. */
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

/* What is in effect. */
struct settings image_settings(struct image_table *table, const struct image *image);

/* Bytes in the page cache that are not on the device yet. */
uint64_t image_dirty(struct image *image);

static inline struct image *image_at(const struct image_table *table, unsigned index)
{
	return table->images[index];
}

/* Bytes; -errno. */
int64_t image_size(const struct image *image);

/* Takes the setuid and setgid bits off a file that somebody without CAP_FSETID writes to. */
void image_drop_privileges(struct image *image);

/* Remembers an error that is nobody's yet, or that every opener must hear of (-errno). */
void image_remember_error(struct image *image, int error);

/* The error that an opener has not heard of yet, once; else 0. */
int image_recall_error(struct image *image, uint32_t *seen);

/* Fixed file number of an image's descriptor. */
static inline unsigned image_file(const struct image *image, bool cached)
{
	return LANE_FILE_IMAGES + 2 * image->index + (cached ? 1 : 0);
}
