// SPDX-License-Identifier: GPL-2.0-or-later
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/log.h"
#include "policy/util.h"

int image_table_init(struct image_table *table, unsigned size, struct lane *lanes, unsigned nlanes)
{
	*table = (struct image_table){.size = size, .lanes = lanes, .nlanes = nlanes};
	table->images = calloc(size, sizeof(*table->images));
	if (!table->images)
		return -ENOMEM;
	return -pthread_mutex_init(&table->lock, NULL);
}

static void close_files(struct image *image)
{
	if (image->cached_fd >= 0 && image->cached_fd != image->fd)
		close(image->cached_fd);
	if (image->fd >= 0)
		close(image->fd);
	image->fd = image->cached_fd = -1;
}

/* Images that are still open (after a lazy unmount, an abort) are made durable like the others. */
void image_table_fini(struct image_table *table)
{
	for (unsigned i = 0; i < table->size; i++) {
		struct image *image = table->images[i];

		if (!image)
			continue;
		if (image->writers && image->traits->flush && fsync(image->cached_fd) < 0)
			log_err("sync at the end: %s", strerror(errno));
		close_files(image);
		free(image);
	}
	free(table->images);
	pthread_mutex_destroy(&table->lock);
}

static struct image **bucket(struct image_table *table, uint64_t key)
{
	return &table->buckets[(key * 0x9e3779b97f4a7c15ull) >> 32 & (IMAGE_BUCKETS - 1)];
}

static struct image *find(struct image_table *table, uint64_t key)
{
	struct image *image = *bucket(table, key);

	while (image && image->key != key)
		image = image->next;
	return image;
}

static int insert(struct image_table *table, struct image *image)
{
	struct image **head = bucket(table, image->key);

	for (unsigned i = 0; i < table->size; i++) {
		unsigned index = (table->rover + i) % table->size;

		if (table->images[index])
			continue;
		table->rover = index + 1;
		image->index = index;
		image->next = *head;
		*head = image;
		table->images[index] = image;
		return 0;
	}
	return -ENFILE;
}

static void remove_image(struct image_table *table, struct image *image)
{
	struct image **link = bucket(table, image->key);

	while (*link != image)
		link = &(*link)->next;
	*link = image->next;
	table->images[image->index] = NULL;
}

/* 0 if direct I/O is impossible or too coarse. Filesystems that do not tell get a whole page, which
 * every one of them takes. */
static uint32_t direct_align(int fd)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) < 0 ||
	    !(stx.stx_mask & STATX_DIOALIGN))
		return IMAGE_ALIGN_MAX;
	if (stx.stx_dio_offset_align > IMAGE_ALIGN_MAX || stx.stx_dio_mem_align > IMAGE_ALIGN_MAX)
		return 0;
	return stx.stx_dio_offset_align;
}

