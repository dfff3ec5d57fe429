// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pages - which pages of a file cannot be read, or are not what they should be
 *
 *	pages METHOD FILE REFERENCE
 *
 * compares FILE with REFERENCE, a good copy, page by page. METHOD is how FILE is read:
 *
 *	read		read(2) of 128 KiB each, through the page cache if there is one
 *	direct		the same with O_DIRECT
 *	mmap		a shared mapping
 *	populate	a shared mapping, after MADV_POPULATE_READ of all of it
 *
 * Where 128 KiB fail, they are read again page by page. One line for each page that is not right,
 * with its number and EIO, SIGBUS, `wrong` (other data) or `end` (the file ends early there). What
 * populate itself says comes first: `populate 0` or `populate EFAULT`.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096
#define CHUNK (128 << 10)

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

static const char *reference;
static off_t size; /* of the reference */

static void report(off_t off, const char *what)
{
	printf("%ld %s\n", (long)(off / PAGE), what);
}

static void compare(const char *data, off_t off, off_t len)
{
	for (off_t i = 0; i < len; i += PAGE) {
		size_t n = len - i < PAGE ? len - i : PAGE;

		if (memcmp(data + i, reference + off + i, n))
			report(off + i, "wrong");
	}
}

static void read_page(int fd, char *buf, off_t off)
{
	off_t want = size - off < PAGE ? size - off : PAGE;
	ssize_t n = pread(fd, buf, PAGE, off);

	if (n < 0)
		report(off, strerrorname_np(errno));
	else if (n != want)
		report(off, "end");
	else
		compare(buf, off, n);
}

static void read_all(int fd)
{
	char *buf = aligned_alloc(PAGE, CHUNK);

	for (off_t off = 0; off < size; off += CHUNK) {
		off_t want = size - off < CHUNK ? size - off : CHUNK;
		ssize_t n = pread(fd, buf, CHUNK, off);

		if (n == want)
			compare(buf, off, n);
		else
			for (off_t o = 0; o < want; o += PAGE)
				read_page(fd, buf, off + o);
	}
	free(buf);
}

static sigjmp_buf escape;

static void on_sigbus(int sig)
{
	siglongjmp(escape, sig);
}

static void map_all(int fd, int populate)
{
	const char *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		err(1, "mmap");
	if (populate) {
		int ret = madvise((void *)map, size, MADV_POPULATE_READ);

		printf("populate %s\n", ret ? strerrorname_np(errno) : "0");
	}
	signal(SIGBUS, on_sigbus);
	for (volatile off_t off = 0; off < size; off += PAGE) {
		if (sigsetjmp(escape, 1))
			report(off, "SIGBUS");
		else
			compare(map + off, off, size - off < PAGE ? size - off : PAGE);
	}
}

static void map_reference(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st))
		err(1, "%s", path);
	size = st.st_size;
	reference = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (reference == MAP_FAILED)
		err(1, "%s", path);
	close(fd);
}

int main(int argc, char **argv)
{
	const char *method = argc == 4 ? argv[1] : "";
	int direct = !strcmp(method, "direct"), fd;

	if (argc != 4) {
		fprintf(stderr, "usage: pages read|direct|mmap|populate FILE REFERENCE\n");
		return 2;
	}
	map_reference(argv[3]);
	fd = open(argv[2], O_RDONLY | (direct ? O_DIRECT : 0));
	if (fd < 0)
		err(1, "%s", argv[2]);
	if (direct || !strcmp(method, "read"))
		read_all(fd);
	else
		map_all(fd, !strcmp(method, "populate"));
	return 0;
}
