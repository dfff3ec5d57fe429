/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file that holds the checksums of another one: format and access. bouncefs-checksums(5)
 * documents it byte by byte. Every page carries its own checksum; header and maps exist twice and
 * are written in turn, so that a torn write leaves the older one.
 *
 *   header, header, { map, map, 8128 sum pages }, { map, map, 8128 sum pages }, ...
 *
 * A sum page covers a region: 496 blocks. A map has four bits for each of a group's regions. A sum
 * page that was never written is a hole: its region has no sums.
 *
 * Functions return -errno; for threads that may sleep, one at a time a sidecar.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define SIDECAR_PAGE 4096u
#define SIDECAR_VERSION 1
#define SIDECAR_NAME_MAX 256

#define REGION_BLOCKS 496u
#define REGION_BYTES (REGION_BLOCKS * SIDECAR_PAGE)
#define GROUP_REGIONS 8128u

/* Of the largest file that has sums. */
#define GROUPS_MAX 4352u
#define REGIONS_MAX (GROUPS_MAX * (uint64_t)GROUP_REGIONS)

struct sum_page {
	uint64_t check;	     /* of all that follows */
	uint64_t head_check; /* of what follows before the sums: a sector is never torn */
	uint64_t id, region;
	uint64_t bad[8]; /* a bit a block: known to differ from its sum */
	uint64_t spare[4];
	uint64_t sums[REGION_BLOCKS]; /* 0: the block reads as zeroes */
};
_Static_assert(sizeof(struct sum_page) == SIDECAR_PAGE, "a sum page is a page");

struct sum_map {
	uint64_t check;
	uint64_t sequence; /* of two valid ones the higher counts */
	uint64_t id, group;
	uint8_t regions[GROUP_REGIONS /
			2]; /* enum region_state, perhaps REGION_BAD; low half first */
};
_Static_assert(sizeof(struct sum_map) == SIDECAR_PAGE, "a map is a page");

enum region_state {
	REGION_CLEAN, /* sums and data are on the device, and are right */
	REGION_DIRTY, /* after a crash of the machine its sums may be older or newer than the data
		       */
	REGION_UNHASHED, /* its sums mean nothing */
	REGION_DOUBT,	 /* an fsync failed: data that differ from the sums are lost, not newer */
};
#define REGION_BAD 4u /* some of its blocks are listed as bad */

struct sidecar_header {
	uint64_t check, sequence;
	char magic[8];
	uint32_t version, block;
	uint64_t id;	  /* of this sidecar, in all of its pages */
	uint64_t session; /* 0: closed cleanly, or of who has (had) it open */
	uint64_t groups;
	int64_t size, mtime; /* of the file when it was closed cleanly */
	uint32_t mtime_nsec;
	uint32_t rebuild; /* not 0: it could not be kept up to date, all sums mean nothing */
	char name[SIDECAR_NAME_MAX]; /* of the sidecar */
	char path[3760]; /* where in the pool the file was, for the case that it moves */
};
_Static_assert(sizeof(struct sidecar_header) == SIDECAR_PAGE, "a header is a page");

struct sidecar {
	int fd;
	bool readonly;
	struct sidecar_header header; /* as it is on disk, or is to be written */
	uint64_t *map_sequence;	      /* by group; the user's memory, zero at first */
};

/* What it has room for: may grow while others look. */
static inline uint64_t sidecar_regions(const struct sidecar *sidecar)
{
	return __atomic_load_n(&sidecar->header.groups, __ATOMIC_RELAXED) * GROUP_REGIONS;
}

/* The name of the sidecar of the file that is open (O_PATH will do) as FD. -EOPNOTSUPP: it is on
 * another filesystem than ROOT_FD, or that has no handles. */
int sidecar_name(int root_fd, int fd, char name[SIDECAR_NAME_MAX]);

/* The file whose sidecar is called NAME, as an O_PATH descriptor. -ESTALE: there is none any more;
 * -EINVAL: no sidecar is called so. -errno. */
int sidecar_find_file(int root_fd, const char *name);

/* Opens NAME in DIR. -ENOENT; -EPROTONOSUPPORT: of a version that we do not know; -EBADMSG:
 * damaged. After an error, here and in the next, the descriptor is -1. */
int sidecar_open(int dir, const char *name, struct sidecar *sidecar);

/* A new one for a file that needs GROUPS, without a name until sidecar_publish(). */
int sidecar_create(int dir, const char *name, uint64_t groups, struct sidecar *sidecar);
int sidecar_publish(int dir, const char *name, struct sidecar *sidecar);

/* Gone for good when it returns. -ENOENT is no error. */
int sidecar_remove(int dir, const char *name);

/* Room for GROUPS (it never shrinks), and nothing behind it; the maps of new ones are allocated.
 * The header is to be written. */
int sidecar_grow(struct sidecar *sidecar, uint64_t groups);

/* Not durable before fdatasync(2). */
int sidecar_write_header(struct sidecar *sidecar);
int sidecar_write_map(struct sidecar *sidecar, uint64_t group, struct sum_map *map);
int sidecar_write_sums(struct sidecar *sidecar, uint64_t region, struct sum_page *page);

/* -EBADMSG: none of the two is good. */
int sidecar_read_map(struct sidecar *sidecar, uint64_t group, struct sum_map *map);

/* -EBADMSG: damaged. -errno. After an error PAGE has no sums, and its list of bad blocks only if
 * that could be read. */
int sidecar_read_sums(const struct sidecar *sidecar, uint64_t region, struct sum_page *page);

/* The first region from REGION on that may have a sum page; -ENXIO. */
int64_t sidecar_next(const struct sidecar *sidecar, uint64_t region);

/* The sum pages of regions FIRST to END (not included) become holes. */
int sidecar_punch(const struct sidecar *sidecar, uint64_t first, uint64_t end);
