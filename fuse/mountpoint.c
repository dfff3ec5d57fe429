// SPDX-License-Identifier: GPL-2.0-or-later
#include "mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "policy/facts.h"
#include "policy/field.h"
#include "policy/log.h"
#include "policy/util.h"

#define FS_TYPE "fuse.bouncefs"
#define LEAVE_SECONDS 10
#define POLL_MS 50

static bool is_ours(int fd, const char *path)
{
	_cleanup_free_ char *line = facts_mount_line(fd, path);

	return line && strstr(line, " - " FS_TYPE " ");
}

int source_open(const char *source)
{
	for (int waited = 0;; waited += POLL_MS) {
		_cleanup_close_ int fd = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		bool ours;

		if (fd < 0)
			return -errno;
		ours = is_ours(fd, "");
		if (!ours && flock(fd, LOCK_EX | LOCK_NB) == 0)
			return steal_fd(&fd);
		if (!ours && errno != EWOULDBLOCK)
			return -errno;
		if (waited >= LEAVE_SECONDS * 1000)
			return ours ? -ELOOP : -EBUSY;
		usleep(POLL_MS * 1000);
	}
}

static bool overlap(const struct place *a, const struct place *b)
{
	return a->path && b->path && !strcmp(a->device, b->device) && strcmp(a->path, b->path) &&
	       (path_lies_in(a->path, b->path) || path_lies_in(b->path, a->path));
}

char *source_overlaps(const char *source)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	_cleanup_place_ struct place here;
	size_t size = 0;

	facts_place(source, &here);
	while (f && getline(&line, &size, f) > 0) {
		_cleanup_free_ char *point = NULL, *pool = NULL;
		const char *dash = strstr(line, " - " FS_TYPE " ");
		_cleanup_place_ struct place there = {0};

		if (!dash || sscanf(line, "%*s %*s %*s %*s %ms", &point) != 1 ||
		    sscanf(dash, " - %*s %ms", &pool) != 1)
			continue;
		field_unescape(pool);
		facts_place(pool, &there);
		if (!overlap(&here, &there))
			continue;
		field_unescape(point);
		return strdup(point);
	}
	return NULL;
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
	struct statfs sfs;

	/* No cache answers this. */
	return statfs(mountpoint, &sfs) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

int mountpoint_clear(const char *mountpoint)
{
	int rc = 0;

	while (rc == 0 && is_ours(AT_FDCWD, mountpoint) && mountpoint_is_dead(mountpoint)) {
		log_warn("%s: a mount without a daemon is taken away", mountpoint);
		rc = mountpoint_unmount(mountpoint, true);
	}
	return rc;
}
