// SPDX-License-Identifier: GPL-2.0-or-later
/* The sums of a mount, and of an image from its opening to its close. */
#include "sumfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "policy/log.h"
#include "policy/util.h"

#define STORE ".bouncefs"

/* ===== memory ===== */

#define MEMORY_MAGIC 0x31736d757373666full
#define FRAMES 4096u

struct sums_memory {
	uint64_t magic, session;
	uint32_t frames, intents;
};

struct layout {
	uint64_t intents, frames, pages, size;
};

static struct layout layout_of(unsigned frames, unsigned intents)
{
	struct layout l = {.intents = SIDECAR_PAGE};

	l.frames =
		align_up(l.intents + (uint64_t)intents * sizeof(struct sum_intent), SIDECAR_PAGE);
	l.pages = align_up(l.frames + frames * sizeof(struct sum_frame), SIDECAR_PAGE);
	l.size = l.pages + (uint64_t)frames * SIDECAR_PAGE;
	return l;
}

int sums_memory(unsigned intents)
{
	/* Each write may hold two, whatever else is going on. */
	struct sums_memory m = {.magic = MEMORY_MAGIC, .frames = FRAMES, .intents = intents};
	_cleanup_close_ int fd = memfd_create("bouncefs-sums", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, layout_of(m.frames, intents).size) < 0 ||
	    getrandom(&m.session, sizeof(m.session), 0) < 0)
		return -errno;
	m.session |= 1;
	return pwrite(fd, &m, sizeof(m), 0) == sizeof(m) ? steal_fd(&fd) : -errno;
}

