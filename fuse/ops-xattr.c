// SPDX-License-Identifier: GPL-2.0-or-later
/* Extended attributes and, through them, POSIX ACLs and our own settings. */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "control.h"
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

static int set_xattr(struct mount *mount, const struct fuse_in_header *header, int fd,
		     const char *name, const void *value, size_t size, int flags,
		     struct intent_state *intent)
{
	int rc = control_set(mount, header->uid, header->nodeid, fd, name, value, size);
	char path[PROC_PATH_MAX];

	if (rc)
		return MIN(rc, 0);
	proc_path(path, fd);
	if (flags & XATTR_CREATE)
		intent_begin_flag(mount, header->unique, present(path, name), intent);
	/* What was not there before a predecessor set it is there because he did. */
	if (intent->resumed && !intent->before[0].existed)
		flags &= ~XATTR_CREATE;
	rc = setxattr(path, name, value, size, flags) < 0 ? -errno : 0;
	return rc < 0 ? rc : control_stored(mount, header->nodeid, name);
}

/* An ACL set by somebody who is not of the file's group ends its setgid bit. */
static int drop_setgid(int fd, const char *path)
{
	struct stat st;

	if (fstatat(fd, "", &st, AT_EMPTY_PATH) < 0)
		return -errno;
	if (!(st.st_mode & S_ISGID))
		return 0;
	return chmod(path, st.st_mode & 07777 & ~S_ISGID) < 0 ? -errno : 0;
}

/* libfuse 3.14 does not know the form with FUSE_SETXATTR_ACL_KILL_SGID. */
void raw_setxattr(struct mount *mount, const struct meta_message *message)
{
	const struct fuse_in_header *header = (const void *)message->bytes;
	const struct fuse_setxattr_in *in = (const void *)(header + 1);
	const char *name = (const char *)(in + 1), *value;
	const char *end = message->bytes + message->length;
	char path[PROC_PATH_MAX];
	struct intent_state intent = {0};
	_cleanup_close_ int fd = -1;
	int rc = -EINVAL;

	if (name < end && (value = memchr(name, 0, end - name)) && end - ++value == in->size)
		rc = fd = node_open_id(&mount->nodes, header->nodeid, O_PATH);
	if (rc >= 0)
		rc = set_xattr(mount, header, fd, name, value, in->size, in->flags, &intent);
	if (rc == 0 && in->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID)
		rc = drop_setgid(fd, proc_path(path, fd));
	raw_reply(message, rc, NULL, 0);
	intent_end(&intent);
}

/* SIZE 0 asks how long the answer is. */
static void reply_value(fuse_req_t req, const char *value, ssize_t n, size_t size)
{
	if (n < 0)
		fuse_reply_err(req, -n);
	else if (!size)
		fuse_reply_xattr(req, n);
	else if ((size_t)n > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, value, n);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	char path[PROC_PATH_MAX];
	_cleanup_close_ int fd = open_path(req, ino, path);
	_cleanup_free_ char *value = NULL;
	ssize_t n = fd < 0 ? fd : control_get(mount_of(req), ino, fd, name, &value);

	if (n == 1) {
		n = strlen(value);
	} else if (n == 0) {
		value = size ? malloc(size) : NULL;
		n = size && !value ? -ENOMEM : getxattr(path, name, value, size);
		if (n == -1)
			n = -errno;
	}
	reply_value(req, value, n, size);
}

/* Takes out of a list of names those that the caller would not see below: others than root see no
 * trusted ones. */
static ssize_t hide_names(char *names, ssize_t n, uid_t uid)
{
	char *to = names;

	for (char *name = names; name < names + n;) {
		size_t length = strlen(name) + 1;

		if (!uid || strncmp(name, "trusted.", 8)) {
			memmove(to, name, length);
			to += length;
		}
		name += length;
	}
	return to - names;
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	char path[PROC_PATH_MAX];
	_cleanup_close_ int fd = open_path(req, ino, path);
	_cleanup_free_ char *names = malloc(XATTR_LIST_MAX);
	ssize_t n = MIN(fd, 0);

	if (n == 0 && !names)
		n = -ENOMEM;
	if (n == 0) {
		n = listxattr(path, names, XATTR_LIST_MAX);
		n = n < 0 ? -errno : hide_names(names, n, fuse_req_ctx(req)->uid);
	}
	reply_value(req, names, n, size);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	char path[PROC_PATH_MAX];
	_cleanup_close_ int fd = open_path(req, ino, path);
	struct intent_state intent = {0};
	int rc = fd < 0 ? fd : control_remove(ino, name);

	if (rc == 0) {
		intent_begin_flag(mount_of(req), meta_unique(), present(path, name), &intent);
		rc = removexattr(path, name) < 0 ? -errno : 0;
		if (rc == -ENODATA && intent.resumed && intent.before[0].existed)
			rc = 0;
	}
	if (rc == 0)
		rc = control_stored(mount_of(req), ino, name);
	fuse_reply_err(req, -rc);
	intent_end(&intent);
}
