// SPDX-License-Identifier: GPL-2.0-or-later
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/facts.h"
#include "policy/log.h"
#include "policy/util.h"

int image_table_init(struct image_table *table, unsigned size, struct image_record *records,
		     const struct image_keeper *keeper, struct lane *lanes, unsigned nlanes)
{
	*table = (struct image_table){
		.size = size,
		.records = records,
		.keeper = keeper,
		.lanes = lanes,
		.nlanes = nlanes,
	};
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
	for (unsigned i = 0; i < IMAGE_WITNESSES; i++) {
		if (image->witness[i] >= 0)
			close(image->witness[i]);
		image->witness[i] = -1;
	}
}

/* Images that are still open (after a lazy unmount, an abort) are made durable like the others. */
void image_table_fini(struct image_table *table)
{
	for (unsigned i = 0; i < table->size; i++) {
		struct image *image = table->images[i];

		if (!image)
			continue;
		if (image->writers && image->traits->flush && fsync(image->fd) < 0)
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

static void insert(struct image_table *table, struct image *image, unsigned index)
{
	struct image **head = bucket(table, image->key);

	image->index = index;
	image->record = &table->records[index];
	image->next = *head;
	*head = image;
	table->images[index] = image;
}

static int free_index(struct image_table *table)
{
	for (unsigned i = 0; i < table->size; i++) {
		unsigned index = (table->rover + i) % table->size;

		if (table->images[index])
			continue;
		table->rover = index + 1;
		return index;
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

/* Decides what CACHE_AUTO means for this file. */
static void choose_mode(struct image *image, const struct image_request *request, int fd)
{
	struct file_facts facts;

	image->mode = request->mode;
	image->reason = request->mode_source;
	if (!request->is_image) {
		image->mode = CACHE_WRITEBACK;
		image->reason = "not an image";
	} else if (request->mode == CACHE_AUTO) {
		unsigned pick;

		if (facts_gather(fd, &facts) < 0)
			facts = (struct file_facts){0};
		pick = auto_pick(&facts);
		image->mode = auto_mode(pick);
		image->reason = auto_reason(pick);
	}
	image->traits = cache_traits(image->mode);
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

/* Opens the direct descriptor if the mode wants one and the file takes it. */
static int open_direct(struct image *image, const struct image_request *request, int access)
{
	uint32_t align = direct_align(image->cached_fd);
	int fd = align ? request->open(request->context, access | O_DIRECT) : -EINVAL;

	if (fd >= 0) {
		image->align = align;
		return replace_fd(&image->fd, fd);
	}
	if (fd != -EINVAL)
		return fd;
	if (image->mode == CACHE_NONE)
		log_info("no direct I/O on this file: cache=writeback instead of none");
	image->mode = CACHE_WRITEBACK;
	image->traits = cache_traits(image->mode);
	image->reason = "no direct I/O on this file";
	return 0;
}

/* (Re)opens the descriptors for reading, or for reading and writing. */
static int open_files(struct image *image, const struct image_request *request, bool write)
{
	int access = write ? O_RDWR : O_RDONLY, rc, fd;

	fd = request->open(request->context, access);
	if (fd == -EPERM && request->append) {
		access |= O_APPEND;
		fd = request->open(request->context, access);
	}
	if (fd < 0)
		return fd;
	rc = replace_fd(&image->cached_fd, fd);
	if (rc < 0)
		return rc;
	if (!image->traits)
		choose_mode(image, request, image->cached_fd);
	image->align = 1;
	if (image->traits->direct) {
		rc = open_direct(image, request, access);
		if (rc < 0)
			return rc;
	}
	if (!image->traits->direct)
		image->fd = image->cached_fd;
	image->writable = write;
	image->dirty.limit = image->traits->bounded ? request->dirty_limit : 0;
	return 0;
}

/* ===== making and ending ===== */

static struct image *image_new(const struct image_request *request)
{
	struct image *image = calloc(1, sizeof(*image));

	if (!image)
		return NULL;
	image->key = request->key;
	image->fixed = request->is_image;
	image->fd = image->cached_fd = -1;
	for (unsigned i = 0; i < IMAGE_WITNESSES; i++)
		image->witness[i] = -1;
	range_queue_init(&image->ranges);
	return image;
}

/* Opened before the first write, so that no error escapes them. */
static int open_witnesses(struct image_table *table, struct image *image,
			  const struct image_request *request)
{
	for (unsigned i = 0; i < IMAGE_WITNESSES; i++) {
		int fd = request->open(request->context, O_RDONLY);

		if (fd < 0)
			return fd;
		image->witness[i] = fd;
	}
	return table->keeper->keep(image->index, image->witness, IMAGE_WITNESSES);
}

static void write_record(struct image *image)
{
	struct image_record *record = image->record;

	record->is_image = image->fixed;
	record->was_written = image->writable;
	atomic_store(&record->error_seq, 0);
	atomic_store(&record->error, 0);
	atomic_store(&record->witness_busy, 0);
	atomic_store(&record->backing, 0);
	atomic_store(&record->key, image->key);
}

static void discard(struct image_table *table, struct image *image)
{
	bool kept = image->witness[0] >= 0;

	table->keeper->ended(table->keeper->context, image->record);
	atomic_store(&image->record->key, 0);
	remove_image(table, image);
	if (kept)
		table->keeper->forget(image->index);
	close_files(image);
	register_files(table, image); /* now -1: the lanes let go of it too */
	free(image);
}

static int image_create(struct image_table *table, const struct image_request *request,
			struct image **result)
{
	int index = free_index(table), rc;
	struct image *image;

	if (index < 0)
		return index;
	image = image_new(request);
	if (!image)
		return -ENOMEM;
	insert(table, image, index);
	rc = open_files(image, request, request->write);
	if (rc == 0 && image->fixed)
		rc = open_witnesses(table, image, request);
	if (rc == 0)
		rc = register_files(table, image);
	if (rc < 0) {
		discard(table, image);
		return rc;
	}
	write_record(image);
	*result = image;
	return 0;
}

/* ===== after a take-over ===== */

static int open_witness_again(void *context, int flags)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", *(int *)context);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int image_adopt(struct image_table *table, unsigned index, const struct image_request *request,
		unsigned opens, unsigned writers, const int witness[IMAGE_WITNESSES])
{
	struct image_request again = *request;
	struct image *image = image_new(request);
	int rc;

	if (!image)
		return -ENOMEM;
	insert(table, image, index);
	image->opens = opens;
	image->writers = writers;
	memcpy(image->witness, witness, sizeof(image->witness));
	if (witness[0] >= 0) {
		again.open = open_witness_again;
		again.context = &image->witness[0];
	}
	rc = open_files(image, &again, writers > 0);
	if (rc == 0)
		rc = register_files(table, image);
	if (rc < 0)
		return rc; /* the record stays: another successor may have more luck */
	image->witness_due = image->fixed && image->record->was_written;
	return 0;
}

int image_keep(struct image_table *table, struct image *image)
{
	int fd, rc = 0;

	pthread_mutex_lock(&table->lock);
	if (image->witness[0] < 0) {
		fd = fcntl(image->cached_fd, F_DUPFD_CLOEXEC, 0);
		rc = fd < 0 ? -errno : table->keeper->keep(image->index, &fd, 1);
		if (rc == 0)
			image->witness[0] = fd;
		else if (fd >= 0)
			close(fd);
	}
	pthread_mutex_unlock(&table->lock);
	return rc;
}

/* ===== open and close ===== */

/* That one had the file open for writing does not mean that another may (it may be immutable now).
 */
static int try_open(const struct image_request *request)
{
	int fd = request->open(request->context, O_WRONLY | (request->append ? O_APPEND : 0));

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
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
	} else if (request->write) {
		rc = try_open(request);
	}
	if (rc == 0) {
		image->opens++;
		image->writers += request->write;
		image->record->was_written |= request->write;
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

/* What a writer leaves behind is made durable with its last close, as a shutdown would expect. */
static void sync_last_writer(struct image *image)
{
	if (image->traits->flush && image->fixed && fsync(image->fd) < 0)
		image_remember_error(image, -errno);
}

int image_close(struct image_table *table, struct image *image, bool writer)
{
	bool last_writer;
	uint32_t seq;
	int rc = 0;

	pthread_mutex_lock(&table->lock);
	last_writer = writer && --image->writers == 0;
	pthread_mutex_unlock(&table->lock);
	if (last_writer)
		sync_last_writer(image);

	pthread_mutex_lock(&table->lock);
	if (--image->opens == 0) {
		rc = image_recall_error(image, atomic_load(&image->error_told), &seq);
		discard(table, image);
	}
	pthread_mutex_unlock(&table->lock);
	return rc;
}

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
	atomic_store(&image->record->error, error);
	atomic_fetch_add(&image->record->error_seq, 1);
	atomic_fetch_add(&image->errors, 1);
}

int image_recall_error(const struct image *image, uint32_t seen, uint32_t *seq)
{
	*seq = atomic_load(&image->record->error_seq);
	return *seq == seen ? 0 : atomic_load(&image->record->error);
}

void image_told(struct image *image, uint32_t seq)
{
	atomic_store(&image->error_told, seq);
}
