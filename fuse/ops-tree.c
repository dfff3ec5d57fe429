// SPDX-License-Identifier: GPL-2.0-or-later
/* Names: making, linking, removing and renaming. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ops.h"
#include "policy/images.h"
#include "policy/util.h"

static int open_parent(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (name_is_ours(parent, name))
		return -EPERM;
	return node_open_id(&mount_of(req)->nodes, parent, O_PATH | O_DIRECTORY);
}

static void reply_status(fuse_req_t req, int rc)
{
	fuse_reply_err(req, rc < 0 ? -rc : 0);
}

static void reply_new_entry(fuse_req_t req, int parent_fd, const char *name, int rc)
{
	struct fuse_entry_param e;

	if (rc == 0)
		rc = entry_lookup(mount_of(req), parent_fd, name, &e);
	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_entry(req, &e);
}

static void enter(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	caller_enter(ctx->uid, ctx->gid, ctx->umask);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	_cleanup_close_ int dir = open_parent(req, parent, name);
	int rc = dir;

	if (dir >= 0) {
		enter(req);
		rc = mknodat(dir, name, mode, rdev) < 0 ? -errno : 0;
		caller_leave();
	}
	reply_new_entry(req, dir, name, rc);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	_cleanup_close_ int dir = open_parent(req, parent, name);
	int rc = dir;

	if (dir >= 0) {
		enter(req);
		rc = mkdirat(dir, name, mode) < 0 ? -errno : 0;
		caller_leave();
	}
	reply_new_entry(req, dir, name, rc);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	_cleanup_close_ int dir = open_parent(req, parent, name);
	int rc = dir;

	if (dir >= 0) {
		enter(req);
		rc = symlinkat(target, dir, name) < 0 ? -errno : 0;
		caller_leave();
	}
	reply_new_entry(req, dir, name, rc);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	_cleanup_close_ int dir = open_parent(req, newparent, newname);
	_cleanup_close_ int fd = node_open_id(&mount_of(req)->nodes, ino, O_PATH);
	int rc = dir < 0 ? dir : fd < 0 ? fd : 0;

	if (rc == 0 && linkat(fd, "", dir, newname, AT_EMPTY_PATH) < 0)
		rc = -errno;
	reply_new_entry(req, dir, newname, rc);
}

static int remove_name(fuse_req_t req, fuse_ino_t parent, const char *name, int flags)
{
	_cleanup_close_ int dir = open_parent(req, parent, name);

	if (dir < 0)
		return dir;
	return unlinkat(dir, name, flags) < 0 ? -errno : 0;
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply_status(req, remove_name(req, parent, name, 0));
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply_status(req, remove_name(req, parent, name, AT_REMOVEDIR));
}

/* The kernel does not look a renamed file up again: whether it is an image now is found here. */
static void note_name(struct mount *mount, int dir, const char *name)
{
	struct fuse_entry_param e;
	struct node *node;

	if (entry_lookup(mount, dir, name, &e) < 0)
		return;
	node = node_get(&mount->nodes, e.ino);
	if (!images_match(mount->options.images, name))
		atomic_fetch_and(&node->flags, ~NODE_IMAGE);
	node_forget(&mount->nodes, e.ino, 1);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
	       const char *newname, unsigned flags)
{
	_cleanup_close_ int from = open_parent(req, parent, name);
	_cleanup_close_ int to = open_parent(req, newparent, newname);
	int rc = from < 0 ? from : to < 0 ? to : 0;

	if (rc == 0 && renameat2(from, name, to, newname, flags) < 0)
		rc = -errno;
	if (rc == 0) {
		note_name(mount_of(req), to, newname);
		if (flags & RENAME_EXCHANGE)
			note_name(mount_of(req), from, name);
	}
	reply_status(req, rc);
}
