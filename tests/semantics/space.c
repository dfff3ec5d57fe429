// SPDX-License-Identifier: GPL-2.0-or-later
/* fallocate, holes, and copies that share blocks. */
#include "compare.h"

#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#define BTRFS_MAGIC 0x9123683e
#define XFS_MAGIC 0x58465342

#define EXTENTS 256

/* The extents of a file as they are below, once everything is on disk. */
static struct fiemap *extents_below(const char *path, off_t off, off_t len)
{
	struct fiemap *map = calloc(1, sizeof(*map) + EXTENTS * sizeof(map->fm_extents[0]));
	int fd = MUST(openat(below, path, O_RDONLY | O_CLOEXEC));

	map->fm_start = off;
	map->fm_length = len;
	map->fm_flags = FIEMAP_FLAG_SYNC;
	map->fm_extent_count = EXTENTS;
	MUST(ioctl(fd, FS_IOC_FIEMAP, map));
	EXPECT(map->fm_mapped_extents < EXTENTS);
	close(fd);
	return map;
}

static void show_space(int fd, const char *path)
{
	struct fiemap *map;
	uint64_t sum = 0;

	TRY(fsync(fd));
	map = extents_below(path, 0, INT64_MAX);
	for (uint32_t i = 0; i < map->fm_mapped_extents; i++)
		sum += map->fm_extents[i].fe_length;
	note("%s: %lu bytes allocated", path, (unsigned long)sum);
	free(map);
	show(path);
}

BEHAVIOUR(fallocate_of_every_mode)
{
	static const struct {
		int mode;
		off_t off, len;
	} steps[] = {
		{0, 0, 10000},
		{0, 300000, 50000},
		{FALLOC_FL_KEEP_SIZE, 400000, 200000},
		{FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 16384},
		{FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 50001, 777},
		{FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 340000, 100000},
		{FALLOC_FL_ZERO_RANGE, 65536, 8192},
		{FALLOC_FL_ZERO_RANGE, 99, 4001},
		{FALLOC_FL_ZERO_RANGE, 345000, 10000},
		{FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 350000, 100000},
		{FALLOC_FL_PUNCH_HOLE, 0, 4096},
		{FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 30, 4096},
		{0, -1, 10},
		{0, 0, 0},
		{0, 0, -5},
		{0, INT64_MAX - 10, 100},
	};

	EACH_KIND (f) {
		int fd = make_file(f, 200000), reader = MUST(open(f, O_RDONLY));

		for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
			note("mode %#x, %ld at %ld", steps[i].mode, (long)steps[i].len,
			     (long)steps[i].off);
			TRY(fallocate(fd, steps[i].mode, steps[i].off, steps[i].len));
			show_space(fd, f);
		}
		TRY(fallocate(reader, 0, 0, 4096));
		if (through) {
			EXPECT(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 65536) < 0);
			EXPECT(errno == EOPNOTSUPP);
			EXPECT(fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, 65536) < 0);
			EXPECT(errno == EOPNOTSUPP);
		}
	}
	MUST(mkfifo("fifo", 0644));
	TRY(fallocate(MUST(open("fifo", O_RDWR)), 0, 0, 10));
	TRY(fallocate(MUST(open(".", O_RDONLY)), 0, 0, 10));
}

BEHAVIOUR(punched_and_zeroed_ranges_read_as_zeros_everywhere)
{
	static const char zeros[8192];

	EACH_KIND (f) {
		int fd = make_file(f, 100000), reader = MUST(open(f, O_RDONLY));
		char *map = mmap(NULL, 100000, PROT_READ, MAP_SHARED, reader, 0), buf[8192];

		EXPECT(map != MAP_FAILED && memcmp(map + 16384, zeros, 8192));
		TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 16384, 8192));
		EXPECT(!memcmp(map + 16384, zeros, 8192));
		TRY(pread(reader, buf, 8192, 16384));
		EXPECT(!memcmp(buf, zeros, 8192));
		TRY(fallocate(fd, FALLOC_FL_ZERO_RANGE, 40000, 5000));
		EXPECT(!memcmp(map + 40000, zeros, 5000));
		TRY(pread(reader, buf, 5000, 40000));
		EXPECT(!memcmp(buf, zeros, 5000));
		show(f);
	}
}

BEHAVIOUR(data_and_holes_are_found)
{
	EACH_KIND (f) {
		int fd = make_file(f, 0);
		off_t off = 0;

		MUST(ftruncate(fd, 10 * MIB));
		for (int i = 0; i < 4; i++)
			MUST(pwrite(fd, "data", 4, (2 * i + 1) * MIB));
		MUST(fsync(fd));
		for (int i = 0; i < 6 && off >= 0; i++) {
			off = TRY(lseek(fd, off, SEEK_DATA));
			if (off >= 0)
				off = TRY(lseek(fd, off, SEEK_HOLE));
		}
		TRY(lseek(fd, MIB + 1, SEEK_DATA));
		TRY(lseek(fd, 0, SEEK_CUR));
		TRY(lseek(fd, 10 * MIB, SEEK_HOLE));
		TRY(lseek(fd, 10 * MIB, SEEK_DATA));
		TRY(lseek(fd, 10 * MIB - 1, SEEK_HOLE));
		TRY(lseek(fd, -1, SEEK_DATA));
		MUST(ftruncate(fd, 0));
		TRY(lseek(fd, 0, SEEK_DATA));
		TRY(lseek(fd, 0, SEEK_HOLE));
	}
}

