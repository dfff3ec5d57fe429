// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * held - is a write that the caller still changes stored as it was submitted?
 *
 *	held FILE PID WAITING
 *
 * PID is a store (tests/store) below FILE, WAITING the number of requests that the kernel has
 *waiting for it (/sys/fs/fuse/connections/N/waiting). The store is stopped, one 64 KiB O_DIRECT
 *write of "o"s goes to FILE, and once it has come as far as the store (or is complete) the buffer
 *becomes "n"s and the store goes on: whoever passed the caller's pages down stores the change with
 *them.
 *
 * Prints two words: `pending` or `complete`, the write's state when the buffer changed; `old`,
 *`new` or `mixed`, what is stored.
 */
#include <err.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE (64 << 10)
#define PATIENCE_MS 10000

static int fd;
static char *buf;
static atomic_bool complete;

static void *writer(void *unused)
{
	if (pwrite(fd, buf, SIZE, 0) != SIZE)
		err(1, "write");
	complete = true;
	return unused;
}

static long number_in(const char *path)
{
	char text[32] = "";
	int f = open(path, O_RDONLY);

	if (f < 0 || read(f, text, sizeof(text) - 1) <= 0)
		err(1, "%s", path);
	close(f);
	return atol(text);
}

static bool is_stopped(const char *task)
{
	char text[256] = "";
	int f = open(task, O_RDONLY);

	if (f < 0 || read(f, text, sizeof(text) - 1) <= 0)
		err(1, "%s", task);
	close(f);
	return !strncmp(strrchr(text, ')'), ") T", 3);
}

/* kill() does not wait until the last thread has come to a stop. */
static void stop(pid_t pid)
{
	char pattern[64];
	glob_t tasks;

	if (kill(pid, SIGSTOP))
		err(1, "kill %d", pid);
	snprintf(pattern, sizeof(pattern), "/proc/%d/task/*/stat", pid);
	if (glob(pattern, 0, NULL, &tasks))
		errx(1, "no tasks in %s", pattern);
	for (size_t i = 0; i < tasks.gl_pathc; i++)
		while (!is_stopped(tasks.gl_pathv[i]))
			usleep(1000);
	globfree(&tasks);
}

static const char *stored(void)
{
	bool old = false, new = false;

	if (pread(fd, buf, SIZE, 0) != SIZE)
		err(1, "read");
	for (int i = 0; i < SIZE; i++) {
		old |= buf[i] == 'o';
		new |= buf[i] == 'n';
	}
	return old && new ? "mixed" : new ? "new" : "old";
}

int main(int argc, char **argv)
{
	bool pending;
	pthread_t t;
	pid_t store;

	if (argc != 4) {
		fprintf(stderr, "usage: held FILE PID WAITING\n");
		return 2;
	}
	store = atoi(argv[2]);
	fd = open(argv[1], O_RDWR | O_DIRECT);
	if (fd < 0)
		err(1, "%s", argv[1]);
	buf = aligned_alloc(4096, SIZE);
	memset(buf, 'o', SIZE);
	if (number_in(argv[3]))
		errx(1, "the store is busy before the test");
	stop(store);

	pthread_create(&t, NULL, writer, NULL);
	for (int ms = 0; ms < PATIENCE_MS && !complete && !number_in(argv[3]); ms++)
		usleep(1000);
	usleep(100 * 1000); /* the rest of the write, if it is several requests */
	pending = !complete;
	memset(buf, 'n', SIZE);
	kill(store, SIGCONT);

	pthread_join(t, NULL);
	if (fsync(fd))
		err(1, "fsync");
	printf("%s %s\n", pending ? "pending" : "complete", stored());
	return 0;
}