static int register_files(struct image_table *table, struct image *image)
{
	for (unsigned i = 0; image->fixed && i < table->nlanes; i++) {
		int rc = lane_set_file(&table->lanes[i], image_file(image, false), image->fd);

		if (rc == 0)
			rc = lane_set_file(&table->lanes[i], image_file(image, true),
					   image->cached_fd);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Puts FD in the place of *WHERE without a moment in which *WHERE is not open. */
static int replace_fd(int *where, int fd)
{
	_cleanup_close_ int given = fd;

	if (*where < 0) {
		*where = steal_fd(&given);
		return 0;
	}
	return dup3(given, *where, O_CLOEXEC) < 0 ? -errno : 0;
}

/* Direct I/O cannot be had: what promises the same through the page cache. */
static void avoid_direct_io(struct settings *settings)
{
	bool dsync = cache_traits(settings->value[SETTING_CACHE])->dsync;

	settings->value[SETTING_CACHE] = dsync ? CACHE_WRITETHROUGH : CACHE_WRITEBACK;
	settings->from[SETTING_CACHE] = FROM_NO_DIRECT_IO;
}

/* *FD: a descriptor for direct I/O, or -1 where SETTINGS want none or have to be changed because
 * the file takes none. */
static int open_direct(const struct image *image, const struct image_request *request, bool write,
		       struct settings *settings, int *fd)
{
	int access = write ? O_RDWR : O_RDONLY, rc = -EINVAL;

	*fd = -1;
	if (!cache_traits(settings->value[SETTING_CACHE])->direct)
		return 0;
	if (direct_align(image->cached_fd))
		rc = request->open(request->context, access | O_DIRECT);
	if (rc >= 0)
		*fd = rc;
	else if (rc == -EINVAL)
		avoid_direct_io(settings);
	else
		return rc;
	return 0;
}

static void set_settings(struct image *image, const struct settings *settings)
{
	const struct cache_traits *traits = cache_traits(settings->value[SETTING_CACHE]);

	image->settings = *settings;
	image->traits = traits;
	image->align = traits->direct ? direct_align(image->cached_fd) : 1;
	image->dirty.limit = traits->bounded ? settings->value[SETTING_DIRTY_LIMIT] : 0;
	image->lacks_dontcache = image->lacks_zeroing = false;
}

/* Opens the descriptors for reading, or for reading and writing; if they are open, in their place,
 * while requests may be using them. */
static int open_files(struct image *image, const struct image_request *request, bool write)
{
	struct settings settings = image->settings;
	int direct, rc, fd;

	fd = request->open(request->context, write ? O_RDWR : O_RDONLY);
	if (fd < 0)
		return fd;
	rc = replace_fd(&image->cached_fd, fd);
	if (rc == 0 && !image->traits)
		rc = request->resolve(request->context, image->cached_fd, &image->fixed, &settings);
	if (rc == 0)
		rc = open_direct(image, request, write, &settings, &direct);
	if (rc < 0)
		return rc;
	if (direct >= 0)
		rc = replace_fd(&image->fd, direct);
	else if (!image->traits)
		image->fd = image->cached_fd;
	if (rc == 0 && !image->traits)
		set_settings(image, &settings);
	image->writable = write;
	return rc;
}

static int image_create(struct image_table *table, const struct image_request *request,
			struct image **result)
{
	struct image *image = calloc(1, sizeof(*image));
	int rc;

	if (!image)
		return -ENOMEM;
	image->key = request->key;
	image->fixed = request->is_image;
	image->fd = image->cached_fd = -1;
	range_queue_init(&image->ranges);
	dirty_init(&image->dirty);
	rc = open_files(image, request, request->write);
	if (rc < 0)
		goto fail;
	rc = insert(table, image);
	if (rc < 0)
		goto fail;
	rc = register_files(table, image);
	if (rc < 0) {
		remove_image(table, image);
		goto fail;
	}
	*result = image;
	return 1;
fail:
	close_files(image);
	free(image);
	return rc;
}

int image_open(struct image_table *table, const struct image_request *request,
	       struct image **result)
{
	struct image *image;
	int rc = 0;

	pthread_mutex_lock(&table->lock);
	image = find(table, request->key);
	if (!image) {
		rc = image_create(table, request, &image);
	} else if (request->write && !image->writable) {
		rc = open_files(image, request, true);
		if (rc == 0)
			rc = register_files(table, image);
	}
	if (rc >= 0) {
		image->opens++;
		image->writers += request->write;
		*result = image;
	}
	pthread_mutex_unlock(&table->lock);
	return rc;
}

struct image *image_find(struct image_table *table, uint64_t key)
{
	struct image *image;

	pthread_mutex_lock(&table->lock);
	image = find(table, key);
	if (image)
		image->opens++;
	pthread_mutex_unlock(&table->lock);
	return image;
}

struct image *image_next(struct image_table *table, unsigned *index)
{
	struct image *image = NULL;

	pthread_mutex_lock(&table->lock);
	while (*index < table->size && !image)
		image = table->images[(*index)++];
	if (image)
		image->opens++;
	pthread_mutex_unlock(&table->lock);
	return image;
}

static void image_destroy(struct image_table *table, struct image *image)
{
	if (image->traits->drop)
		posix_fadvise(image->cached_fd, 0, 0, POSIX_FADV_DONTNEED);
	remove_image(table, image);
	close_files(image);
	register_files(table, image); /* now -1: the lanes let go of it too */
	free(image);
}

/* All that was written so far is on stable storage, or the error is remembered. */
static int flush(struct image *image)
{
	uint64_t mark = dirty_mark(&image->dirty);
	int rc = 0;

	if (fsync(image->cached_fd) < 0) {
		rc = -errno;
		image_remember_error(image, rc);
	}
	dirty_cleaned(&image->dirty, mark);
	return rc;
}

int image_close(struct image_table *table, struct image *image, bool writer)
{
	bool last_writer, sync;
	int rc = 0;

	pthread_mutex_lock(&table->lock);
	last_writer = writer && --image->writers == 0;
	sync = last_writer && image->traits->flush && image->fixed;
	pthread_mutex_unlock(&table->lock);
	/* What a writer leaves behind is made durable with its last close, as a shutdown would
	 * expect. */
	if (sync)
		rc = flush(image);

	pthread_mutex_lock(&table->lock);
	if (--image->opens == 0)
		image_destroy(table, image);
	pthread_mutex_unlock(&table->lock);
	return rc;
}

/* ===== settings ===== */

static bool same_mode(const struct settings *a, const struct settings *b)
{
	return a->value[SETTING_CACHE] == b->value[SETTING_CACHE];
}

/* Data go to DIRECT from now on, or with -1 to the cached descriptor. */
static int redirect(struct image_table *table, struct image *image, int direct)
{
	int old = image->fd, rc;

	image->fd = direct >= 0 ? direct : image->cached_fd;
	rc = register_files(table, image);
	if (rc < 0) {
		int failed = image->fd;

		image->fd = old;
		register_files(table, image);
		old = failed;
	}
	if (old != image->cached_fd)
		close(old);
	return rc;
}

/* Nobody uses the image meanwhile, and its data are on the device. */
static int put_into_effect(struct image_table *table, struct image *image,
			   const struct image_request *request, struct settings *settings)
{
	int direct, rc = open_direct(image, request, image->writable, settings, &direct);

	if (rc < 0)
		return rc;
	if (!same_mode(settings, &image->settings)) {
		/* Direct and cached access to one file do not see each other's changes. */
		posix_fadvise(image->cached_fd, 0, 0, POSIX_FADV_DONTNEED);
		rc = redirect(table, image, direct);
	} else if (direct >= 0) {
		close(direct);
	}
	if (rc == 0)
		set_settings(image, settings);
	return rc;
}

int image_reconfigure(struct image_table *table, struct image *image,
		      const struct image_request *request)
{
	struct settings old = image_settings(table, image), settings;
	struct held_range held;
	bool is_image = image->fixed;
	int rc;

	if (!image->fixed) /* it was decided when it was opened */
		return 0;
	rc = request->resolve(request->context, image->cached_fd, &is_image, &settings);
	if (rc < 0 || !memcmp(&settings, &old, sizeof(settings)))
		return rc;
	/* Most of the flush is done before anybody has to wait for the rest of it. */
	if (!same_mode(&settings, &old))
		flush(image);
	range_hold(&image->ranges, &held, 0, UINT64_MAX);
	/* Again: of several who change something at a time the last one has to see it all. */
	rc = request->resolve(request->context, image->cached_fd, &is_image, &settings);
	if (rc == 0 && !same_mode(&settings, &image->settings))
		flush(image);
	if (rc == 0) {
		pthread_mutex_lock(&table->lock);
		rc = put_into_effect(table, image, request, &settings);
		pthread_mutex_unlock(&table->lock);
	}
	range_drop(&image->ranges, &held);
	return rc < 0 ? rc : memcmp(&settings, &old, sizeof(settings)) != 0;
}

struct settings image_settings(struct image_table *table, const struct image *image)
{
	struct settings settings;

	pthread_mutex_lock(&table->lock);
	settings = image->settings;
	pthread_mutex_unlock(&table->lock);
	return settings;
}

/* Linux 6.5; in no libc that we build with. */
#define SYS_CACHESTAT 451

uint64_t image_dirty(struct image *image)
{
	struct {
		uint64_t offset, length;
	} all = {0};
	struct {
		uint64_t cached, dirty, writeback, evicted, recently_evicted;
	} pages;

	if (syscall(SYS_CACHESTAT, image->cached_fd, &all, &pages, 0) == 0)
		return (pages.dirty + pages.writeback) * sysconf(_SC_PAGESIZE);
	return dirty_outstanding(&image->dirty);
}

/* ===== the file ===== */

int image_make_readonly(struct image_table *table, struct image *image,
			const struct image_request *request)
{
	int rc = 0;

	pthread_mutex_lock(&table->lock);
	if (image->writable && image->writers == 0) {
		rc = open_files(image, request, false);
		if (rc == 0)
			rc = register_files(table, image);
	}
	pthread_mutex_unlock(&table->lock);
	return rc;
}

int64_t image_size(const struct image *image)
{
	struct stat st;

	return fstat(image->fd, &st) < 0 ? -errno : st.st_size;
}

void image_drop_privileges(struct image *image)
{
	mode_t drop = S_ISUID;
	struct stat st;

	if (fstat(image->cached_fd, &st) < 0)
		return;
	/* setgid without group execution means mandatory locking, not privilege. */
	if (st.st_mode & S_IXGRP)
		drop |= S_ISGID;
	if (st.st_mode & drop)
		fchmod(image->cached_fd, st.st_mode & 07777 & ~drop);
}

void image_remember_error(struct image *image, int error)
{
	atomic_store(&image->error, error);
	atomic_fetch_add(&image->error_seq, 1);
	atomic_fetch_add(&image->errors, 1);
}

int image_recall_error(struct image *image, uint32_t *seen)
{
	uint32_t seq = atomic_load(&image->error_seq);

	if (*seen == seq)
		return 0;
	*seen = seq;
	return atomic_load(&image->error);
}
