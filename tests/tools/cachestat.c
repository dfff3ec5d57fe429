// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cachestat - bytes of a file that are dirty or under writeback
 *
 *	cachestat FILE
 *
 * cachestat(2) is Linux 6.5: exit status 77 without it.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYS_CACHESTAT 451

int main(int argc, char **argv)
{
	struct {
		uint64_t offset, length;
	} all = {0};
	struct {
		uint64_t cached, dirty, writeback, evicted, recently_evicted;
	} pages;
	int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;

	if (fd < 0)
		err(1, "cachestat FILE");
	if (syscall(SYS_CACHESTAT, fd, &all, &pages, 0) < 0)
		err(errno == ENOSYS ? 77 : 1, "cachestat");
	printf("%llu\n", (unsigned long long)(pages.dirty + pages.writeback) * getpagesize());
	return 0;
}
