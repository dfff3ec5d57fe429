// SPDX-License-Identifier: GPL-2.0-or-later
#include "message.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "abi.h"
#include "cache/pool.h"
#include "policy/util.h"

/* What follows the header: a structure, then names of directory entries, then any other string. */
struct shape {
	bool served;
	uint8_t fixed, names, strings;
};

#define SHAPE(...)                \
	{                         \
		true, __VA_ARGS__ \
	}

static const struct shape shapes[] = {
	[FUSE_LOOKUP] = SHAPE(.names = 1),
	[FUSE_FORGET] = SHAPE(sizeof(struct fuse_forget_in)),
	[FUSE_GETATTR] = SHAPE(sizeof(struct fuse_getattr_in)),
	[FUSE_SETATTR] = SHAPE(sizeof(struct fuse_setattr_in)),
	[FUSE_READLINK] = SHAPE(0),
	[FUSE_SYMLINK] = SHAPE(.names = 1, .strings = 1),
	[FUSE_MKNOD] = SHAPE(sizeof(struct fuse_mknod_in), .names = 1),
	[FUSE_MKDIR] = SHAPE(sizeof(struct fuse_mkdir_in), .names = 1),
	[FUSE_UNLINK] = SHAPE(.names = 1),
	[FUSE_RMDIR] = SHAPE(.names = 1),
	[FUSE_RENAME] = SHAPE(sizeof(struct fuse_rename_in), .names = 2),
	[FUSE_LINK] = SHAPE(sizeof(struct fuse_link_in), .names = 1),
	[FUSE_OPEN] = SHAPE(sizeof(struct fuse_open_in)),
	[FUSE_STATFS] = SHAPE(0),
	[FUSE_RELEASE] = SHAPE(sizeof(struct fuse_release_in)),
	[FUSE_SETXATTR] = SHAPE(sizeof(struct fuse_setxattr_in), .strings = 1),
	[FUSE_GETXATTR] = SHAPE(sizeof(struct fuse_getxattr_in), .strings = 1),
	[FUSE_LISTXATTR] = SHAPE(sizeof(struct fuse_getxattr_in)),
	[FUSE_REMOVEXATTR] = SHAPE(.strings = 1),
	[FUSE_OPENDIR] = SHAPE(sizeof(struct fuse_open_in)),
	[FUSE_READDIR] = SHAPE(sizeof(struct fuse_read_in)),
	[FUSE_RELEASEDIR] = SHAPE(sizeof(struct fuse_release_in)),
	[FUSE_FSYNCDIR] = SHAPE(sizeof(struct fuse_fsync_in)),
	[FUSE_CREATE] = SHAPE(sizeof(struct fuse_create_in), .names = 1),
	[FUSE_IOCTL] = SHAPE(sizeof(struct fuse_ioctl_in)),
	[FUSE_BATCH_FORGET] = SHAPE(sizeof(struct fuse_batch_forget_in)),
	[FUSE_FALLOCATE] = SHAPE(sizeof(struct fuse_fallocate_in)),
	[FUSE_READDIRPLUS] = SHAPE(sizeof(struct fuse_read_in)),
	[FUSE_RENAME2] = SHAPE(sizeof(struct fuse_rename2_in), .names = 2),
	[FUSE_LSEEK] = SHAPE(sizeof(struct fuse_lseek_in)),
	[FUSE_COPY_FILE_RANGE] = SHAPE(sizeof(struct fuse_copy_file_range_in)),
	[FUSE_TMPFILE] = SHAPE(sizeof(struct fuse_create_in)),
	[OP_COPY_FILE_RANGE_64] = SHAPE(sizeof(struct fuse_copy_file_range_in)),
};

/* One step down and no other: what "..", or a path, leads to may lie outside the pool. */
static bool is_component(const char *name)
{
	return *name && strcmp(name, ".") && strcmp(name, "..") && !strchr(name, '/');
}

static bool is_range(uint64_t offset, uint64_t length)
{
	return length <= INT64_MAX && offset <= INT64_MAX - length;
}

/* The lengths that the structure at BODY tells, with REST bytes behind it. */
static bool lengths_fit(unsigned opcode, const void *body, size_t rest)
{
	switch (opcode) {
	case FUSE_IOCTL:
		return ((const struct fuse_ioctl_in *)body)->in_size <= rest;
	case FUSE_BATCH_FORGET:
		return ((const struct fuse_batch_forget_in *)body)->count <=
		       rest / sizeof(struct fuse_forget_one);
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		return ((const struct fuse_read_in *)body)->size <= PAYLOAD_MAX;
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
		return ((const struct fuse_getxattr_in *)body)->size <= XATTR_SIZE_MAX;
	case FUSE_FALLOCATE:
		return is_range(((const struct fuse_fallocate_in *)body)->offset,
				((const struct fuse_fallocate_in *)body)->length);
	case FUSE_COPY_FILE_RANGE:
	case OP_COPY_FILE_RANGE_64:
		return is_range(((const struct fuse_copy_file_range_in *)body)->off_in,
				((const struct fuse_copy_file_range_in *)body)->len) &&
		       is_range(((const struct fuse_copy_file_range_in *)body)->off_out,
				((const struct fuse_copy_file_range_in *)body)->len);
	default:
		return true;
	}
}

int message_check(const struct fuse_in_header *header, size_t length)
{
	const char *at = (const char *)(header + 1), *end = (const char *)header + length;
	const struct shape *shape;

	if (header->opcode >= ARRAY_SIZE(shapes) || !shapes[header->opcode].served)
		return -ENOSYS;
	shape = &shapes[header->opcode];
	if (end - at < shape->fixed || !lengths_fit(header->opcode, at, end - at - shape->fixed))
		return -EINVAL;
	at += shape->fixed;
	for (unsigned i = 0; i < shape->names + shape->strings; i++) {
		const char *last = memchr(at, 0, end - at);

		if (!last || (i < shape->names && !is_component(at)))
			return -EINVAL;
		at = last + 1;
	}
	return 0;
}