static int map_memory(struct sums *sums, int fd)
{
	struct sums_memory m;
	struct layout l;
	struct stat st;
	char *base;

	if (pread(fd, &m, sizeof(m), 0) != sizeof(m) || fstat(fd, &st) < 0)
		return -EPROTO;
	l = layout_of(m.frames, m.intents);
	if (m.magic != MEMORY_MAGIC || !m.session || m.frames != FRAMES ||
	    (uint64_t)st.st_size != l.size)
		return -EPROTO;
	base = mmap(NULL, l.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	sums->memory = (struct sums_memory *)base;
	sums->memory_size = l.size;
	sums->memory_fd = fd;
	sums->session = m.session;
	sums->nframes = m.frames;
	sums->nintents = m.intents;
	sums->intents = (struct sum_intent *)(base + l.intents);
	sums->frames = (struct sum_frame *)(base + l.frames);
	sums->pages = (struct sum_page *)(base + l.pages);
	return 0;
}

struct sum_intent *sums_intent(struct sums *sums, unsigned index)
{
	return &sums->intents[index];
}

/* ===== the directory ===== */

/* Nobody but root may have put anything there. */
static int open_store(int root_fd, bool make)
{
	_cleanup_close_ int dir = -1;
	struct stat st;

	if (make && mkdirat(root_fd, STORE, 0700) < 0 && errno != EEXIST)
		return -errno;
	dir = openat(root_fd, STORE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	if (fstat(dir, &st) < 0)
		return -errno;
	if (st.st_uid || st.st_mode & 077) {
		log_warn("%s in the pool is not root's alone (mode 0700): no checksums", STORE);
		return -EPERM;
	}
	return steal_fd(&dir);
}

/* Opened once. -ENOENT. */
int sums_store(struct sums *sums, bool make)
{
	int dir;

	pthread_mutex_lock(&sums->files_lock);
	if (sums->dir < 0)
		sums->dir = open_store(sums->config->root_fd, make);
	dir = sums->dir;
	pthread_mutex_unlock(&sums->files_lock);
	return dir;
}

/* ===== the mount's ===== */

int sums_init(struct sums **result, const struct sums_config *config, int memory_fd)
{
	struct sums *sums = calloc(1, sizeof(*sums));
	int rc;

	if (!sums)
		return -ENOMEM;
	sums->config = config;
	sums->dir = -1;
	pthread_mutex_init(&sums->opening, NULL);
	pthread_mutex_init(&sums->files_lock, NULL);
	pthread_cond_init(&sums->not_busy, NULL);
	rc = map_memory(sums, memory_fd);
	if (rc < 0) {
		free(sums);
		return rc;
	}
	sums->pins = calloc(sums->nframes, sizeof(*sums->pins));
	sums->owner = calloc(sums->nframes, sizeof(*sums->owner));
	*result = sums;
	/* The library chooses its vectors at its first hash, under no lock: here is one thread. */
	sum_of(sums->pages);
	return sums->pins && sums->owner ? 0 : -ENOMEM;
}

static int start_thread(struct sums_thread *thread, void *(*run)(void *), struct sums *sums)
{
	int rc;

	pthread_mutex_init(&thread->lock, NULL);
	pthread_cond_init(&thread->more, NULL);
	thread->running = true;
	rc = thread_start(&thread->thread, run, sums);
	thread->running = rc == 0;
	return rc;
}

/* A predecessor died while it closed an image: what it had not written yet. */
static void write_orphans(struct sums *sums, const char *name)
{
	struct sidecar sidecar;
	struct sum_page page;

	if (sidecar_open(sums->dir, name, &sidecar) < 0)
		return;
	for (unsigned i = 0; i < sums->nframes && !sidecar.readonly; i++) {
		struct sum_frame *frame = &sums->frames[i];

		if (sums->owner[i] || atomic_load(&frame->id) != sidecar.header.id ||
		    atomic_load(&frame->region) >= sidecar_regions(&sidecar))
			continue;
		sums_copy_page(&page, &sums->pages[i]);
		if (sidecar_write_sums(&sidecar, atomic_load(&frame->region), &page) == 0)
			atomic_store(&frame->id, 0);
	}
	close(sidecar.fd);
}

void sums_settle_orphans(struct sums *sums)
{
	int dir = sums_store(sums, false);
	DIR *list =
		dir < 0 ? NULL : fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *d;

	while (list && (d = readdir(list)))
		if (*d->d_name != '.')
			write_orphans(sums, d->d_name);
	if (list)
		closedir(list);
	for (unsigned i = 0; i < sums->nframes; i++)
		if (!sums->owner[i])
			atomic_store(&sums->frames[i].id, 0);
}

int sums_start(struct sums *sums)
{
	int rc = start_thread(&sums->keeper, sumsd_thread, sums);
	return rc ?: start_thread(&sums->reader, rehash_thread, sums);
}

static void stop_thread(struct sums_thread *thread)
{
	if (!thread->running)
		return;
	pthread_mutex_lock(&thread->lock);
	thread->stopping = true;
	pthread_cond_signal(&thread->more);
	pthread_mutex_unlock(&thread->lock);
	pthread_join(thread->thread, NULL);
	thread->running = false;
}

void sums_stop(struct sums *sums)
{
	stop_thread(&sums->reader);
	stop_thread(&sums->keeper);
	if (sums->dir >= 0)
		close(sums->dir);
	munmap(sums->memory, sums->memory_size);
	close(sums->memory_fd);
	free(sums->pins);
	free(sums->owner);
	free(sums);
}

bool sums_exist(struct sums *sums, int fd)
{
	char name[SIDECAR_NAME_MAX];
	int dir = sums_store(sums, false);
	struct stat st;

	return dir >= 0 && sidecar_name(sums->config->root_fd, fd, name) == 0 &&
	       fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

void sums_remove(struct sums *sums, int fd)
{
	char name[SIDECAR_NAME_MAX];
	int dir = sums_store(sums, false);

	if (dir >= 0 && sidecar_name(sums->config->root_fd, fd, name) == 0)
		unlinkat(dir, name, 0);
}

/* ===== an image's ===== */

static void *part(char **at, uint64_t n, size_t size)
{
	char *start = *at;

	*at += align_up(n * size, SIDECAR_PAGE);
	return start;
}

#define RESERVED_BYTES (8 * REGIONS_MAX + (1 << 20))

/* Address space for the largest file there can be: it costs what is used of it. */
static int reserve(struct sum_file *file)
{
	char *at = mmap(NULL, RESERVED_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return -errno;
	file->reserved = at;
	file->word = part(&at, REGIONS_MAX + 1, sizeof(*file->word));
	file->frame = part(&at, REGIONS_MAX + 1, sizeof(*file->frame));
	file->unclean = part(&at, GROUPS_MAX + 1, sizeof(*file->unclean));
	file->sidecar.map_sequence = part(&at, GROUPS_MAX + 1, sizeof(uint64_t));
	file->marking = part(&at, GROUPS_MAX + 1, sizeof(*file->marking));
	return 0;
}

static struct sum_file *file_new(struct sums *sums, struct image *image)
{
	struct sum_file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->sums = sums;
	file->image = image;
	file->sidecar.fd = -1;
	pthread_mutex_init(&file->sync_lock, NULL);
	if (reserve(file) == 0)
		return file;
	free(file);
	return NULL;
}

static void file_free(struct sum_file *file)
{
	if (file->sidecar.fd >= 0)
		close(file->sidecar.fd);
	munmap(file->reserved, RESERVED_BYTES);
	free(file);
}

/* The sums of what has data in regions FIRST to END mean nothing. */
static void unhash_data(struct sum_file *file, uint64_t first, uint64_t end)
{
	off_t at = first * REGION_BYTES;

	while ((at = lseek(file->image->cached_fd, at, SEEK_DATA)) >= 0) {
		uint64_t region = at / REGION_BYTES;

		if (region >= end)
			break;
		sumsd_set_state(file, region, REGION_UNHASHED);
		at = (region + 1) * REGION_BYTES;
	}
	/* Sums may also be left of data that are gone. */
	for (int64_t r = sidecar_next(&file->sidecar, first); r >= 0 && (uint64_t)r < end;
	     r = sidecar_next(&file->sidecar, r + 1))
		sumsd_set_state(file, r, REGION_UNHASHED);
}

/* What is known of the regions, after a clean close or not. */
static int load_maps(struct sum_file *file, bool unclean)
{
	struct sum_map map;
	char path[PATH_MAX];

	for (uint64_t g = 0; g < file->sidecar.header.groups; g++) {
		int rc = sidecar_read_map(&file->sidecar, g, &map);

		if (rc == -EBADMSG) {
			log_err("%s: a map of its checksums is damaged: hashed again",
				name_of(file, path));
			unhash_data(file, g * GROUP_REGIONS, (g + 1) * GROUP_REGIONS);
			continue;
		}
		if (rc < 0)
			return rc;
		for (unsigned i = 0; i < GROUP_REGIONS; i++) {
			unsigned what = map.regions[i / 2] >> i % 2 * 4 & 15;
			uint64_t region = g * GROUP_REGIONS + i;

			if (!what)
				continue;
			atomic_fetch_or(&file->word[region], what & REGION_BAD);
			if (state_of(what) == REGION_DIRTY && unclean)
				sumsd_set_state(file, region, REGION_UNHASHED);
			else if (state_of(what))
				sumsd_restore_state(file, region, state_of(what));
			if (state_of(what) == REGION_DOUBT)
				atomic_fetch_add(&file->doubtful, 1);
		}
	}
	return 0;
}

/* After a clean close the times tell. Returns whether it was changed by somebody else. */
static bool is_foreign(const struct sum_file *file)
{
	const struct sidecar_header *h = &file->sidecar.header;
	struct stat st;

	return !h->session && fstat(file->image->cached_fd, &st) == 0 &&
	       (st.st_size != h->size || st.st_mtim.tv_sec != h->mtime ||
		st.st_mtim.tv_nsec != h->mtime_nsec);
}

/* 1: all is to be hashed again. */
static int judge_foreign(struct sum_file *file, int foreign)
{
	static const char *const what[] = {
		[FOREIGN_VERIFY] = "blocks that differ from their checksums are errors",
		[FOREIGN_REBUILD] = "hashed again",
		[FOREIGN_REFUSE] = "refused",
	};
	char path[PATH_MAX];

	if (!is_foreign(file))
		return 0;
	log_at(foreign == FOREIGN_REFUSE ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, NULL,
	       "%s: was changed behind the mount (foreign-change): %s", name_of(file, path),
	       what[foreign]);
	return foreign == FOREIGN_REFUSE ? -EIO : foreign == FOREIGN_REBUILD;
}

static uint64_t groups_of(const struct image *image)
{
	int64_t size = image_size(image);
	uint64_t regions = size > 0 ? size / REGION_BYTES : 0;

	return MIN(regions / GROUP_REGIONS + 1, GROUPS_MAX);
}

static int load_sums(struct sum_file *file, int foreign)
{
	uint64_t session = file->sidecar.header.session;
	bool ours = session == file->sums->session;
	int rc = judge_foreign(file, foreign);

	if (rc < 0)
		return rc;
	if (rc > 0 || file->sidecar.header.rebuild)
		return -ESTALE;
	atomic_store(&file->used, ours);
	/* Also where the file has grown since: what cannot be had is made at the first write. */
	if (groups_of(file->image) > file->sidecar.header.groups && !file->sidecar.readonly &&
	    sidecar_grow(&file->sidecar, groups_of(file->image)) == 0)
		atomic_store(&file->used, false);
	/* A predecessor may have died between its pwrite and its fdatasync. */
	if (ours && fdatasync(file->sidecar.fd) < 0)
		return -errno;
	return load_maps(file, session && !ours);
}

/* What is wished for cannot be had: no reason to keep the image from being used. */
static int serve_without(const struct sums *sums, const struct image *image, int error)
{
	char path[PATH_MAX];

	log_err("%s: it cannot be given checksums (%s) and is served without",
		sums->config->name(sums->config->context, image, path), strerror(-error));
	return 0;
}

static int make_sums(struct sum_file *file, int dir, const char *name)
{
	int rc = sidecar_create(dir, name, groups_of(file->image), &file->sidecar);

	if (rc < 0) {
		serve_without(file->sums, file->image, rc);
		return -ENOENT;
	}
	file->sidecar.header.session = file->sums->session;
	atomic_store(&file->used, true);
	rc = sidecar_write_header(&file->sidecar);
	unhash_data(file, 0, REGIONS_MAX);
	if (rc == 0)
		rc = sumsd_write_marks(file);
	if (rc == 0)
		rc = sidecar_publish(dir, name, &file->sidecar);
	if (rc < 0) {
		close(steal_fd(&file->sidecar.fd));
		serve_without(file->sums, file->image, rc);
	}
	return rc < 0 ? -ENOENT : 0;
}

/* The sums that there are, or new ones. -ENOENT: none. */
static int find_sums(struct sum_file *file, int dir, const char *name, bool make, int foreign)
{
	int rc = sidecar_open(dir, name, &file->sidecar);
	char path[PATH_MAX];

	if (rc == 0)
		rc = load_sums(file, foreign);
	else if (rc == -EBADMSG)
		log_err("%s: its checksums are damaged: hashed again", name_of(file, path));
	else if (rc == -EPROTONOSUPPORT)
		log_err("%s: its checksums are of a version that this program does not know: "
			"refused (checksum=off drops them)",
			name_of(file, path));
	if (rc == -ESTALE)
		close(file->sidecar.fd);
	if (rc == -ESTALE || rc == -EBADMSG || (rc == -ENOENT && make))
		return make_sums(file, dir, name);
	if (rc == 0)
		rc = sumsd_write_marks(file);
	/* Where sums mean nothing a write marks nothing, and so not that the file is in use. */
	if (rc == 0 && sumsd_next_unclean(file, 0) < sidecar_regions(&file->sidecar))
		rc = sumsd_begin_use(file);
	return rc;
}

/* Writes that a predecessor died with: each block that differs is what came of one of them. */
static void settle_intents(struct sum_file *file)
{
	struct sums *sums = file->sums;

	for (unsigned i = 0; i < sums->nintents; i++) {
		struct sum_intent *intent = &sums->intents[i];
		struct waiting_op w;

		if (atomic_load(&intent->id) != file->sidecar.header.id ||
		    intent->blocks > INTENT_BLOCKS || intent->first >= REGIONS_MAX * REGION_BLOCKS)
			continue;
		sums_begin_waiting(&w, file, intent->first, intent->blocks, false);
		/* Its sums were given up, although they were in use, and there is no room for them.
		 */
		for (uint64_t b = intent->first; !w.op.begun && b < intent->first + intent->blocks;
		     b = (region_of(b) + 1) * REGION_BLOCKS)
			sumsd_unhash(file, region_of(b));
		sums_settle_failed(&w.op, intent);
		sums_end(&w.op);
	}
}

static void announce(struct sum_file *file)
{
	uint64_t regions = atomic_load(&file->unhashed);
	char path[PATH_MAX];

	if (regions)
		log_info("%s: checksums of %lu MiB are to be computed", name_of(file, path),
			 (unsigned long)(regions * REGION_BYTES >> 20));
	file->to_hash = regions;
	clock_gettime(CLOCK_MONOTONIC, &file->started);
	file->told = file->started;
}

int sums_open(struct sums *sums, struct image *image, enum sums_wish wish, int foreign)
{
	char name[SIDECAR_NAME_MAX];
	struct sum_file *file;
	int dir, rc = sidecar_name(sums->config->root_fd, image->cached_fd, name);

	if (rc < 0)
		return wish == SUMS_MAKE ? rc : 0;
	dir = sums_store(sums, wish == SUMS_MAKE);
	if (dir < 0)
		return wish == SUMS_MAKE ? serve_without(sums, image, dir)
		       : dir == -ENOENT	 ? 0
					 : dir;
	if (wish == SUMS_DROP)
		return sidecar_remove(dir, name);
	if ((uint64_t)MAX(image_size(image), 0) > SUMS_BYTES_MAX)
		return -EFBIG;
	file = file_new(sums, image);
	if (!file)
		return -ENOMEM;
	pthread_mutex_lock(&sums->opening);
	rc = find_sums(file, dir, name, wish == SUMS_MAKE, foreign);
	if (rc == 0) {
		announce(file);
		image->sums = file;
		sumsd_join(file);
	}
	pthread_mutex_unlock(&sums->opening);
	if (rc < 0) {
		file_free(file);
		return rc == -ENOENT ? 0 : rc;
	}
	settle_intents(file);
	sums_wake(&sums->reader);
	return 0;
}

/* Whether NAME was closed cleanly as the sums of a file of IMAGE's size at PATH. */
static bool is_of(int dir, const char *name, const struct image *image, const char *path)
{
	struct sidecar sidecar;

	if (sidecar_open(dir, name, &sidecar) < 0)
		return false;
	close(sidecar.fd);
	return !sidecar.header.session && !strcmp(sidecar.header.path, path) &&
	       sidecar.header.size == image_size(image);
}

static bool is_open(struct sums *sums, const char *name)
{
	struct sum_file *file;

	pthread_mutex_lock(&sums->files_lock);
	for (file = sums->files; file && strcmp(file->sidecar.header.name, name) != 0;)
		file = file->next;
	pthread_mutex_unlock(&sums->files_lock);
	return file;
}

static bool is_gone(const struct sums *sums, const char *name)
{
	_cleanup_close_ int fd = sidecar_find_file(sums->config->root_fd, name);

	return fd == -ESTALE;
}

/* Rather of a file that is gone than of one that has got another name (or is in the pool that this
 * one is a copy of). */
static int find_moved(struct sums *sums, int store, const struct image *image, const char *own,
		      const char *path, char name[SIDECAR_NAME_MAX])
{
	DIR *dir = fdopendir(openat(store, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *d;
	int rc = -ENOENT;

	while (dir && (rc < 0 || !is_gone(sums, name)) && (d = readdir(dir))) {
		if (*d->d_name == '.' || !strcmp(d->d_name, own) ||
		    !is_of(store, d->d_name, image, path) || is_open(sums, d->d_name))
			continue;
		snprintf(name, SIDECAR_NAME_MAX, "%s", d->d_name);
		rc = 0;
	}
	if (dir)
		closedir(dir);
	return rc;
}

static int take_moved(struct sums *sums, struct image *image, const char *path)
{
	char own[SIDECAR_NAME_MAX], moved[SIDECAR_NAME_MAX];
	int dir = sums_store(sums, false);
	int rc = dir < 0 ? dir : sidecar_name(sums->config->root_fd, image->cached_fd, own);

	if (rc == 0)
		rc = find_moved(sums, dir, image, own, path, moved);
	if (rc < 0)
		return rc;
	sums_close(image);
	return renameat(dir, moved, dir, own) < 0 || fsync(dir) < 0 ? -errno : 0;
}

int sums_adopt(struct sums *sums, struct image *image, const char *path)
{
	int rc, opened = 0;

	pthread_mutex_lock(&sums->opening);
	rc = take_moved(sums, image, path);
	pthread_mutex_unlock(&sums->opening);
	/* Whichever are there now: left alone they would be out of date at the next write. */
	if (!image->sums)
		opened = sums_open(sums, image, SUMS_KEEP, FOREIGN_VERIFY);
	return rc ?: opened;
}

static void settle_file(struct sum_file *file, bool flush)
{
	if (!atomic_load(&file->used) && !atomic_load(&file->reports))
		return;
	pthread_mutex_lock(&file->sync_lock);
	sums_set_idle(file);
	sumsd_settle(file, flush && image_flush(file->image) == 0);
	pthread_mutex_unlock(&file->sync_lock);
}

void sums_settle(struct image *image, bool flush)
{
	_keep_sums_(image);

	if (image->sums)
		settle_file(image->sums, flush);
}

void sums_leave(struct image *image, bool leaving)
{
	struct sum_file *file = image->sums;
	struct sums *sums = file ? file->sums : NULL;

	if (!file)
		return;
	atomic_store(&file->leaving, leaving);
	pthread_mutex_lock(&sums->files_lock);
	while (leaving && sums->busy == file)
		pthread_cond_wait(&sums->not_busy, &sums->files_lock);
	pthread_mutex_unlock(&sums->files_lock);
	if (!leaving)
		sums_wake(&sums->reader);
}

void sums_close(struct image *image)
{
	struct sum_file *file = image->sums;
	struct sums *sums;
	struct stat st;

	if (!file)
		return;
	sums = file->sums;
	sums_leave(image, true);
	if (fstat(image->cached_fd, &st) == 0 && !st.st_nlink)
		unlinkat(sums->dir, file->sidecar.header.name, 0);
	else
		settle_file(file, image->traits->flush);
	sumsd_leave(file);
	image->sums = NULL;
	file_free(file);
}
