// SPDX-License-Identifier: GPL-2.0-or-later
#include "mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "policy/util.h"

#define FS_TYPE "fuse.bouncefs"
#define LEAVE_SECONDS 10
#define POLL_MS 50

/* Whether the mount that FD lies on has our type. */
static bool is_ours(int fd)
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	struct statfs sfs;
	struct statx stx;
	size_t size = 0;

	if (fstatfs(fd, &sfs) < 0 || sfs.f_type != FUSE_SUPER_MAGIC ||
	    statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0)
		return false;
	f = fopen("/proc/self/mountinfo", "re");
	while (f && getline(&line, &size, f) > 0)
		if (strtoull(line, NULL, 10) == stx.stx_mnt_id)
			return strstr(line, " - " FS_TYPE " ");
	return false;
}

int source_open(const char *source)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000};

	for (int waited = 0;; waited += POLL_MS) {
		_cleanup_close_ int fd = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		bool ours;

		if (fd < 0)
			return -errno;
		ours = is_ours(fd);
		if (!ours && flock(fd, LOCK_EX | LOCK_NB) == 0)
			return steal_fd(&fd);
		if (!ours && errno != EWOULDBLOCK)
			return -errno;
		if (waited >= LEAVE_SECONDS * 1000)
			return ours ? -ELOOP : -EBUSY;
		nanosleep(&pause, NULL);
	}
}

int mountpoint_mount(const char *source, const char *mountpoint, unsigned long flags, int device_fd)
{
	char data[160];

	snprintf(data, sizeof(data),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
		 device_fd);
	return mount(source, mountpoint, FS_TYPE, flags, data) < 0 ? -errno : 0;
}

int mountpoint_remount(const char *mountpoint, unsigned long flags)
{
	return mount("none", mountpoint, NULL, MS_REMOUNT | flags, NULL) < 0 ? -errno : 0;
}

int mountpoint_unmount(const char *mountpoint, int lazy)
{
	return umount2(mountpoint, (lazy ? MNT_DETACH : 0) | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}

int mountpoint_abort(const char *mountpoint)
{
	return umount2(mountpoint, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}

bool mountpoint_is_dead(const char *mountpoint)
{
	struct stat st;

	return stat(mountpoint, &st) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}
