// SPDX-License-Identifier: GPL-2.0-or-later
/* Extended attributes and, through them, POSIX ACLs. */
#include <errno.h>
#include <fcntl.h>
#include <sys/xattr.h>

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

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		 int flags)
{
	char path[PROC_PATH_MAX];
	_cleanup_close_ int fd = open_path(req, ino, path);
	int rc = fd;

	if (fd >= 0)
		rc = setxattr(path, name, value, size, flags) < 0 ? -errno : 0;
	fuse_reply_err(req, rc < 0 ? -rc : 0);
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
	int rc = fd;

	if (fd >= 0)
		rc = removexattr(path, name) < 0 ? -errno : 0;
	fuse_reply_err(req, rc < 0 ? -rc : 0);
}
