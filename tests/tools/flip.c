// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * flip - bits that rot below a filesystem
 *
 *	flip DISK FILE OFFSET...	one bit at each of these bytes of FILE
 *	flip DISK FILE -r COUNT SEED	COUNT random bits, each in another block of 4096 bytes
 *	flip DISK FILE -n OFFSET	none: prints where on DISK the byte is
 *
 * FILE lies on a filesystem whose only device is (a loop device over) DISK, and that tells in
 *FIEMAP where on it its data are: ext4, XFS. Nothing above notices: no timestamp changes. Prints
 *the offsets of the blocks that were changed, in ascending order.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BLOCK 4096
#define BATCH 512

static struct fiemap_extent *extents;
static size_t nextents;
static int disk;

static void read_extents(int fd)
{
	struct fiemap *map = calloc(1, sizeof(*map) + BATCH * sizeof(map->fm_extents[0]));
	uint64_t at = 0;

	do {
		*map = (struct fiemap){.fm_start = at,
				       .fm_length = FIEMAP_MAX_OFFSET,
				       .fm_flags = FIEMAP_FLAG_SYNC,
				       .fm_extent_count = BATCH};
		if (ioctl(fd, FS_IOC_FIEMAP, map))
			err(1, "FIEMAP");
		extents = reallocarray(extents, nextents + BATCH, sizeof(*extents));
		for (unsigned i = 0; i < map->fm_mapped_extents; i++) {
			const struct fiemap_extent *e = &map->fm_extents[i];

			at = e->fe_logical + e->fe_length;
			if (!(e->fe_flags & FIEMAP_EXTENT_UNWRITTEN))
				extents[nextents++] = *e;
		}
	} while (map->fm_mapped_extents == BATCH);
	free(map);
}

static uint64_t place_of(uint64_t offset)
{
	for (size_t i = 0; i < nextents; i++) {
		const struct fiemap_extent *e = &extents[i];

		if (offset < e->fe_logical || offset >= e->fe_logical + e->fe_length)
			continue;
		if (e->fe_flags &
		    (FIEMAP_EXTENT_ENCODED | FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DATA_INLINE))
			errx(1, "%lu: the filesystem does not tell where it is", offset);
		return e->fe_physical + offset - e->fe_logical;
	}
	errx(1, "%lu: no data there", offset);
}

static void flip(uint64_t offset, int bit)
{
	uint64_t at = place_of(offset);
	uint8_t byte;

	if (pread(disk, &byte, 1, at) != 1)
		err(1, "read");
	byte ^= 1 << bit;
	if (pwrite(disk, &byte, 1, at) != 1)
		err(1, "write");
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void flip_random(size_t count, unsigned seed)
{
	uint64_t *blocks = NULL;
	size_t n = 0;

	for (size_t i = 0; i < nextents; i++) {
		const struct fiemap_extent *e = &extents[i];

		blocks = reallocarray(blocks, n + e->fe_length / BLOCK, sizeof(*blocks));
		for (uint64_t at = 0; at + BLOCK <= e->fe_length; at += BLOCK)
			blocks[n++] = e->fe_logical + at;
	}
	if (count > n)
		errx(1, "%zu blocks only", n);
	srandom(seed);
	for (size_t i = 0; i < count; i++) {
		size_t j = i + random() % (n - i);
		uint64_t block = blocks[j];

		blocks[j] = blocks[i];
		blocks[i] = block;
		flip(block + random() % BLOCK, random() % 8);
	}
	qsort(blocks, count, sizeof(*blocks), by_value);
	for (size_t i = 0; i < count; i++)
		printf("%lu\n", blocks[i]);
	free(blocks);
}

int main(int argc, char **argv)
{
	int file;

	if (argc < 4)
		errx(2, "usage: flip DISK FILE OFFSET... | -r COUNT SEED | -n OFFSET");
	disk = open(argv[1], O_RDWR);
	file = open(argv[2], O_RDONLY);
	if (disk < 0 || file < 0)
		err(1, "open");
	read_extents(file);
	if (!strcmp(argv[3], "-r") && argc == 6) {
		flip_random(strtoul(argv[4], NULL, 0), strtoul(argv[5], NULL, 0));
	} else if (!strcmp(argv[3], "-n") && argc == 5) {
		printf("%lu\n", place_of(strtoull(argv[4], NULL, 0)));
	} else {
		for (int i = 3; i < argc; i++) {
			uint64_t offset = strtoull(argv[i], NULL, 0);

			flip(offset, 0);
			printf("%lu\n", offset / BLOCK * BLOCK);
		}
	}
	return 0;
}
