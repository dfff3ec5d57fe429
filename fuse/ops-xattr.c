// SPDX-License-Identifier: GPL-2.0-or-later
/* Extended attributes and, through them, POSIX ACLs and our own settings. */
#include <errno.h>
#include <fcntl.h>
#include <sys/xattr.h>

#include "control.h"
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
	int rc = fd < 0 ? fd : control_set(req, ino, fd, name, value, size);

	if (rc == 0) {
		rc = setxattr(path, name, value, size, flags) < 0 ? -errno : 0;
		if (rc == 0)
			rc = control_stored(req, ino, name);
	}
	fuse_reply_err(req, rc < 0 ? -rc : 0);
}

/* Size 0 asks how long the answer is. */
static void reply_value(fuse_req_t req, const char *value, size_t n, size_t size)
{
	if (!size)
		fuse_reply_xattr(req, n);
	else if (n > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, value, n);
}

/* Both kinds of question, for one value and for the list. */
static void reply_stored(fuse_req_t req, const char *path, const char *name, size_t size)
{
	_cleanup_free_ char *value = size ? malloc(size) : NULL;
	ssize_t n;

	if (size && !value) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	n = name ? getxattr(path, name, value, size) : listxattr(path, value, size);
	if (n < 0)
		fuse_reply_err(req, errno);
	else
		reply_value(req, value, n, size);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	char path[PROC_PATH_MAX];
	_cleanup_close_ int fd = open_path(req, ino, path);
	_cleanup_free_ char *value = NULL;
	int rc = fd < 0 ? fd : control_get(req, ino, fd, name, &value);

	if (rc < 0)
		fuse_reply_err(req, -rc);
	else if (rc > 0)
		reply_value(req, value, strlen(value), size);
	else
		reply_stored(req, path, name, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	char path[PROC_PATH_MAX];
	_cleanup_close_ int fd = open_path(req, ino, path);

	if (fd < 0)
		fuse_reply_err(req, -fd);
	else
		reply_stored(req, path, NULL, size);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	char path[PROC_PATH_MAX];
	_cleanup_close_ int fd = open_path(req, ino, path);
	int rc = fd < 0 ? fd : control_remove(ino, name);

	if (rc == 0) {
		rc = removexattr(path, name) < 0 ? -errno : 0;
		if (rc == 0)
			rc = control_stored(req, ino, name);
	}
	fuse_reply_err(req, rc < 0 ? -rc : 0);
}
