// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * once - one direct read or write, and exactly what it returned
 *
 *	once read|write FILE OFFSET LENGTH
 *
 * A write is of "a"s. Prints the number of bytes or the name of the error.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	bool write = argc == 5 && !strcmp(argv[1], "write");
	size_t length;
	off_t offset;
	ssize_t n;
	char *buf;
	int fd;

	if (argc != 5) {
		fprintf(stderr, "usage: once read|write FILE OFFSET LENGTH\n");
		return 2;
	}
	offset = atoll(argv[3]);
	length = atoll(argv[4]);
	fd = open(argv[2], O_RDWR | O_DIRECT);
	buf = aligned_alloc(4096, length);
	if (fd < 0 || !buf)
		err(1, "%s", argv[2]);
	memset(buf, 'a', length);
	n = write ? pwrite(fd, buf, length, offset) : pread(fd, buf, length, offset);
	if (n < 0)
		puts(strerrorname_np(errno));
	else
		printf("%zd\n", n);
	return 0;
}
