// SPDX-License-Identifier: GPL-2.0-or-later
/* Extended attributes and, through them, POSIX ACLs. */
#include <errno.h>
#include <fcntl.h>
#include <sys/xattr.h>

#include "intent.h"
#include "ops.h"
#include "policy/util.h"

/* O_PATH descriptors have no fsetxattr(2) and friends; their /proc name has, and leads to the very
 * inode, be it a symlink. */
static int open_path(fuse_req_t req, fuse_ino_t ino, char path[PROC_PATH_MAX])
{
	int fd = node_open_id(&mount_of(req)->nodes, ino, O_PATH);

	if (fd >= 0)
		proc_path(path, fd);
	return fd;
}

/* Whether the attribute is there; what else is in the way the operation itself will tell. */
static bool present(const char *path, const char *name)
{
	return getxattr(path, name, NULL, 0) >= 0;
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		 int flags)
{
	char path[PROC_PATH_MAX];
	_cleanup_close_ int fd = open_path(req, ino, path);
	struct intent_state intent = {0};
	int rc = MIN(fd, 0);

	if (rc == 0 && flags & XATTR_CREATE)
		intent_begin_flag(mount_of(req), meta_unique(), present(path, name), &intent);
	/* What was not there before a predecessor set it is there because he did. */
	if (intent.resumed && !intent.before[0].existed)
		flags &= ~XATTR_CREATE;
	if (rc == 0)
		rc = setxattr(path, name, value, size, flags) < 0 ? -errno : 0;
	fuse_reply_err(req, -rc);
	intent_end(&intent);
}

/* Both kinds of question, for one value and for the list: size 0 asks how long the answer is. */
static void reply_value(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	char path[PROC_PATH_MAX];
	_cleanup_close_ int fd = open_path(req, ino, path);
	_cleanup_free_ char *value = size ? malloc(size) : NULL;
	ssize_t n;

	if (fd < 0 || (size && !value)) {
		fuse_reply_err(req, fd < 0 ? -fd : ENOMEM);
		return;
	}
	n = name ? getxattr(path, name, value, size) : listxattr(path, value, size);
	if (n < 0)
		fuse_reply_err(req, errno);
	else if (size)
		fuse_reply_buf(req, value, n);
	else
		fuse_reply_xattr(req, n);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	reply_value(req, ino, name, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	reply_value(req, ino, NULL, size);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	char path[PROC_PATH_MAX];
	_cleanup_close_ int fd = open_path(req, ino, path);
	struct intent_state intent = {0};
	int rc = MIN(fd, 0);

	if (rc == 0) {
		intent_begin_flag(mount_of(req), meta_unique(), present(path, name), &intent);
		rc = removexattr(path, name) < 0 ? -errno : 0;
		if (rc == -ENODATA && intent.resumed && intent.before[0].existed)
			rc = 0;
	}
	fuse_reply_err(req, -rc);
	intent_end(&intent);
}
