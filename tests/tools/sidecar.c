// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sidecar - a second reader of checksums, from the manual page and from nothing else
 *
 *	sidecar POOL
 *
 * POOL is not mounted anywhere, and was unmounted cleanly. Reads every file of checksums in it
 * (bouncefs-checksums(5)), finds the file that they are of, and compares each block of it. Prints
 * how many files and blocks there were; says what is wrong, and fails if anything is.
 */
#include <dirent.h>
#include <endian.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define PAGE 4096
#define BLOCKS 496   /* that a page of checksums covers */
#define REGIONS 8128 /* that a map covers */

static const char *name;
static unsigned long files, blocks, wrong, gone;

#define bad(fmt, ...)                                                 \
	do {                                                          \
		if (wrong++ < 20)                                     \
			printf("%s: " fmt "\n", name, ##__VA_ARGS__); \
	} while (0)

static uint64_t u64(const uint8_t *page, size_t at)
{
	uint64_t v;

	memcpy(&v, page + at, 8);
	return le64toh(v);
}

static uint32_t u32(const uint8_t *page, size_t at)
{
	uint32_t v;

	memcpy(&v, page + at, 4);
	return le32toh(v);
}

/* What lies beyond the end is zero. */
static void read_page(int fd, uint64_t offset, uint8_t page[PAGE])
{
	ssize_t n = pread(fd, page, PAGE, offset);

	if (n < 0)
		err(1, "%s", name);
	memset(page + n, 0, PAGE - n);
}

static bool is_zero(const uint8_t *page)
{
	static const uint8_t zeroes[PAGE];

	return !memcmp(page, zeroes, PAGE);
}

static bool is_whole(const uint8_t *page)
{
	return u64(page, 0) == XXH3_64bits(page + 8, PAGE - 8);
}

/* Of two pages at OFFSET the whole one with the higher number. */
static bool read_twin(int fd, uint64_t offset, uint8_t page[PAGE])
{
	uint8_t other[PAGE];

	read_page(fd, offset, page);
	read_page(fd, offset + PAGE, other);
	if (is_whole(other) && (!is_whole(page) || u64(other, 8) > u64(page, 8)))
		memcpy(page, other, PAGE);
	return is_whole(page);
}

static void check_region(int store, int file, uint64_t region, uint64_t id)
{
	uint8_t page[PAGE], block[PAGE];

	read_page(store, (2 + region / REGIONS * (2 + REGIONS) + 2 + region % REGIONS) * PAGE,
		  page);
	if (is_zero(page)) {
		/* no checksums: no data */
	} else if (!is_whole(page)) {
		bad("region %lu: damaged", region);
		return;
	} else if (u64(page, 16) != id || u64(page, 24) != region) {
		bad("region %lu: says that it is another's", region);
	}
	for (unsigned i = 0; i < BLOCKS; i++) {
		uint64_t sum = u64(page, PAGE - 8 * BLOCKS + 8 * i), is;

		read_page(file, (region * BLOCKS + i) * PAGE, block);
		is = is_zero(block) ? 0 : XXH3_64bits(block, PAGE) ?: 1;
		blocks += sum != 0;
		if (is != sum)
			bad("block at %lu: %016lx, should be %016lx",
			    (region * BLOCKS + i) * (uint64_t)PAGE, is, sum);
	}
}

/* The name is the type of the handle and its bytes, in hexadecimal digits. */
static int open_file(int pool)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = {0};
	const char *digits = strchr(name, '-') + 1;

	u.handle.handle_type = strtol(name, NULL, 16);
	for (; digits[0] && digits[1]; digits += 2)
		sscanf(digits, "%2hhx", &u.handle.f_handle[u.handle.handle_bytes++]);
	return open_by_handle_at(pool, &u.handle, O_RDONLY);
}

static void check_file(int pool, int store)
{
	uint8_t header[PAGE], map[PAGE];
	uint64_t id, size, groups;
	struct stat st;
	int file;

	if (!read_twin(store, 0, header) || memcmp(header + 16, "BFSUMS\r\n", 8) ||
	    u32(header, 24) != 1 || u32(header, 28) != PAGE) {
		bad("not a header");
		return;
	}
	file = open_file(pool);
	if (file < 0 && errno == ESTALE) {
		gone++;
		return;
	}
	id = u64(header, 32);
	groups = u64(header, 48);
	size = u64(header, 56);
	if (u64(header, 40) || u32(header, 76))
		bad("it was not closed cleanly");
	if (file < 0 || fstat(file, &st)) {
		bad("%m");
		return;
	}
	if ((uint64_t)st.st_size != size)
		bad("the file has %lu bytes, should have %lu", st.st_size, size);
	for (uint64_t region = 0; region * BLOCKS * PAGE < size; region++) {
		unsigned at = region % REGIONS, state;

		if (!at && (region / REGIONS >= groups ||
			    !read_twin(store, (2 + region / REGIONS * (2 + REGIONS)) * PAGE, map) ||
			    u64(map, 16) != id || u64(map, 24) != region / REGIONS)) {
			bad("map %lu is damaged", region / REGIONS);
			break;
		}
		state = map[32 + at / 2] >> at % 2 * 4 & 15;
		if (state)
			bad("region %lu is in state %u", region, state);
		check_region(store, file, region, id);
	}
	close(file);
	files++;
}

int main(int argc, char **argv)
{
	int pool = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY) : -1;
	DIR *dir = pool < 0 ? NULL : fdopendir(openat(pool, ".bouncefs", O_RDONLY | O_DIRECTORY));
	struct dirent *e;

	if (!dir)
		errx(2, "usage: sidecar POOL");
	while ((e = readdir(dir))) {
		int fd;

		if (!strchr(e->d_name, '-'))
			continue;
		name = e->d_name;
		fd = openat(dirfd(dir), name, O_RDONLY);
		if (fd < 0)
			err(1, "%s", name);
		check_file(pool, fd);
		close(fd);
	}
	printf("%lu files, %lu blocks with checksums, %lu wrong, checksums of %lu files that are gone\n",
	       files, blocks, wrong, gone);
	return wrong > 0;
}
