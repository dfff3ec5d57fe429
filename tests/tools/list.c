// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * list - reads a directory slowly, again and again
 *
 *	list DIRECTORY NAMES SECONDS
 *
 * The directory holds the names 0 to NAMES - 1: none may be missing, and none may come twice.
 * Prints how often it was read.
 */
#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void list(const char *path, int names, char *seen)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int n = 0;

	if (!dir)
		err(1, "%s", path);
	memset(seen, 0, names);
	while ((e = readdir(dir))) {
		int i = atoi(e->d_name);

		if (e->d_name[0] == '.')
			continue;
		if (i < 0 || i >= names || seen[i]++)
			errx(1, "%s comes twice, or never was there", e->d_name);
		if (++n % 100 == 0)
			usleep(1000);
	}
	if (n != names)
		errx(1, "%d names are missing", names - n);
	closedir(dir);
}

int main(int argc, char **argv)
{
	time_t end = time(NULL);
	int times = 0, names;
	char *seen;

	if (argc != 4) {
		fprintf(stderr, "usage: list DIRECTORY NAMES SECONDS\n");
		return 2;
	}
	names = atoi(argv[2]);
	seen = malloc(names);
	for (end += atoi(argv[3]); time(NULL) < end; times++)
		list(argv[1], names, seen);
	printf("%d\n", times);
	return 0;
}
