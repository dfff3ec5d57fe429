// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sidecar-version - a sidecar of another version, as bouncefs-checksums(5) has it
 *
 *	sidecar-version FILE VERSION
 */
#include <endian.h>
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define PAGE 4096

int main(int argc, char **argv)
{
	uint32_t version = argc == 3 ? htole32(strtoul(argv[2], NULL, 10)) : 0;
	int fd = argc == 3 ? open(argv[1], O_RDWR) : -1;
	char page[PAGE];
	uint64_t check;

	if (fd < 0)
		err(2, "usage: sidecar-version FILE VERSION");
	for (int i = 0; i < 2; i++) {
		if (pread(fd, page, PAGE, i * PAGE) != PAGE)
			err(1, "read");
		memcpy(page + 24, &version, sizeof(version));
		check = htole64(XXH3_64bits(page + 8, PAGE - 8));
		memcpy(page, &check, sizeof(check));
		if (pwrite(fd, page, PAGE, i * PAGE) != PAGE)
			err(1, "write");
	}
	return 0;
}
