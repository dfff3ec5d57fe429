// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * powerloss - what a disk may hold after the power went
 *
 *	powerloss DISK LOG CUT SEED [lying]
 *
 * DISK is as it was when the store began LOG (tests/store); becomes what it may be after the first
 * CUT entries. What stands before the last flush among them is there. Of what came after it each
 * write or discard is there, is not, or is there in some of its sectors of 512 bytes; SEED decides.
 * A disk that is `lying` has flushed nothing. Prints how many entries were at stake.
 */
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../store/log.h"

#define SECTOR 512

static char *disk;
static uint64_t disk_size;
static const char *log_, *log_end;

/* The next entry, and its data; NULL at the end of the log. */
static const struct log_entry *next_entry(const char **at)
{
	const struct log_entry *e = (const void *)*at;

	if (log_end - *at < (ptrdiff_t)sizeof(*e))
		return NULL;
	*at += sizeof(*e) + (e->op == LOG_WRITE ? e->length : 0);
	return *at > log_end ? NULL : e;
}

static void apply(const struct log_entry *e, uint64_t from, uint64_t to)
{
	if (e->offset + to > disk_size)
		errx(1, "an entry beyond the end of the disk");
	if (e->op == LOG_WRITE)
		memcpy(disk + e->offset + from, (const char *)(e + 1) + from, to - from);
	else if (e->op == LOG_ZERO)
		memset(disk + e->offset + from, 0, to - from);
}

static void apply_torn(const struct log_entry *e)
{
	for (uint64_t at = 0; at < e->length; at += SECTOR)
		if (random() & 1)
			apply(e, at, at + SECTOR < e->length ? at + SECTOR : e->length);
}

/* SEED decides, too, how much such disks keep on the whole. */
static void apply_perhaps(const struct log_entry *e, int keep)
{
	int fate = random() % 100;

	if (fate < keep)
		apply(e, 0, e->length);
	else if (fate < keep + (100 - keep) / 3)
		apply_torn(e);
}

static char *map(const char *path, int prot, uint64_t *size)
{
	int fd = open(path, prot & PROT_WRITE ? O_RDWR : O_RDONLY);
	struct stat st;
	char *p;

	if (fd < 0 || fstat(fd, &st))
		err(1, "%s", path);
	*size = st.st_size;
	p = mmap(NULL, st.st_size, prot, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		err(1, "%s", path);
	close(fd);
	return p;
}

int main(int argc, char **argv)
{
	static const int keeps[] = {0, 20, 50, 80, 100};
	unsigned long cut, flushed = 0, n = 0;
	const struct log_entry *e;
	const char *at;
	uint64_t size;
	bool lying = argc == 6 && !strcmp(argv[5], "lying");
	int keep;

	if (argc != 5 && !lying)
		errx(2, "usage: powerloss DISK LOG CUT SEED [lying]");
	disk = map(argv[1], PROT_READ | PROT_WRITE, &disk_size);
	log_ = map(argv[2], PROT_READ, &size);
	log_end = log_ + size;
	cut = strtoul(argv[3], NULL, 0);
	srandom(strtoul(argv[4], NULL, 0));
	keep = keeps[random() % 5];

	at = log_;
	while (!lying && n < cut && (e = next_entry(&at)))
		if (++n, e->op == LOG_FLUSH)
			flushed = n;
	at = log_;
	for (n = 0; n < cut && (e = next_entry(&at)); n++) {
		if (n < flushed)
			apply(e, 0, e->length);
		else
			apply_perhaps(e, keep);
	}
	printf("%lu\n", n - flushed);
	return 0;
}
