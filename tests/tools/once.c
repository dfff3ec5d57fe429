// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * once - one call on a file, and exactly what it returned
 *
 *	once read|write|fallocate FILE OFFSET LENGTH	direct I/O; a write is of "a"s
 *	once truncate FILE LENGTH			through its descriptor
 *	once fsync|open|stat|unlink|mkdir|chmod|setxattr FILE
 *	once rename|link|symlink FILE NEW
 *
 * Prints the number of bytes, or 0, or the name of the error.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static int file_open(const char *path)
{
	int fd = open(path, O_RDWR | O_DIRECT);

	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

static char *buffer(size_t length)
{
	char *buf = aligned_alloc(4096, length);

	if (!buf)
		err(1, "%zu bytes", length);
	return memset(buf, 'a', length);
}

static ssize_t once(const char *call, const char *path, const char *a, const char *b)
{
	if (!strcmp(call, "open"))
		return open(path, O_RDWR) < 0 ? -1 : 0;
	if (!strcmp(call, "stat"))
		return stat(path, &(struct stat){0});
	if (!strcmp(call, "unlink"))
		return unlink(path);
	if (!strcmp(call, "mkdir"))
		return mkdir(path, 0700);
	if (!strcmp(call, "chmod"))
		return chmod(path, 0640);
	if (!strcmp(call, "setxattr"))
		return setxattr(path, "user.once", "", 0, 0);
	if (!strcmp(call, "fsync"))
		return fsync(file_open(path));
	if (a && !strcmp(call, "truncate"))
		return ftruncate(file_open(path), atoll(a));
	if (a && !strcmp(call, "rename"))
		return rename(path, a);
	if (a && !strcmp(call, "link"))
		return link(path, a);
	if (a && !strcmp(call, "symlink"))
		return symlink(path, a);
	if (b && !strcmp(call, "read"))
		return pread(file_open(path), buffer(atoll(b)), atoll(b), atoll(a));
	if (b && !strcmp(call, "write"))
		return pwrite(file_open(path), buffer(atoll(b)), atoll(b), atoll(a));
	if (b && !strcmp(call, "fallocate"))
		return fallocate(file_open(path), 0, atoll(a), atoll(b));
	errx(2, "usage: once CALL FILE [...]");
}

int main(int argc, char **argv)
{
	ssize_t n;

	if (argc < 3)
		errx(2, "usage: once CALL FILE [...]");
	n = once(argv[1], argv[2], argv[3], argc > 4 ? argv[4] : NULL);
	if (n < 0)
		puts(strerrorname_np(errno));
	else
		printf("%zd\n", n);
	return 0;
}
