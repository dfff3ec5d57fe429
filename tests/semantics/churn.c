// SPDX-License-Identifier: GPL-2.0-or-later
/* Several processes change the same few names at once: no odd error, and no stale view after. */
#include "compare.h"

#include <dirent.h>
#include <sys/wait.h>

#define PROCESSES 4
#define ROUNDS 1500

static const char *const names[] = {"a", "b", "c.img", "d", "d/a", "d/b.img", "e", "e/d", "e/d/a"};

/* One random operation; returns its errno. */
static int change(unsigned int *seed)
{
	const char *one = names[rand_r(seed) % ARRAY_SIZE(names)];
	const char *other = names[rand_r(seed) % ARRAY_SIZE(names)];
	struct stat st;
	int fd, result;

	switch (rand_r(seed) % 9) {
	case 0:
	case 1:
		fd = open(one, O_RDWR | O_CREAT, 0644);
		if (fd < 0)
			return errno;
		result = write(fd, "some data", 9) == 9 && fstat(fd, &st) == 0 ? 0 : errno;
		close(fd);
		return result;
	case 2:
		return mkdir(one, 0755) < 0 ? errno : 0;
	case 3:
		return rename(one, other) < 0 ? errno : 0;
	case 4:
		return renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) < 0 ? errno : 0;
	case 5:
		return link(one, other) < 0 ? errno : 0;
	case 6:
		return unlink(one) < 0 ? errno : 0;
	case 7:
		return rmdir(one) < 0 ? errno : 0;
	default:
		return lstat(one, &st) < 0 ? errno : 0;
	}
}

static bool expected(int error)
{
	static const int errors[] = {0,	     ENOENT,	EEXIST, EISDIR, ENOTDIR,
				     EINVAL, ENOTEMPTY, EPERM,	ELOOP};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (error == errors[i])
			return true;
	return false;
}

static void churn(unsigned int seed)
{
	for (int i = 0; i < ROUNDS; i++) {
		int error = change(&seed);

		if (!expected(error)) {
			note("unexpected: %s", strerrorname_np(error));
			exit(1);
		}
	}
}

/* A name as it is seen here and below. */
static bool as_below(const char *name)
{
	struct stat here, there;
	int missing = fstatat(AT_FDCWD, name, &here, AT_SYMLINK_NOFOLLOW);

	if (fstatat(below, name, &there, AT_SYMLINK_NOFOLLOW) != missing)
		return false;
	return missing || (here.st_ino == there.st_ino && here.st_nlink == there.st_nlink &&
			   here.st_size == there.st_size && here.st_mode == there.st_mode);
}

BEHAVIOUR(processes_change_the_same_names)
{
	int status;

	for (int i = 0; i < PROCESSES; i++) {
		if (MUST(fork()) == 0) {
			churn(i);
			exit(0);
		}
	}
	for (int i = 0; i < PROCESSES; i++) {
		MUST(wait(&status));
		EXPECT(status == 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		EXPECT(as_below(names[i]));
	/* which names are left is chance */
	MUST(system("rm -rf -- *"));
}
