// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * race - a writer that changes its buffer while direct writes are on their way
 *
 *	race held PATH
 *	race write PATH MIB
 *	race read PATH MIB
 *
 * held: one 64 KiB write of 'o'; 0.3 s later, while it waits for a device that is slow enough, the
 * buffer becomes 'n'. Prints what is stored: old, new or mixed; or early: it did not wait.
 *
 * write: fills the first MIB mebibytes while a second thread changes the buffer all the time.
 * read: reads them again and prints how many 4 KiB blocks fail with EIO.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE (64 << 10)
#define BLOCK 4096

static int fd;
static volatile char *buf;
static atomic_bool done;

static void write_buffer(off_t offset)
{
	if (pwrite(fd, (char *)buf, SIZE, offset) != SIZE)
		err(1, "write");
}

static void drop_caches(void)
{
	int f = open("/proc/sys/vm/drop_caches", O_WRONLY);

	if (f < 0 || write(f, "3", 1) != 1)
		err(1, "drop_caches");
	close(f);
}

/* ===== held ===== */

static void *held_writer(void *unused)
{
	write_buffer(0);
	done = true;
	return unused;
}

static int held(void)
{
	bool old = false, new = false;
	pthread_t writer;

	memset((char *)buf, 'o', SIZE);
	if (pthread_create(&writer, NULL, held_writer, NULL))
		errx(1, "no thread");
	usleep(300000);
	if (done) {
		puts("early");
		return 0;
	}
	memset((char *)buf, 'n', SIZE);
	pthread_join(writer, NULL);
	if (fsync(fd))
		err(1, "fsync");
	drop_caches();
	if (pread(fd, (char *)buf, SIZE, 0) != SIZE)
		err(1, "read");
	for (int i = 0; i < SIZE; i++) {
		old |= buf[i] == 'o';
		new |= buf[i] == 'n';
	}
	puts(old && new ? "mixed" : new ? "new" : "old");
	return 0;
}

/* ===== write, read ===== */

static void *changer(void *unused)
{
	for (char value = 0; !done; value++)
		for (int i = 0; i < SIZE; i++)
			buf[i] = value;
	return unused;
}

static int race_write(off_t size)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, changer, NULL))
		errx(1, "no thread");
	for (off_t offset = 0; offset < size; offset += SIZE)
		write_buffer(offset);
	done = true;
	pthread_join(thread, NULL);
	if (fsync(fd))
		err(1, "fsync");
	return 0;
}

static int race_read(off_t size)
{
	unsigned lost = 0;

	drop_caches();
	for (off_t offset = 0; offset < size; offset += BLOCK) {
		ssize_t n = pread(fd, (char *)buf, BLOCK, offset);

		if (n < 0 && errno == EIO)
			lost++;
		else if (n != BLOCK)
			err(1, "read at %lld", (long long)offset);
	}
	printf("%u\n", lost);
	return 0;
}

int main(int argc, char **argv)
{
	const char *command = argc >= 3 ? argv[1] : "";
	off_t size = argc == 4 ? atoll(argv[3]) << 20 : 0;

	buf = aligned_alloc(BLOCK, SIZE);
	fd = argc >= 3 ? open(argv[2], O_RDWR | O_DIRECT) : -1;
	if (argc >= 3 && fd < 0)
		err(1, "%s", argv[2]);
	if (argc == 3 && !strcmp(command, "held"))
		return held();
	if (size && !strcmp(command, "write"))
		return race_write(size);
	if (size && !strcmp(command, "read"))
		return race_read(size);
	fprintf(stderr, "usage: race held PATH | race write PATH MIB | race read PATH MIB\n");
	return 2;
}
