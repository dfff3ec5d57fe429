// SPDX-License-Identifier: GPL-2.0-or-later
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/log.h"
#include "policy/probe.h"
#include "policy/util.h"

int image_table_init(struct image_table *table, unsigned size, struct image_record *records,
		     const struct image_keeper *keeper, struct sums *sums, struct lane *lanes,
		     unsigned nlanes)
{
	*table = (struct image_table){
		.sums = sums,
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
		if (image->writers && image->traits->flush && fsync(image->cached_fd) < 0)
			log_err("sync at the end: %s", strerror(errno));
		sums_close(image);
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

	counters_add(&table->past, &image->counters);
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
	for (unsigned i = 0; image->is_image && i < table->nlanes; i++) {
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
static int open_direct(const struct image *image, const struct image_request *request,
		       struct settings *settings, int *fd)
{
	int rc = -EINVAL;

	*fd = -1;
	if (!cache_traits(settings->value[SETTING_CACHE])->direct)
		return 0;
	if (direct_align(image->cached_fd))
		rc = request->open(request->context, image->access | O_DIRECT);
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

	image->settings = image->record->settings = *settings;
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
	int access = write ? O_RDWR : O_RDONLY;
	int fd = request->open(request->context, access), direct = -1, rc;

	if (fd == -EPERM && request->append) {
		access |= O_APPEND;
		fd = request->open(request->context, access);
	}
	if (fd < 0)
		return fd;
	image->access = access;
	rc = replace_fd(&image->cached_fd, fd);
	if (rc == 0 && !image->traits)
		rc = request->resolve(request->context, image->cached_fd, &image->is_image,
				      &settings);
	if (rc == 0)
		rc = open_direct(image, request, &settings, &direct);
	/* A mode that is in effect changes only while the image is held (image_reconfigure). */
	if (rc == 0 && direct < 0 && image->traits && image->traits->direct)
		rc = -EINVAL;
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

/* ===== making and ending ===== */

static struct image *image_new(const struct image_request *request)
{
	struct image *image = calloc(1, sizeof(*image));

	if (!image)
		return NULL;
	image->key = request->key;
	image->is_image = request->is_image;
	image->fd = image->cached_fd = -1;
	for (unsigned i = 0; i < IMAGE_WITNESSES; i++)
		image->witness[i] = -1;
	range_queue_init(&image->ranges);
	dirty_init(&image->dirty);
	pthread_mutex_init(&image->changing, NULL);
	pthread_rwlock_init(&image->sums_lock, NULL);
	return image;
}

/* ===== checksums ===== */

/* What nobody has asked for stays as it is. */
static enum sums_wish wish_of(const struct settings *settings)
{
	enum setting_from from = settings->from[SETTING_CHECKSUM];

	if (settings->value[SETTING_CHECKSUM] != CHECKSUM_OFF)
		return SUMS_MAKE;
	return from == FROM_DEFAULT || from == FROM_NOT_IMAGE || from == FROM_NO_CHECKSUMS
		       ? SUMS_KEEP
		       : SUMS_DROP;
}

static void set_checksum(struct settings *settings, enum checksum value, enum setting_from from)
{
	settings->value[SETTING_CHECKSUM] = value;
	settings->from[SETTING_CHECKSUM] = from;
}

void image_tell_checksum(bool has_sums, struct settings *settings)
{
	if (has_sums && wish_of(settings) == SUMS_KEEP)
		set_checksum(settings, CHECKSUM_XXH3, FROM_SIDECAR);
}

/* The settings tell what there is, whatever was wished for. */
static void tell_checksum(const struct image *image, struct settings *settings)
{
	bool wished = settings->value[SETTING_CHECKSUM] != CHECKSUM_OFF;

	if (image->sums && !wished)
		set_checksum(settings, CHECKSUM_XXH3, FROM_SIDECAR);
	else if (!image->sums && wished)
		set_checksum(settings, CHECKSUM_OFF, FROM_NO_CHECKSUMS);
}

/* As SETTINGS want it, while nobody uses the image. */
static int switch_sums(struct image_table *table, struct image *image, struct settings *settings)
{
	enum sums_wish wish = wish_of(settings);
	int rc = 0;

	pthread_rwlock_wrlock(&image->sums_lock);
	if (wish == SUMS_DROP)
		sums_close(image);
	if (!image->sums)
		rc = sums_open(table->sums, image, wish, settings->value[SETTING_FOREIGN_CHANGE]);
	/* Those that cannot be removed must not become out of date. Where nothing can be written
	 * they do not: the image is served as it is wished. */
	if (rc == -EROFS && wish == SUMS_DROP)
		rc = 0;
	else if (rc < 0 && wish == SUMS_DROP)
		sums_open(table->sums, image, SUMS_KEEP, FOREIGN_VERIFY);
	pthread_rwlock_unlock(&image->sums_lock);
	tell_checksum(image, settings);
	return rc;
}

/* Opened before the first write, so that no error escapes them. */
static int open_witnesses(struct image_table *table, struct image *image,
			  const struct image_request *request)
{
	for (unsigned i = 0; i < IMAGE_WITNESSES; i++) {
		int fd = request->open(request->context, image->access);

		if (fd < 0)
			return fd;
		image->witness[i] = fd;
	}
	return table->keeper->keep(image->index, 0, image->witness, IMAGE_WITNESSES);
}

static void write_record(struct image *image)
{
	struct image_record *record = image->record;

	record->is_image = image->is_image;
	atomic_store(&record->error_seq, 0);
	atomic_store(&record->error, 0);
	atomic_store(&record->witness_busy, 0);
	atomic_store(&record->syncing, 0);
	atomic_store(&record->unheard, 0);
	atomic_store(&record->backing, 0);
	atomic_store(&record->key, image->key);
}

static void discard(struct image_table *table, struct image *image)
{
	bool kept = image->witness[0] >= 0;

	if (image->traits && image->traits->drop)
		posix_fadvise(image->cached_fd, 0, 0, POSIX_FADV_DONTNEED);
	/* That nobody looks at its sums any more is known from the kernel only. (The lock is not to
	 * be held on: a flush that fails now must be heard, sums_doubt().) */
	pthread_rwlock_wrlock(&image->sums_lock);
	pthread_rwlock_unlock(&image->sums_lock);
	sums_close(image);
	table->keeper->ended(table->keeper->context, image->record);
	atomic_store(&image->record->key, 0);
	remove_image(table, image);
	if (kept)
		for (unsigned i = 0; i < IMAGE_WITNESSES; i++)
			table->keeper->forget(image->index, i);
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
	if (rc == 0 && image->is_image)
		rc = open_witnesses(table, image, request);
	if (rc == 0) {
		rc = switch_sums(table, image, &image->settings);
		image->record->settings = image->settings;
	}
	if (rc == 0)
		rc = register_files(table, image);
	if (rc < 0) {
		discard(table, image);
		return rc;
	}
	write_record(image);
	*result = image;
	return 1;
}

/* ===== after a take-over ===== */

struct adoption {
	const struct image_request *request;
	int witness; /* -1: none was kept */
	const struct image_record *record;
};

static int open_adopted(void *context, int flags)
{
	const struct adoption *adoption = context;
	char path[PROC_PATH_MAX];
	int fd;

	if (adoption->witness < 0)
		return adoption->request->open(adoption->request->context, flags);
	fd = open(proc_path(path, adoption->witness), flags | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno != EPERM && errno != EACCES && errno != EROFS && errno != ETXTBSY)
		return -errno;
	/* Whoever has it open may go on although nobody may open it so any more (it is immutable
	 * now, or its filesystem read-only): through the witness itself. */
	if (flags & O_DIRECT)
		return -EINVAL;
	fd = fcntl(adoption->witness, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

static int resolve_adopted(void *context, int fd, bool *is_image, struct settings *settings)
{
	const struct adoption *adoption = context;

	(void)fd;
	*is_image = adoption->record->is_image;
	*settings = adoption->record->settings;
	return 0;
}

int image_adopt(struct image_table *table, unsigned index, const struct image_request *request,
		unsigned opens, unsigned writers, uint32_t error_told,
		const int witness[IMAGE_WITNESSES])
{
	struct adoption adoption = {request, witness[0], &table->records[index]};
	struct image_request again = *request;
	struct image *image = image_new(request);
	int rc;

	if (!image)
		return -ENOMEM;
	insert(table, image, index);
	image->opens = opens;
	image->writers = writers;
	memcpy(image->witness, witness, sizeof(image->witness));
	again.open = open_adopted;
	again.resolve = resolve_adopted;
	again.context = &adoption;
	rc = open_files(image, &again, writers > 0);
	if (rc == 0)
		rc = sums_open(table->sums, image, SUMS_KEEP, FOREIGN_VERIFY);
	tell_checksum(image, &image->settings);
	if (rc == 0)
		rc = register_files(table, image);
	if (rc < 0) {
		sums_close(image);
		remove_image(table, image);
		close_files(image);
		free(image);
		return rc;
	}
	if (atomic_load(&image->record->syncing)) {
		atomic_store(&image->record->unheard, 1);
		atomic_store(&image->record->syncing, 0);
	}
	image->witness_due = image->is_image && atomic_load(&image->record->unheard);
	image->error_told = error_told;
	return 0;
}

int image_keep(struct image_table *table, struct image *image)
{
	int fd, rc = 0;

	pthread_mutex_lock(&table->lock);
	if (image->witness[0] < 0) {
		fd = fcntl(image->cached_fd, F_DUPFD_CLOEXEC, 0);
		rc = fd < 0 ? -errno : table->keeper->keep(image->index, 0, &fd, 1);
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

void image_table_counters(struct image_table *table, struct counters *sum)
{
	pthread_mutex_lock(&table->lock);
	*sum = table->past;
	for (unsigned i = 0; i < table->size; i++)
		if (table->images[i])
			counters_add(sum, &table->images[i]->counters);
	pthread_mutex_unlock(&table->lock);
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

int image_flush(struct image *image)
{
	uint64_t mark = dirty_mark(&image->dirty);
	int rc = 0;

	image_sync_begin(image);
	if (fsync(image->cached_fd) < 0)
		rc = -errno;
	if (rc == 0)
		dirty_cleaned(&image->dirty, mark);
	image_sync_end(image, rc);
	return rc;
}

int image_close(struct image_table *table, struct image *image, bool writer)
{
	bool last_writer, flush, last;
	uint32_t seq;
	int rc = 0;

	pthread_mutex_lock(&table->lock);
	last_writer = writer && --image->writers == 0;
	flush = image->traits->flush;
	last = image->opens == 1;
	pthread_mutex_unlock(&table->lock);
	/* What a writer leaves behind is made durable with its last close, as a shutdown would
	 * expect. */
	if (last_writer && flush && image->is_image)
		image_flush(image);
	if (last)
		sums_settle(image, flush);

	pthread_mutex_lock(&table->lock);
	if (--image->opens == 0) {
		rc = image_recall_error(image, atomic_load(&image->error_told), &seq);
		discard(table, image);
	}
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

/* All but checksums. Nobody uses the image meanwhile, and its data are on the device. */
static int put_into_effect(struct image_table *table, struct image *image,
			   const struct image_request *request, struct settings *settings)
{
	int direct, rc = open_direct(image, request, settings, &direct);
	struct settings others;

	if (rc < 0)
		return rc;
	if (!same_mode(settings, &image->settings)) {
		/* Direct and cached access to one file do not see each other's changes. */
		posix_fadvise(image->cached_fd, 0, 0, POSIX_FADV_DONTNEED);
		rc = redirect(table, image, direct);
	} else if (direct >= 0) {
		close(direct);
	}
	others = *settings;
	others.value[SETTING_CHECKSUM] = image->settings.value[SETTING_CHECKSUM];
	others.from[SETTING_CHECKSUM] = image->settings.from[SETTING_CHECKSUM];
	if (rc == 0)
		set_settings(image, &others);
	return rc;
}

/* Resolved again; the sums that there are count as wished for where nobody says anything. */
static int resolve_again(const struct image *image, const struct image_request *request,
			 struct settings *settings)
{
	bool is_image = image->is_image;
	int rc = request->resolve(request->context, image->cached_fd, &is_image, settings);

	if (rc == 0)
		image_tell_checksum(image->sums, settings);
	return rc;
}

/* Whatever comes of it, the settings tell what there is then. */
static int change_sums(struct image_table *table, struct image *image, struct settings *settings)
{
	int rc = switch_sums(table, image, settings);

	pthread_mutex_lock(&table->lock);
	image->settings = image->record->settings = *settings;
	pthread_mutex_unlock(&table->lock);
	return rc;
}

static int reconfigure(struct image_table *table, struct image *image,
		       const struct image_request *request)
{
	struct settings old = image_settings(table, image), settings;
	struct held_range held;
	int rc = resolve_again(image, request, &settings);

	if (rc < 0 || !memcmp(&settings, &old, sizeof(settings)))
		return rc;
	/* Most of the flush is done before anybody has to wait for the rest of it. */
	if (!same_mode(&settings, &old))
		image_flush(image);
	/* Whatever the settings are by then. */
	sums_leave(image, true);
	range_hold(&image->ranges, &held, 0, UINT64_MAX);
	/* Again: of several who change something at a time the last one has to see it all. */
	rc = resolve_again(image, request, &settings);
	if (rc == 0 && !same_mode(&settings, &image->settings))
		image_flush(image);
	if (rc == 0) {
		pthread_mutex_lock(&table->lock);
		rc = put_into_effect(table, image, request, &settings);
		pthread_mutex_unlock(&table->lock);
		PROBE(mode_switched, image->key, settings.value[SETTING_CACHE], rc);
	}
	/* Last, as sums that are given up do not come back. */
	if (rc == 0)
		rc = change_sums(table, image, &settings);
	sums_leave(image, false);
	range_drop(&image->ranges, &held);
	return rc < 0 ? rc : memcmp(&settings, &old, sizeof(settings)) != 0;
}

int image_reconfigure(struct image_table *table, struct image *image,
		      const struct image_request *request)
{
	int rc;

	if (!image->is_image) /* it was decided when it was opened */
		return 0;
	pthread_mutex_lock(&image->changing);
	rc = reconfigure(table, image, request);
	pthread_mutex_unlock(&image->changing);
	return rc;
}

int image_adopt_sums(struct image_table *table, struct image *image, const char *path)
{
	struct held_range held;
	int rc;

	pthread_mutex_lock(&image->changing);
	sums_leave(image, true);
	range_hold(&image->ranges, &held, 0, UINT64_MAX);
	pthread_rwlock_wrlock(&image->sums_lock);
	rc = sums_adopt(table->sums, image, path);
	pthread_rwlock_unlock(&image->sums_lock);
	sums_leave(image, false);
	pthread_mutex_lock(&table->lock);
	tell_checksum(image, &image->settings);
	image->record->settings = image->settings;
	pthread_mutex_unlock(&table->lock);
	range_drop(&image->ranges, &held);
	pthread_mutex_unlock(&image->changing);
	return rc;
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

/* One after the other, so that a death finds one of them. */
static int reopen_witnesses(struct image_table *table, struct image *image,
			    const struct image_request *request)
{
	for (unsigned i = 0; i < IMAGE_WITNESSES; i++) {
		int old = image->witness[i], rc;

		if (old < 0 || (fcntl(old, F_GETFL) & O_ACCMODE) == O_RDONLY)
			continue;
		rc = request->open(request->context, O_RDONLY);
		if (rc < 0)
			return rc;
		/* What a predecessor has heard and not passed on. */
		if (image->witness_due && fsync(old) < 0)
			image_remember_error(image, -errno);
		image->witness[i] = rc;
		close(old);
		table->keeper->forget(image->index, i);
		rc = table->keeper->keep(image->index, i, &image->witness[i], 1);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int image_make_readonly(struct image_table *table, struct image *image,
			const struct image_request *request)
{
	struct held_range held;
	int rc;

	range_hold(&image->ranges, &held, 0, UINT64_MAX); /* no witness is being heard */
	pthread_mutex_lock(&table->lock);
	rc = image->writers ? -ETXTBSY : 0;
	if (rc == 0 && image->writable)
		rc = open_files(image, request, false);
	if (rc == 0)
		rc = register_files(table, image);
	/* A predecessor's may be open for writing when nothing else is. */
	if (rc == 0)
		rc = reopen_witnesses(table, image, request);
	pthread_mutex_unlock(&table->lock);
	range_drop(&image->ranges, &held);
	return rc;
}

int64_t image_size(const struct image *image)
{
	struct stat st;

	/* A mode switch closes the other one. */
	return fstat(image->cached_fd, &st) < 0 ? -errno : st.st_size;
}

int image_write_out(struct image *image, uint64_t offset, uint32_t length)
{
	int rc;

	image_sync_begin(image);
	rc = sync_file_range(image->cached_fd, offset, length, SYNC_FILE_RANGE_WRITE_AND_WAIT) < 0
		     ? -errno
		     : 0;
	image_sync_end(image, rc);
	return rc;
}

/* Clean pages would hide what the device has. */
static void drop_pages(struct image *image, uint64_t offset, uint32_t length)
{
	image_write_out(image, offset, length);
	posix_fadvise(image->cached_fd, offset, length, POSIX_FADV_DONTNEED);
}

int image_read_blocks(struct image *image, void *data, uint32_t length, uint64_t offset, bool fresh)
{
	uint32_t done = 0;

	if (fresh && !image->traits->direct)
		drop_pages(image, offset, length);
	while (done < length) {
		ssize_t n = pread(image->fd, (char *)data + done, length - done, offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += n;
		if (n == 0 || done % SUM_BLOCK) /* the end of the file */
			break;
	}
	memset((char *)data + done, 0, length - done);
	return 0;
}

int image_write_block(struct image *image, const void *data, uint64_t offset)
{
	int64_t size = image_size(image);
	int fd = size >= (int64_t)offset + SUM_BLOCK ? image->fd : image->cached_fd;
	uint32_t length = MIN(SUM_BLOCK, MAX(size, (int64_t)offset) - (int64_t)offset);
	ssize_t n;
	int rc;

	do {
		n = pwrite(fd, data, length, offset);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	rc = image_flush(image);
	return rc < 0 || n == (ssize_t)length ? rc : -EIO;
}

int image_drop_privileges(int fd)
{
	char path[PROC_PATH_MAX];
	struct stat st;
	mode_t drop;

	if (fstat(fd, &st) < 0)
		return -errno;
	/* setgid without group execution means mandatory locking, not privilege. */
	drop = st.st_mode & (S_ISUID | (st.st_mode & S_IXGRP ? S_ISGID : 0));
	if (!S_ISREG(st.st_mode) || !drop)
		return 0;
	return chmod(proc_path(path, fd), st.st_mode & 07777 & ~drop) < 0 ? -errno : 0;
}

void image_sync_begin(struct image *image)
{
	atomic_fetch_add(&image->record->syncing, 1);
}

/* Nobody else knows by then which of the data that were answered for are gone. */
static void log_loss(struct image *image, int error)
{
	struct dirty_span lost = dirty_lost(&image->dirty);
	char link[PROC_PATH_MAX], path[PATH_MAX] = "";
	struct log_where where = {.image = path, .offset = lost.from, .error = -error};

	if (lost.from == lost.to)
		return;
	if (readlink(proc_path(link, image->cached_fd), path, sizeof(path) - 1) < 0)
		*path = '?';
	log_at(LOG_LEVEL_ERROR, &where,
	       "%s: writeback failed: what was written between bytes %lu and %lu may be lost: %s",
	       path, (unsigned long)lost.from, (unsigned long)lost.to, strerror(-error));
}

void image_sync_end(struct image *image, int result)
{
	if (result < 0) {
		image_remember_error(image, result);
		log_loss(image, result);
		sums_doubt(image);
	}
	atomic_fetch_sub(&image->record->syncing, 1);
}

void image_remember_error(struct image *image, int error)
{
	atomic_store(&image->record->error, error);
	atomic_fetch_add(&image->record->error_seq, 1);
	atomic_fetch_add(&image->counters.errors, 1);
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
