// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * racer - direct writes from a buffer that another thread never stops changing
 *
 *	racer FILE MIB PASSES
 *
 * Every 8-byte word of the buffer holds the same number; the other thread walks over it again and
 * again, storing the next one. A block that mixes numbers is therefore legitimate; two copies of
 *one block that differ, or a checksum that does not match its block, are not.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SIZE (64 << 10)

static volatile uint64_t *buf;
static atomic_bool stop;

static void *changer(void *unused)
{
	for (uint64_t v = 1; !stop; v++)
		for (size_t i = 0; i < SIZE / sizeof(*buf); i++)
			buf[i] = v;
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t t;
	off_t size;
	int fd;

	if (argc != 4) {
		fprintf(stderr, "usage: racer FILE MIB PASSES\n");
		return 2;
	}
	fd = open(argv[1], O_WRONLY | O_DIRECT);
	if (fd < 0)
		err(1, "%s", argv[1]);
	size = atol(argv[2]) << 20;
	buf = aligned_alloc(4096, SIZE);
	pthread_create(&t, NULL, changer, NULL);
	for (int pass = atoi(argv[3]); pass > 0; pass--)
		for (off_t off = 0; off < size; off += SIZE)
			if (pwrite(fd, (void *)buf, SIZE, off) != SIZE)
				err(1, "write at %ld", (long)off);
	if (fsync(fd))
		err(1, "fsync");
	stop = true;
	pthread_join(t, NULL);
	return 0;
}
