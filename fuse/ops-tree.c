// SPDX-License-Identifier: GPL-2.0-or-later
/* Names: making, linking, removing and renaming. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "intent.h"
#include "ops.h"
#include "policy/images.h"
#include "policy/log.h"
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
		reply_entry(req, &e);
}

/* Begins to make NAME. True if it has to be made: a predecessor may have done it already. */
static bool begin_making(fuse_req_t req, int dir, const char *name, struct intent_state *intent)
{
	struct intent_names names = {{dir, -1}, {name, NULL}};
	struct name_before now;

	intent_begin(mount_of(req), meta_unique(), &names, intent);
	if (!intent->resumed || intent->before[0].existed)
		return true;
	now = intent_look(dir, name);
	return !now.existed;
}

/* What is to be made: a symlink to TARGET, or what MODE says. */
struct making {
	mode_t mode;
	dev_t rdev;
	const char *target;
};

static int make_below(int dir, const char *name, const struct making *what)
{
	int rc;

	if (what->target)
		rc = symlinkat(what->target, dir, name);
	else if (S_ISDIR(what->mode))
		rc = mkdirat(dir, name, what->mode & ~S_IFMT);
	else
		rc = mknodat(dir, name, what->mode, what->rdev);
	return rc < 0 ? -errno : 0;
}

static void make(fuse_req_t req, fuse_ino_t parent, const char *name, const struct making *what)
{
	_cleanup_close_ int dir = open_parent(req, parent, name);
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct intent_state intent = {0};
	int rc = MIN(dir, 0);

	if (dir >= 0 && begin_making(req, dir, name, &intent)) {
		caller_enter(ctx->uid, ctx->gid, ctx->umask);
		rc = make_below(dir, name, what);
		caller_leave();
	}
	reply_new_entry(req, dir, name, rc);
	intent_end(&intent);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	make(req, parent, name, &(struct making){.mode = mode, .rdev = rdev});
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	make(req, parent, name, &(struct making){.mode = S_IFDIR | mode});
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	make(req, parent, name, &(struct making){.target = target});
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	_cleanup_close_ int dir = open_parent(req, newparent, newname);
	_cleanup_close_ int fd = node_open_id(&mount_of(req)->nodes, ino, O_PATH);
	struct intent_state intent = {0};
	int rc = dir < 0 ? dir : MIN(fd, 0);

	if (rc == 0 && begin_making(req, dir, newname, &intent) &&
	    linkat(fd, "", dir, newname, AT_EMPTY_PATH) < 0)
		rc = -errno;
	reply_new_entry(req, dir, newname, rc);
	intent_end(&intent);
}

/* NAME is about to go, perhaps the last one of something that is in use: neither we nor a successor
 * could open it any more. */
static int keep_if_open(struct mount *mount, uint64_t node)
{
	struct image *image = node ? image_find(&mount->images, node) : NULL;
	int rc;

	if (!image)
		return 0;
	rc = image_keep(&mount->images, image);
	if (rc < 0)
		log_err("an open file loses its name and is not kept: %s", strerror(-rc));
	image_close(&mount->images, image, false);
	return rc;
}

/* What a name leads to that is about to go. */
struct victim {
	int fd;	       /* O_PATH; -1: nothing is there */
	uint64_t node; /* 0: the kernel knows none */
};

static void victim_close(struct victim *victim)
{
	cleanup_close(&victim->fd);
}

#define _cleanup_victim_ __attribute__((cleanup(victim_close)))

static int keep_if_used(struct mount *mount, int dir, const char *name, struct victim *victim)
{
	victim->fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	victim->node = victim->fd < 0 ? 0 : node_find(&mount->nodes, victim->fd);
	if (!victim->node)
		return 0;
	node_hold(&mount->nodes, victim->node, victim->fd);
	return keep_if_open(mount, victim->node);
}

/* The name is gone. An OPEN takes no lock on the directory: it may have come in between. What
 * nobody has open any more loses its checksums now, the others with their last close. */
static void after_removal(struct mount *mount, const struct victim *victim)
{
	struct image *image = NULL;
	struct stat st;

	keep_if_open(mount, victim->node);
	if (victim->fd < 0 || fstat(victim->fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink)
		return;
	if (victim->node)
		image = image_find(&mount->images, victim->node);
	if (image)
		image_close(&mount->images, image, false);
	else
		sums_remove(mount->sums, victim->fd);
}

static int remove_at(fuse_req_t req, int dir, const char *name, int flags,
		     const struct intent_state *intent)
{
	_cleanup_victim_ struct victim victim = {-1, 0};
	struct name_before now = intent_look(dir, name);
	int rc;

	if (intent->resumed && intent->before[0].existed && !now.existed)
		return 0;
	rc = keep_if_used(mount_of(req), dir, name, &victim);
	if (rc == 0 && unlinkat(dir, name, flags) < 0)
		rc = -errno;
	if (rc == 0)
		after_removal(mount_of(req), &victim);
	return rc;
}

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *name, int flags)
{
	_cleanup_close_ int dir = open_parent(req, parent, name);
	struct intent_names names = {{dir, -1}, {name, NULL}};
	struct intent_state intent = {0};
	int rc = MIN(dir, 0);

	if (rc == 0) {
		intent_begin(mount_of(req), meta_unique(), &names, &intent);
		rc = remove_at(req, dir, name, flags, &intent);
	}
	reply_status(req, rc);
	intent_end(&intent);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, 0);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, AT_REMOVEDIR);
}

/* The kernel does not look a renamed file up again: whether it is an image now is found here. */
static void note_name(struct mount *mount, int dir, const char *name)
{
	struct fuse_entry_param e;
	struct node *node;

	if (entry_lookup(mount, dir, name, &e) < 0)
		return;
	node = node_get(&mount->nodes, e.ino);
	/* Another name of it may still be an image's. */
	if (e.attr.st_nlink == 1 && !images_match(mount->options.images, name))
		atomic_fetch_and(&node->flags, ~NODE_IMAGE);
	node_forget(&mount->nodes, e.ino, 1);
}

/* Whether a predecessor has renamed already. Of two names of one inode nothing moves, and a second
 * time does no harm. */
static bool renamed_before(const struct intent_state *intent, const struct intent_names *names,
			   unsigned flags)
{
	struct name_before from = intent_look(names->dir[0], names->name[0]);
	struct name_before to = intent_look(names->dir[1], names->name[1]);

	if (!intent->resumed || !same_inode(&to, &intent->before[0]))
		return false;
	return flags & RENAME_EXCHANGE ? same_inode(&from, &intent->before[1]) : !from.existed;
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
	       const char *newname, unsigned flags)
{
	struct mount *mount = mount_of(req);
	_cleanup_close_ int from = open_parent(req, parent, name);
	_cleanup_close_ int to = open_parent(req, newparent, newname);
	struct intent_names names = {{from, to}, {name, newname}};
	struct intent_state intent = {0};
	_cleanup_victim_ struct victim replaced = {-1, 0};
	int rc = from < 0 ? from : MIN(to, 0);

	if (rc == 0)
		intent_begin(mount, meta_unique(), &names, &intent);
	if (rc == 0 && !renamed_before(&intent, &names, flags)) {
		rc = keep_if_used(mount, to, newname, &replaced);
		if (rc == 0 && renameat2(from, name, to, newname, flags) < 0)
			rc = -errno;
		if (rc == 0)
			after_removal(mount, &replaced);
	}
	if (rc == 0) {
		note_name(mount, to, newname);
		if (flags & RENAME_EXCHANGE)
			note_name(mount, from, name);
	}
	reply_status(req, rc);
	intent_end(&intent);
}
