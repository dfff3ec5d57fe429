// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hot - blocks that are written again and again must never go back
 *
 *	hot FILE SECONDS
 *
 * Threads write a few blocks of FILE (O_DIRECT), each block by one of them, with a number that goes
 * up by one each time; now and then one syncs. One more thread reads all of them meanwhile: what it
 * finds may not be older than what had been acknowledged before it began to read, nor be torn. Five
 * seconds after the last write all blocks must still hold the last number.
 *
 * Prints `writes N syncs N pause N errors N`: the longest that one call took, in milliseconds.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096
#define BLOCKS 32
#define THREADS 8
#define WORDS (BLOCK / sizeof(uint64_t))
#define REST_SECONDS 5

static int fd;
static time_t end;
static _Atomic uint64_t begun[BLOCKS], acknowledged[BLOCKS];
static atomic_long writes, syncs, errors, pause_ms;

static void complain(const char *what, int block, uint64_t found, uint64_t expected)
{
	errors++;
	fprintf(stderr, "block %d: %s %lu, expected %lu\n", block, what, found, expected);
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void note_pause(long since)
{
	long ms = now_ms() - since, longest = pause_ms;

	while (ms > longest && !atomic_compare_exchange_weak(&pause_ms, &longest, ms))
		;
}

static void write_block(uint64_t *buf, int block)
{
	uint64_t number = begun[block] + 1;
	long start = now_ms();

	for (size_t i = 0; i < WORDS; i++)
		buf[i] = number << 8; /* the data begin with a 0, which no rule of a store means */
	begun[block] = number;
	if (pwrite(fd, buf, BLOCK, (off_t)block * BLOCK) == BLOCK)
		acknowledged[block] = number;
	else
		complain(strerror(errno), block, 0, number);
	note_pause(start);
	writes++;
}

static void sync_all(void)
{
	long start = now_ms();

	if (fdatasync(fd)) {
		errors++;
		warn("fdatasync");
	}
	note_pause(start);
	syncs++;
}

static void *writer(void *arg)
{
	uint64_t *buf = aligned_alloc(BLOCK, BLOCK);
	unsigned seed = (uintptr_t)arg;

	while (time(NULL) < end) {
		write_block(buf, (uintptr_t)arg + THREADS * (rand_r(&seed) % (BLOCKS / THREADS)));
		if (rand_r(&seed) % 16 == 0)
			sync_all();
	}
	free(buf);
	return NULL;
}

static void check_block(uint64_t *buf, int block)
{
	uint64_t oldest = acknowledged[block];

	if (pread(fd, buf, BLOCK, (off_t)block * BLOCK) != BLOCK) {
		complain(strerror(errno), block, 0, oldest);
		return;
	}
	for (size_t i = 1; i < WORDS; i++)
		if (buf[i] != buf[0]) {
			complain("torn", block, buf[i], buf[0]);
			return;
		}
	if (buf[0] >> 8 < oldest || buf[0] >> 8 > begun[block])
		complain("holds", block, buf[0] >> 8, oldest);
}

static void *reader(void *unused)
{
	uint64_t *buf = aligned_alloc(BLOCK, BLOCK);

	while (time(NULL) < end)
		for (int block = 0; block < BLOCKS; block++)
			check_block(buf, block);
	free(buf);
	return unused;
}

int main(int argc, char **argv)
{
	uint64_t *buf = aligned_alloc(BLOCK, BLOCK);
	pthread_t threads[THREADS + 1];

	if (argc != 3) {
		fprintf(stderr, "usage: hot FILE SECONDS\n");
		return 2;
	}
	fd = open(argv[1], O_RDWR | O_DIRECT);
	if (fd < 0)
		err(1, "%s", argv[1]);
	for (int block = 0; block < BLOCKS; block++)
		write_block(buf, block);
	pause_ms = 0;
	end = time(NULL) + atoi(argv[2]);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, writer, (void *)i);
	pthread_create(&threads[THREADS], NULL, reader, NULL);
	for (int i = 0; i <= THREADS; i++)
		pthread_join(threads[i], NULL);
	sync_all();
	sleep(REST_SECONDS);
	for (int block = 0; block < BLOCKS; block++)
		check_block(buf, block);
	printf("writes %ld syncs %ld pause %ld errors %ld\n", writes, syncs, pause_ms, errors);
	return errors != 0;
}
