// SPDX-License-Identifier: GPL-2.0-or-later
#include "sidecar.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>
#include <xxhash.h>

#include "policy/util.h"

#define MAGIC "BFSUMS\r\n"
#define HANDLE_MAX 112
#define SEQUENCE_MAX ((uint64_t)INT64_MAX)

/* ===== places ===== */

#define GROUPS_START (2ull * SIDECAR_PAGE)
#define GROUP_PAGES (2 + GROUP_REGIONS)

static uint64_t group_place(uint64_t group)
{
	return GROUPS_START + group * GROUP_PAGES * SIDECAR_PAGE;
}

static uint64_t sums_place(uint64_t region)
{
	return group_place(region / GROUP_REGIONS) +
	       (2 + region % GROUP_REGIONS) * (uint64_t)SIDECAR_PAGE;
}

/* ===== pages ===== */

/* The same there and back: what a page holds beyond bytes are little-endian words. */
static void swap_words(void *page, size_t bytes)
{
	uint64_t *word = page;

	for (size_t i = 0; i < bytes / sizeof(*word); i++)
		word[i] = htole64(word[i]);
}

static uint64_t check_of(const void *page, size_t from, size_t to)
{
	return htole64(XXH3_64bits((const char *)page + from, to - from));
}

static int write_page(const struct sidecar *sidecar, const void *page, uint64_t place)
{
	ssize_t n;

	do {
		n = pwrite(sidecar->fd, page, SIDECAR_PAGE, place);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n < SIDECAR_PAGE ? -EIO : 0;
}

/* What lies beyond the end is zero, as a hole is. */
static int read_page(const struct sidecar *sidecar, void *page, uint64_t place)
{
	ssize_t n;

	do {
		n = pread(sidecar->fd, page, SIDECAR_PAGE, place);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	memset((char *)page + n, 0, SIDECAR_PAGE - n);
	return 0;
}

/* The better one of two pages at PLACE, which begin with check and sequence. If one cannot be read
 * it may have been the better one: -EBADMSG. Nobody counts beyond SEQUENCE_MAX: one that has is
 * damage, -EBADMSG, and PAGE the other one, whose number goes on. (If that were believed, so would
 * it be when what is written next has such a number.) -errno. */
static int read_twin(const struct sidecar *sidecar, uint64_t place, void *page)
{
	uint64_t twin[SIDECAR_PAGE / 8], best = 0;
	int unreadable = 0, found = -EBADMSG;
	bool damaged = false;

	memset(page, 0, SIDECAR_PAGE);
	for (int i = 0; i < 2; i++) {
		int rc = read_page(sidecar, twin, place + i * SIDECAR_PAGE);

		if (rc < 0)
			unreadable = rc;
		damaged |= rc < 0;
		if (rc < 0 || twin[0] != check_of(twin, 8, SIDECAR_PAGE))
			continue;
		if (le64toh(twin[1]) > SEQUENCE_MAX) {
			damaged = true;
		} else if (found < 0 || le64toh(twin[1]) > best) {
			memcpy(page, twin, SIDECAR_PAGE);
			best = le64toh(twin[1]);
			found = 0;
		}
	}
	if (found < 0 && unreadable)
		return unreadable;
	return damaged ? -EBADMSG : found;
}

/* ===== header ===== */

/* Two numbers of 32 bits each in a word: swapped as a word they would change places. */
static void swap_header(struct sidecar_header *h)
{
	h->version = htole32(h->version);
	h->block = htole32(h->block);
	h->mtime_nsec = htole32(h->mtime_nsec);
	h->rebuild = htole32(h->rebuild);
	swap_words(h, offsetof(struct sidecar_header, magic));
	swap_words(&h->id, offsetof(struct sidecar_header, mtime_nsec) -
				   offsetof(struct sidecar_header, id));
}

int sidecar_write_header(struct sidecar *sidecar)
{
	struct sidecar_header h = sidecar->header;

	h.sequence = ++sidecar->header.sequence;
	swap_header(&h);
	h.check = check_of(&h, 8, SIDECAR_PAGE);
	return write_page(sidecar, &h, sidecar->header.sequence % 2 * SIDECAR_PAGE);
}

static int read_header(struct sidecar *sidecar)
{
	struct sidecar_header *h = &sidecar->header;
	struct stat st;
	int rc = read_twin(sidecar, 0, h);

	if (rc < 0)
		return rc;
	swap_header(h);
	if (memcmp(h->magic, MAGIC, sizeof(h->magic)))
		return -EBADMSG;
	if (h->version != SIDECAR_VERSION || h->block != SIDECAR_PAGE)
		return -EPROTONOSUPPORT;
	h->path[sizeof(h->path) - 1] = '\0';
	if (fstat(sidecar->fd, &st) < 0)
		return -errno;
	if (!h->id) /* that of no sidecar */
		return -EBADMSG;
	/* Cut off: where sum pages are missing there would seem to be no sums. */
	return h->groups > GROUPS_MAX || (uint64_t)st.st_size < group_place(h->groups) ? -EBADMSG
										       : 0;
}

/* ===== files ===== */

struct handle {
	struct file_handle handle;
	uint8_t bytes[HANDLE_MAX];
};

int sidecar_name(int root_fd, int fd, char name[SIDECAR_NAME_MAX])
{
	struct handle h = {.handle.handle_bytes = HANDLE_MAX}, root = h;
	int mount_id, root_mount_id, n;

	if (name_to_handle_at(fd, "", &h.handle, &mount_id, AT_EMPTY_PATH) < 0 ||
	    name_to_handle_at(root_fd, "", &root.handle, &root_mount_id, AT_EMPTY_PATH) < 0 ||
	    mount_id != root_mount_id)
		return -EOPNOTSUPP;
	n = snprintf(name, SIDECAR_NAME_MAX, "%08x-", (unsigned)h.handle.handle_type);
	for (unsigned i = 0; i < h.handle.handle_bytes; i++)
		n += snprintf(name + n, SIDECAR_NAME_MAX - n, "%02x", h.bytes[i]);
	return 0;
}

int sidecar_find_file(int root_fd, const char *name)
{
	struct handle h = {0};
	unsigned type, length;
	int fd, n = 0;

	length = sscanf(name, "%8x-%n", &type, &n) == 1 && n == 9 ? strlen(name + n) : 0;
	if (!length || length % 2 || length / 2 > HANDLE_MAX ||
	    strspn(name + n, "0123456789abcdef") != length)
		return -EINVAL;
	h.handle.handle_type = type;
	h.handle.handle_bytes = length / 2;
	for (unsigned i = 0; i < length / 2; i++)
		sscanf(name + n + 2 * i, "%2hhx", &h.bytes[i]);
	fd = open_by_handle_at(root_fd, &h.handle, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int sidecar_open(int dir, const char *name, struct sidecar *sidecar)
{
	int rc;

	sidecar->readonly = false;
	sidecar->fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (sidecar->fd < 0 && errno == EROFS) {
		sidecar->readonly = true;
		sidecar->fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (sidecar->fd < 0)
		return -errno;
	rc = read_header(sidecar);
	if (rc < 0)
		close(steal_fd(&sidecar->fd));
	else /* it may have been adopted */
		snprintf(sidecar->header.name, sizeof(sidecar->header.name), "%s", name);
	return rc;
}

static const char *unfinished(const char *name, char text[SIDECAR_NAME_MAX])
{
	snprintf(text, SIDECAR_NAME_MAX, "%s.new", name);
	return text;
}

int sidecar_create(int dir, const char *name, uint64_t groups, struct sidecar *sidecar)
{
	struct sidecar_header *h = &sidecar->header;
	char text[SIDECAR_NAME_MAX];
	int rc, flags = FS_NOCOW_FL;

	*h = (struct sidecar_header){.version = SIDECAR_VERSION, .block = SIDECAR_PAGE};
	memcpy(h->magic, MAGIC, sizeof(h->magic));
	snprintf(h->name, sizeof(h->name), "%s", name);
	sidecar->readonly = false;
	sidecar->fd = openat(dir, unfinished(name, text),
			     O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (sidecar->fd < 0)
		return -errno;
	/* Btrfs: preallocated space is no promise for a file that is copied on write. */
	(void)ioctl(sidecar->fd, FS_IOC_SETFLAGS, &flags);
	rc = getrandom(&h->id, sizeof(h->id), 0) < 0 ? -errno : 0;
	h->id |= 1;
	if (rc == 0 && fallocate(sidecar->fd, 0, 0, GROUPS_START) < 0 && errno != EOPNOTSUPP)
		rc = -errno;
	if (rc == 0)
		rc = sidecar_grow(sidecar, groups);
	if (rc == 0)
		rc = sidecar_write_header(sidecar);
	if (rc < 0) {
		close(steal_fd(&sidecar->fd));
		unlinkat(dir, text, 0);
	}
	return rc;
}

int sidecar_publish(int dir, const char *name, struct sidecar *sidecar)
{
	char text[SIDECAR_NAME_MAX];

	if (fsync(sidecar->fd) < 0 || renameat(dir, unfinished(name, text), dir, name) < 0 ||
	    fsync(dir) < 0)
		return -errno;
	return 0;
}

int sidecar_remove(int dir, const char *name)
{
	/* Who comes again may not have got as far as the fsync. */
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return fsync(dir) < 0 ? -errno : 0;
}

int sidecar_grow(struct sidecar *sidecar, uint64_t groups)
{
	uint64_t old = sidecar->header.groups;

	/* What may be there is left of a growth that ended with a crash: it does not count. */
	if (ftruncate(sidecar->fd, group_place(old)) < 0)
		return -errno;
	if (groups <= old)
		return 0;
	if (ftruncate(sidecar->fd, group_place(groups)) < 0)
		return -errno;
	for (uint64_t g = old; g < groups; g++) {
		struct sum_map map = {0};
		int rc;

		if (fallocate(sidecar->fd, 0, group_place(g), 2 * SIDECAR_PAGE) < 0 &&
		    errno != EOPNOTSUPP)
			return -errno;
		rc = sidecar_write_map(sidecar, g, &map);
		if (rc < 0)
			return rc;
	}
	__atomic_store_n(&sidecar->header.groups, groups, __ATOMIC_RELAXED);
	return 0;
}

/* ===== maps and sums ===== */

int sidecar_write_map(struct sidecar *sidecar, uint64_t group, struct sum_map *map)
{
	uint64_t sequence = ++sidecar->map_sequence[group];

	map->sequence = sequence;
	map->id = sidecar->header.id;
	map->group = group;
	swap_words(map, offsetof(struct sum_map, regions));
	map->check = check_of(map, 8, SIDECAR_PAGE);
	return write_page(sidecar, map, group_place(group) + sequence % 2 * SIDECAR_PAGE);
}

int sidecar_read_map(struct sidecar *sidecar, uint64_t group, struct sum_map *map)
{
	int rc = read_twin(sidecar, group_place(group), map);

	swap_words(map, offsetof(struct sum_map, regions));
	sidecar->map_sequence[group] = map->sequence;
	if (rc < 0)
		return rc;
	return map->id == sidecar->header.id && map->group == group ? 0 : -EBADMSG;
}

#define HEAD offsetof(struct sum_page, sums)

int sidecar_write_sums(struct sidecar *sidecar, uint64_t region, struct sum_page *page)
{
	page->id = sidecar->header.id;
	page->region = region;
	swap_words(page, SIDECAR_PAGE);
	page->head_check = check_of(page, 16, HEAD);
	page->check = check_of(page, 8, SIDECAR_PAGE);
	return write_page(sidecar, page, sums_place(region));
}

static bool is_page_of(const struct sidecar *sidecar, uint64_t region, const struct sum_page *page)
{
	return page->id == sidecar->header.id && page->region == region;
}

int sidecar_read_sums(const struct sidecar *sidecar, uint64_t region, struct sum_page *page)
{
	static const struct sum_page hole;
	int rc = read_page(sidecar, page, sums_place(region));
	bool head, whole;

	if (rc < 0)
		memset(page, 0, sizeof(*page));
	if (rc < 0 || !memcmp(page, &hole, sizeof(hole)))
		return rc;
	head = page->head_check == check_of(page, 16, HEAD);
	whole = page->check == check_of(page, 8, SIDECAR_PAGE);
	swap_words(page, SIDECAR_PAGE);
	if (whole && is_page_of(sidecar, region, page))
		return 0;
	if (!head || !is_page_of(sidecar, region, page))
		memset(page, 0, sizeof(*page));
	memset(page->sums, 0, sizeof(page->sums));
	return -EBADMSG;
}

int64_t sidecar_next(const struct sidecar *sidecar, uint64_t region)
{
	uint64_t regions = sidecar_regions(sidecar);
	off_t place;

	while (region < regions) {
		uint64_t group = region / GROUP_REGIONS, page;

		place = lseek(sidecar->fd, sums_place(region), SEEK_DATA);
		if (place < 0)
			return errno == ENXIO ? -ENXIO : (int64_t)region;
		if ((uint64_t)place < group_place(group + 1))
			return MAX(region,
				   group * GROUP_REGIONS +
					   ((uint64_t)place - group_place(group)) / SIDECAR_PAGE -
					   2);
		/* In a later group: a map, perhaps, and nothing behind it. */
		group = (place - GROUPS_START) / (GROUP_PAGES * (uint64_t)SIDECAR_PAGE);
		page = (place - group_place(group)) / SIDECAR_PAGE;
		region = group * GROUP_REGIONS + (page < 2 ? 0 : page - 2);
	}
	return -ENXIO;
}

/* Where there are no holes to be had. */
static int wipe(const struct sidecar *sidecar, uint64_t first, uint64_t end)
{
	static const struct sum_page nothing;
	int64_t region = sidecar_next(sidecar, first);
	int rc = 0;

	for (; region >= 0 && (uint64_t)region < end && rc == 0;
	     region = sidecar_next(sidecar, region + 1))
		rc = write_page(sidecar, &nothing, sums_place(region));
	return rc;
}

int sidecar_punch(const struct sidecar *sidecar, uint64_t first, uint64_t end)
{
	end = MIN(end, sidecar_regions(sidecar));
	while (first < end) {
		uint64_t stop = MIN(end, (first / GROUP_REGIONS + 1) * GROUP_REGIONS);

		if (fallocate(sidecar->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      sums_place(first), (stop - first) * SIDECAR_PAGE) < 0)
			return errno == EOPNOTSUPP ? wipe(sidecar, first, end) : -errno;
		first = stop;
	}
	return 0;
}
