// SPDX-License-Identifier: GPL-2.0-or-later
#include "ops.h"

#include <errno.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/uio.h>

#include "policy/images.h"
#include "policy/log.h"
#include "policy/util.h"

/* READ, WRITE and FSYNC are not here: they never reach libfuse. FLUSH is left out so that the
 * kernel stops asking, and so are the locks, which stay in the kernel. */
static const struct fuse_lowlevel_ops ops = {
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.statfs = op_statfs,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.symlink = op_symlink,
	.link = op_link,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.open = op_open,
	.create = op_create,
	.release = op_release,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.copy_file_range = op_copy_file_range,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.ioctl = op_ioctl,
};

struct fuse_session *ops_session(struct mount *mount, int device_fd)
{
	return protocol_session(&mount->protocol, device_fd, &ops, sizeof(ops), mount);
}

/* ===== raw messages ===== */

int raw_reply(const struct meta_message *message, int error, const void *data, size_t length)
{
	const struct fuse_in_header *in = (const void *)message->bytes;

	if (!message->request)
		return protocol_reply(fuse_session_fd(message->session), in->unique, error, data,
				      length);
	uring_reply_from(message->request, error, data, length);
	return 0;
}

bool ops_raw(struct mount *mount, const struct meta_message *message)
{
	const struct fuse_in_header *in = (const void *)message->bytes;

	switch (in->opcode) {
	case FUSE_SETXATTR:
		raw_setxattr(mount, message);
		return true;
	case FUSE_TMPFILE:
		raw_tmpfile(mount, message);
		return true;
	case FUSE_COPY_FILE_RANGE_64:
		raw_copy_file_range_64(mount, message);
		return true;
	default:
		return false;
	}
}

/* ===== what the families share ===== */

void attr_fill(struct mount *mount, struct stat *st)
{
	int device = node_device(&mount->nodes, st->st_dev);

	st->st_ino = node_ino(device < 0 ? DEVICES_MAX : device, st->st_ino);
}

int entry_of_fd(struct mount *mount, int fd, const char *name, struct fuse_entry_param *e)
{
	struct node *node;
	int rc;

	*e = (struct fuse_entry_param){
		.attr_timeout = VALID_SECONDS,
		.entry_timeout = VALID_SECONDS,
	};
	rc = node_of_fd(&mount->nodes, fd, &e->attr, &node);
	if (rc < 0)
		return rc;
	if (S_ISREG(e->attr.st_mode) && images_match(mount->options.images, name))
		atomic_fetch_or(&node->flags, NODE_IMAGE);
	e->ino = atomic_load(&node->id);
	e->generation = 1;
	e->attr.st_ino = node_ino(node->device, e->attr.st_ino);
	return 0;
}

int entry_lookup(struct mount *mount, int parent_fd, const char *name, struct fuse_entry_param *e)
{
	_cleanup_close_ int fd = openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : entry_of_fd(mount, fd, name, e);
}

void reply_entry(fuse_req_t req, const struct fuse_entry_param *e)
{
	struct mount *mount = mount_of(req);

	if (fuse_reply_entry(req, e) == -ENOENT)
		node_forget(&mount->nodes, e->ino, 1);
}

void entry_out_fill(struct fuse_entry_out *out, const struct fuse_entry_param *e)
{
	const struct stat *st = &e->attr;

	*out = (struct fuse_entry_out){
		.nodeid = e->ino,
		.generation = e->generation,
		.entry_valid = VALID_SECONDS,
		.attr_valid = VALID_SECONDS,
		.attr =
			{
				.ino = st->st_ino,
				.size = st->st_size,
				.blocks = st->st_blocks,
				.atime = st->st_atim.tv_sec,
				.mtime = st->st_mtim.tv_sec,
				.ctime = st->st_ctim.tv_sec,
				.atimensec = st->st_atim.tv_nsec,
				.mtimensec = st->st_mtim.tv_nsec,
				.ctimensec = st->st_ctim.tv_nsec,
				.mode = st->st_mode,
				.nlink = st->st_nlink,
				.uid = st->st_uid,
				.gid = st->st_gid,
				.rdev = st->st_rdev,
				.blksize = st->st_blksize,
			},
	};
}

/* SECBIT_NO_SETUID_FIXUP is set: the change of fsuid leaves the capabilities alone, and so the
 * directory's permissions, which the kernel has checked with all of the caller's groups, do not
 * stand in the way. */
void caller_enter(uid_t uid, gid_t gid, mode_t mask)
{
	setfsgid(gid);
	setfsuid(uid);
	umask(mask);
}

void caller_leave(void)
{
	setfsuid(0);
	setfsgid(0);
	umask(0);
}
