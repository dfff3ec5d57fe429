// SPDX-License-Identifier: GPL-2.0-or-later
/* Look-ups and attributes. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "file.h"
#include "ops.h"
#include "policy/util.h"

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *mount = mount_of(req);
	_cleanup_close_ int dir = -1;
	struct fuse_entry_param e;
	int rc;

	if (name_is_ours(parent, name)) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	dir = node_open_id(&mount->nodes, parent, O_PATH | O_DIRECTORY);
	rc = dir < 0 ? dir : entry_lookup(mount, dir, name, &e);
	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		reply_entry(req, &e);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	node_forget(&mount_of(req)->nodes, ino, nlookup);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		node_forget(&mount_of(req)->nodes, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static int getattr(struct mount *mount, fuse_ino_t ino, struct stat *st)
{
	_cleanup_close_ int fd = node_open_id(&mount->nodes, ino, O_PATH);

	if (fd < 0)
		return fd;
	if (fstatat(fd, "", st, AT_EMPTY_PATH) < 0)
		return -errno;
	attr_fill(mount, st);
	return 0;
}

static void reply_attr(fuse_req_t req, fuse_ino_t ino)
{
	struct stat st;
	int rc = getattr(mount_of(req), ino, &st);

	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_attr(req, &st, VALID_SECONDS);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	reply_attr(req, ino);
}

/* All of it is held. */
static int truncate_image(struct image *image, int fd, off_t size)
{
	bool shrink = size < image_size(image);
	int rc = shrink ? sums_change(image, size, SUMS_BYTES_MAX, true) : sums_touch(image);

	if (image->sums && (uint64_t)size > SUMS_BYTES_MAX)
		rc = -EFBIG;
	if (rc < 0)
		return rc;
	rc = ftruncate(fd, size) < 0 ? -errno : 0;
	if (shrink && rc == 0)
		sums_zeroed(image, size, SUMS_BYTES_MAX);
	else if (shrink)
		sums_failed(image, size, SUMS_BYTES_MAX);
	return rc;
}

/* OPEN: by somebody who has it open for writing, who may although others may not (any more). */
static int truncate_node(struct mount *mount, fuse_ino_t ino, off_t size, bool open)
{
	struct image *image = NULL;
	_cleanup_close_ int fd = node_file(mount, ino, open, &image);
	struct held_range held;
	int rc;

	if (fd < 0)
		return fd;
	if (!image)
		return ftruncate(fd, size) < 0 ? -errno : 0;
	range_hold(&image->ranges, &held, 0, UINT64_MAX);
	rc = truncate_image(image, fd, size);
	range_drop(&image->ranges, &held);
	image_close(&mount->images, image, false);
	return rc;
}

static int set_owner(int fd, const struct stat *attr, int to_set)
{
	uid_t uid = to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
	gid_t gid = to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;

	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int set_times(const char *path, const struct stat *attr, int to_set)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};

	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		times[0].tv_nsec = UTIME_NOW;
	else if (to_set & FUSE_SET_ATTR_ATIME)
		times[0] = attr->st_atim;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		times[1].tv_nsec = UTIME_NOW;
	else if (to_set & FUSE_SET_ATTR_MTIME)
		times[1] = attr->st_mtim;
	return utimensat(AT_FDCWD, path, times, 0) < 0 ? -errno : 0;
}

/* By its times we know after a close whether somebody else has changed it. */
static int change_times(struct mount *mount, fuse_ino_t ino, int fd, const struct stat *attr,
			int to_set)
{
	struct image *image;
	char path[PROC_PATH_MAX];
	int rc = node_image(mount, ino, fd, &image);

	if (rc == 0 && image)
		rc = sums_touch(image);
	if (rc == 0)
		rc = set_times(proc_path(path, fd), attr, to_set);
	if (image)
		image_close(&mount->images, image, false);
	return rc;
}

#define SET_OWNER (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)
#define SET_TIMES                                                              \
	(FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | \
	 FUSE_SET_ATTR_MTIME_NOW)

#define SET_ANYTHING \
	(SET_OWNER | SET_TIMES | FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_MODE | FATTR_KILL_SUIDGID)

static int setattr(struct mount *mount, fuse_ino_t ino, const struct stat *attr, int to_set,
		   bool open)
{
	_cleanup_close_ int fd = node_open_id(&mount->nodes, ino, O_PATH);
	char path[PROC_PATH_MAX];
	int rc = 0;

	if (fd < 0)
		return fd;
	proc_path(path, fd);
	/* chown(-1, -1) asks for nothing, but ends privileges all the same. */
	if (to_set & SET_OWNER || !(to_set & SET_ANYTHING))
		rc = set_owner(fd, attr, to_set);
	if (!rc && (to_set & FUSE_SET_ATTR_SIZE))
		rc = truncate_node(mount, ino, attr->st_size, open);
	if (!rc && (to_set & FATTR_KILL_SUIDGID))
		rc = image_drop_privileges(fd);
	if (!rc && (to_set & FUSE_SET_ATTR_MODE))
		rc = chmod(path, attr->st_mode & 07777) < 0 ? -errno : 0;
	if (!rc && (to_set & SET_TIMES))
		rc = change_times(mount, ino, fd, attr, to_set);
	return rc;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	int rc = setattr(mount_of(req), ino, attr, to_set, fi);

	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		reply_attr(req, ino);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	_cleanup_close_ int fd = node_open_id(&mount_of(req)->nodes, ino, O_PATH);
	char target[PATH_MAX + 1];
	ssize_t n;

	if (fd < 0) {
		fuse_reply_err(req, -fd);
		return;
	}
	n = readlinkat(fd, "", target, sizeof(target) - 1);
	if (n < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	target[n] = 0;
	fuse_reply_readlink(req, target);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	_cleanup_close_ int fd = node_open_id(&mount_of(req)->nodes, ino ?: FUSE_ROOT_ID, O_PATH);
	struct statvfs st;

	if (fd < 0)
		fuse_reply_err(req, -fd);
	else if (fstatvfs(fd, &st) < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_statfs(req, &st);
}
