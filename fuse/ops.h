/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metadata operations, called by libfuse in the metadata threads. Each file is one family:
 * ops-node.c attributes and look-ups, ops-tree.c names, ops-dir.c listing, ops-file.c open files,
 * ops-xattr.c, ops-ioctl.c. ops.c puts them together.
 */
#pragma once

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "abi.h"
#include "mount.h"

/* A session whose replies go to DEVICE_FD. NULL on failure. */
struct fuse_session *ops_session(struct mount *mount, int device_fd);

/* What libfuse 3.14 does not know or would answer wrongly. True if the message was answered. */
bool ops_raw(struct mount *mount, const struct meta_message *message);

/* ===== shared by the families ===== */

/* How long the kernel may believe a name or an attribute: the pool changes only through us. */
#define VALID_SECONDS 1.0

static inline struct mount *mount_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* The name that is ours alone in the pool's root. */
#define STORE_NAME ".bouncefs"

static inline bool name_is_ours(uint64_t parent, const char *name)
{
	return parent == FUSE_ROOT_ID && !strcmp(name, STORE_NAME);
}

void attr_fill(struct mount *mount, struct stat *st);

/* The node of NAME in the directory open as PARENT_FD, with one more look-up. -errno. */
int entry_lookup(struct mount *mount, int parent_fd, const char *name, struct fuse_entry_param *e);

/* The same for something that is open or O_PATH as FD and was found as NAME. */
int entry_of_fd(struct mount *mount, int fd, const char *name, struct fuse_entry_param *e);

/* Answers with E, whose look-up is taken back if nobody waits for it any more. */
void reply_entry(fuse_req_t req, const struct fuse_entry_param *e);

/* The body of a reply to CREATE or TMPFILE. */
struct entry_open_out {
	struct fuse_entry_out entry;
	struct fuse_open_out open;
};
void entry_out_fill(struct fuse_entry_out *out, const struct fuse_entry_param *e);

/* For the time of a creation: files belong to the caller, with his umask. */
void caller_enter(uid_t uid, gid_t gid, mode_t umask);
void caller_leave(void);

/* A descriptor to truncate a node by, to be closed by the caller: a new one, whose opening tells
 * what is in the way, unless somebody has it open for WRITING already and asks through that. *IMAGE
 * is its open image (to be closed too) or NULL. -errno. */
int node_file(struct mount *mount, uint64_t node, bool writing, struct image **image);

/* The open image of NODE, which is open (O_PATH) as FD: one that has checksums is opened for it. To
 * be closed; NULL: nobody has it open. -errno. */
int node_image(struct mount *mount, uint64_t node, int fd, struct image **image);

/* The families. */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_statfs(fuse_req_t req, fuse_ino_t ino);

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
	       const char *newname, unsigned flags);

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
		  struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			struct fuse_file_info *fi_out, size_t len, int flags);

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi,
	      unsigned flags, const void *in_buf, size_t in_size, size_t out_size);

/* Raw messages, answered with raw_reply(). -ENOENT: nobody waits any more. */
void raw_setxattr(struct mount *mount, const struct meta_message *message);
void raw_tmpfile(struct mount *mount, const struct meta_message *message);
void raw_copy_file_range_64(struct mount *mount, const struct meta_message *message);
int raw_reply(const struct meta_message *message, int error, const void *data, size_t length);
