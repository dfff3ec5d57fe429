// SPDX-License-Identifier: GPL-2.0-or-later
#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "ctl.h"
#include "util.h"

char *loop_sysfs(const char *device, const char *attribute)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_fclose_ FILE *f = NULL;
	char *value = NULL;

	if (asprintf(&path, "/sys/block/%s/%s", device + strlen("/dev/"), attribute) < 0) {
		path = NULL;
		return NULL;
	}
	f = fopen(path, "re");
	if (!f || fscanf(f, "%m[^\n]", &value) != 1)
		return NULL;
	return value;
}

bool loop_file(const char *device, struct stat *st)
{
	_cleanup_close_ int fd = open(device, O_RDONLY | O_CLOEXEC);
	struct loop_info64 info;

	if (fd < 0 || ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
		return false;
	*st = (struct stat){.st_dev = info.lo_device, .st_ino = info.lo_inode};
	return true;
}

/* The path that sysfs shows may have been renamed or cut. */
static bool is_over(const char *device, const struct stat *st)
{
	struct stat file;

	return loop_file(device, &file) && file.st_ino == st->st_ino && file.st_dev == st->st_dev;
}

char *loop_over(const char *path)
{
	char device[5 + sizeof(((struct dirent *)0)->d_name)], *found = NULL;
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	dir = stat(path, &st) ? NULL : opendir("/sys/block");
	while (dir && !found && (entry = readdir(dir))) {
		_cleanup_free_ char *backing = NULL;

		if (strncmp(entry->d_name, "loop", 4))
			continue;
		snprintf(device, sizeof(device), "/dev/%s", entry->d_name);
		backing = loop_sysfs(device, "loop/backing_file"); /* unbound ones have none */
		if (backing && is_over(device, &st))
			found = strdup(device);
	}
	if (dir)
		closedir(dir);
	return found;
}
