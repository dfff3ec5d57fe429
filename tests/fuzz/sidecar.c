// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A checksum store's file, as a broken disk or a malicious owner of one may leave it. The input is
 * a series of patches (struct patch, then its bytes) to a good one, each perhaps with a checksum
 * that is right for what was made of the page.
 */
#include <sched.h>
#include <sys/mount.h>

#include "cache/sidecar.c"
#include "fuzz.h"

#define GROUPS 2u
#define PAGES 8u /* that the patches are about */
#define NAME "00000001-00"

struct patch {
	uint8_t page;
	uint8_t right; /* its checksum */
	uint16_t offset;
	uint8_t length;
};

static int dir = -1, file;
static char good[PAGES][SIDECAR_PAGE];

/* Headers, maps and sums of the first group, a map and sums of the second. */
static uint64_t place_of(unsigned page)
{
	static const uint64_t places[PAGES] = {0, 1, 2, 3, 4, 5, 2 + GROUP_PAGES, 4 + GROUP_PAGES};

	return places[page] * SIDECAR_PAGE;
}

static void make_good(void)
{
	uint64_t sequences[GROUPS] = {0};
	struct sidecar s = {.map_sequence = sequences};
	struct sum_page page = {.bad = {1}, .sums = {1, 2, 3}};
	struct sum_map map = {.regions = {REGION_DIRTY | REGION_BAD, REGION_UNHASHED << 4}};

	expect(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	expect(mount("fuzz", "/mnt", "tmpfs", MS_NODEV | MS_NOSUID, "size=64m") == 0);
	dir = open("/mnt", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	expect(sidecar_create(dir, NAME, GROUPS, &s) == 0);
	strcpy(s.header.path, "appvms/work/private.img");
	expect(sidecar_write_map(&s, 0, &map) == 0 && sidecar_write_map(&s, 1, &map) == 0);
	for (unsigned i = 0; i < 2; i++) {
		expect(sidecar_write_sums(&s, i, &page) == 0);
		expect(sidecar_write_sums(&s, GROUP_REGIONS, &page) == 0);
	}
	expect(sidecar_write_header(&s) == 0 && sidecar_publish(dir, NAME, &s) == 0);
	file = s.fd;
	for (unsigned i = 0; i < PAGES; i++)
		expect(pread(file, good[i], SIDECAR_PAGE, place_of(i)) == SIDECAR_PAGE);
}

static void restore(void)
{
	expect(ftruncate(file, group_place(GROUPS)) == 0);
	for (unsigned i = 0; i < PAGES; i++)
		expect(pwrite(file, good[i], SIDECAR_PAGE, place_of(i)) == SIDECAR_PAGE);
}

static void apply(const uint8_t *data, size_t size)
{
	struct patch p;

	while (size > sizeof(p)) {
		char page[SIDECAR_PAGE] __attribute__((aligned(8)));
		uint64_t place, check;
		size_t length;

		memcpy(&p, data, sizeof(p));
		data += sizeof(p);
		size -= sizeof(p);
		place = place_of(p.page % PAGES);
		length = MIN(MIN(p.length, size), SIDECAR_PAGE - p.offset % SIDECAR_PAGE);
		expect(pread(file, page, SIDECAR_PAGE, place) == SIDECAR_PAGE);
		memcpy(page + p.offset % SIDECAR_PAGE, data, length);
		data += length;
		size -= length;
		check = check_of(page, 8, SIDECAR_PAGE);
		if (p.right & 1)
			memcpy(page, &check, sizeof(check));
		expect(pwrite(file, page, SIDECAR_PAGE, place) == SIDECAR_PAGE);
	}
}

/* All that is read is either what was asked for or an error. */
static void read_all(struct sidecar *s)
{
	struct sum_map map;
	struct sum_page page;
	int64_t region = 0;

	for (uint64_t g = 0; g < s->header.groups; g++)
		if (sidecar_read_map(s, g, &map) == 0)
			expect(map.id == s->header.id && map.group == g);
	for (unsigned i = 0; i < 8 && (region = sidecar_next(s, region)) >= 0; i++, region++)
		if (sidecar_read_sums(s, region, &page) == 0)
			expect(!page.id ||
			       (page.id == s->header.id && page.region == (uint64_t)region));
}

/* What is written is what is read again; or, where the numbers end, it is refused: never is the
 * older one believed. */
static bool is_read(int rc, uint64_t sequence)
{
	expect(rc == 0 || (rc == -EBADMSG && sequence > SEQUENCE_MAX));
	return rc == 0;
}

static void write_all(struct sidecar *s)
{
	struct sum_page page = {.sums = {7}}, again;
	struct sum_map map = {.regions = {REGION_DIRTY}};
	struct sidecar reopened;
	uint64_t sequence;

	for (int twin = 0; twin < 2; twin++) /* one of them may have been refused */
		expect(sidecar_write_map(s, 0, &map) == 0);
	sequence = s->map_sequence[0];
	if (is_read(sidecar_read_map(s, 0, &map), sequence))
		expect((map.regions[0] & 3) == REGION_DIRTY);
	expect(sidecar_write_sums(s, 1, &page) == 0 && sidecar_read_sums(s, 1, &again) == 0);
	expect(again.sums[0] == 7);
	expect(sidecar_punch(s, 0, 2) == 0);
	expect(sidecar_write_header(s) == 0);
	if (is_read(sidecar_open(dir, NAME, &reopened), s->header.sequence)) {
		expect(reopened.header.id == s->header.id);
		close(reopened.fd);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t sequences[GROUPS + 1] = {0};
	struct sidecar s = {.map_sequence = sequences};

	if (dir < 0)
		make_good();
	restore();
	apply(data, size);
	if (sidecar_open(dir, NAME, &s) < 0)
		return 0;
	expect(s.header.groups <= GROUPS); /* for more of them the file is too short */
	expect(strnlen(s.header.path, sizeof(s.header.path)) < sizeof(s.header.path));
	expect(strnlen(s.header.name, sizeof(s.header.name)) < sizeof(s.header.name));
	read_all(&s);
	if (s.header.groups)
		write_all(&s);
	close(s.fd);
	return 0;
}