/* ---- copy_file_range */

static bool shares_extents(void)
{
	struct statfs fs;

	MUST(fstatfs(below, &fs));
	return fs.f_type == BTRFS_MAGIC || fs.f_type == XFS_MAGIC;
}

static bool is_shared(const char *path, off_t off)
{
	struct fiemap *map = extents_below(path, off, 4096);
	bool shared =
		map->fm_mapped_extents == 1 && map->fm_extents[0].fe_flags & FIEMAP_EXTENT_SHARED;

	free(map);
	return shared;
}

/* Copies all of it, in as many calls as it takes. */
static void copy_all(int from, int to, off_t from_off, off_t to_off, size_t len)
{
	ssize_t n;

	while (len && (n = copy_file_range(from, &from_off, to, &to_off, len, 0)) != 0) {
		MUST(n);
		len -= n;
	}
	note("%zu bytes were not there to copy", len);
}

static void copy_kind(const char *from_name, const char *to_name)
{
	int from = make_file(from_name, 4 * MIB + 1000);
	int to = MUST(open(to_name, O_RDWR | O_CREAT, 0644));

	note("%s to %s", from_name, to_name);
	copy_all(from, to, 0, 0, 4 * MIB + 1000);
	MUST(fsync(to));
	show(to_name);
	if (shares_extents())
		EXPECT(is_shared(to_name, 0) && is_shared(to_name, 4 * MIB - 4096));
	/* the copy is one: neither sees the other's change */
	MUST(pwrite(from, "source", 6, MIB));
	MUST(pwrite(to, "copy", 4, 2 * MIB));
	show(from_name);
	show(to_name);
	/* unaligned, into the middle, over the end of the source */
	copy_all(from, to, 4097, 777, 100001);
	copy_all(from, to, 65536, 3 * MIB, 65536);
	copy_all(from, to, 4 * MIB, 4 * MIB + 5, 500000);
	MUST(fsync(to));
	show(to_name);
	close(from);
	close(to);
}

BEHAVIOUR(copy_file_range_is_a_reflink)
{
	copy_kind("plain", "copy");
	copy_kind("disk.img", "copy.img");
	copy_kind("other", "other.img");
	copy_kind("second.img", "second");
}

BEHAVIOUR(copy_file_range_takes_what_was_just_written)
{
	EACH_KIND (f) {
		int fd = make_file(f, 100000), copy = MUST(open("copy", O_RDWR | O_CREAT, 0644));
		char *map = mmap(NULL, 100000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		EXPECT(map != MAP_FAILED);
		for (int i = 0; i < 5; i++) {
			MUST(pwrite(fd, &i, sizeof(i), 50000));
			memset(map + 70000, 'a' + i, 10);
			copy_all(fd, copy, 0, 0, 100000);
			show("copy");
		}
		MUST(unlink("copy"));
	}
}

BEHAVIOUR(copy_file_range_by_the_rules)
{
	EACH_KIND (f) {
		int fd = make_file(f, 100000), reader = MUST(open(f, O_RDONLY));
		int append = MUST(open(f, O_RDWR | O_APPEND));
		int to = make_file("to", 10), dir = MUST(open(".", O_RDONLY));
		off_t a, b;

		TRY(copy_file_range(fd, NULL, reader, NULL, 10, 0));
		TRY(copy_file_range(to, NULL, append, NULL, 10, 0));
		TRY(copy_file_range(dir, NULL, to, NULL, 10, 0));
		TRY(copy_file_range(fd, NULL, to, NULL, 0, 0));
		TRY(copy_file_range(fd, NULL, to, NULL, 10, 1));
		TRY((a = 0, b = 50, copy_file_range(fd, &a, fd, &b, 100, 0)));
		TRY((a = 0, b = 50000, copy_file_range(fd, &a, fd, &b, 100, 0)));
		TRY((a = 100000, b = 0, copy_file_range(fd, &a, to, &b, 100, 0)));
		TRY((a = 99990, b = 0, copy_file_range(fd, &a, to, &b, 100, 0)));
		note("now at %ld and %ld", (long)a, (long)b);
		TRY(lseek(fd, 5, SEEK_SET));
		TRY(copy_file_range(fd, NULL, to, NULL, 20, 0));
		TRY(lseek(fd, 0, SEEK_CUR));
		TRY(lseek(to, 0, SEEK_CUR));
		show("to");
		MUST(unlink("to"));
	}
}

BEHAVIOUR(copies_of_more_than_two_gibibytes)
{
	off_t size = 2 * GIB + 300 * MIB + 4096;
	int from, to;

	/* a copy in full would take the time and memory of all others together */
	if (!shares_extents())
		return;
	from = make_file("from.img", 10000);
	to = MUST(open("to.img", O_RDWR | O_CREAT, 0644));
	MUST(ftruncate(from, size));
	MUST(pwrite(from, "middle", 6, 2 * GIB + 5));
	MUST(pwrite(from, "end", 3, size - 3));
	copy_all(from, to, 0, 0, size);
	show("to.img");
	for (off_t off = 0; off < size; off = off < 2 * GIB ? 2 * GIB : size) {
		char a[8192], b[8192];

		EXPECT(pread(from, a, sizeof(a), off) == pread(to, b, sizeof(b), off));
		EXPECT(!memcmp(a, b, sizeof(a)));
	}
	EXPECT(is_shared("to.img", 0) && is_shared("to.img", 2 * GIB));
}
