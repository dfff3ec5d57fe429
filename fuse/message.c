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
	const char *opcode;
	bool served; /* in a metadata thread */
	uint8_t fixed, names, strings;
};

#define META(op, ...) [FUSE_##op] = {#op, true, __VA_ARGS__}
#define OTHER(op) [FUSE_##op] = {#op}

static const struct shape shapes[] = {
	META(LOOKUP, .names = 1),
	META(FORGET, sizeof(struct fuse_forget_in)),
	META(GETATTR, sizeof(struct fuse_getattr_in)),
	META(SETATTR, sizeof(struct fuse_setattr_in)),
	META(READLINK, 0),
	META(SYMLINK, .names = 1, .strings = 1),
	META(MKNOD, sizeof(struct fuse_mknod_in), .names = 1),
	META(MKDIR, sizeof(struct fuse_mkdir_in), .names = 1),
	META(UNLINK, .names = 1),
	META(RMDIR, .names = 1),
	META(RENAME, sizeof(struct fuse_rename_in), .names = 2),
	META(LINK, sizeof(struct fuse_link_in), .names = 1),
	META(OPEN, sizeof(struct fuse_open_in)),
	META(STATFS, 0),
	META(RELEASE, sizeof(struct fuse_release_in)),
	META(SETXATTR, sizeof(struct fuse_setxattr_in), .strings = 1),
	META(GETXATTR, sizeof(struct fuse_getxattr_in), .strings = 1),
	META(LISTXATTR, sizeof(struct fuse_getxattr_in)),
	META(REMOVEXATTR, .strings = 1),
	META(OPENDIR, sizeof(struct fuse_open_in)),
	META(READDIR, sizeof(struct fuse_read_in)),
	META(RELEASEDIR, sizeof(struct fuse_release_in)),
	META(FSYNCDIR, sizeof(struct fuse_fsync_in)),
	META(CREATE, sizeof(struct fuse_create_in), .names = 1),
	META(IOCTL, sizeof(struct fuse_ioctl_in)),
	META(BATCH_FORGET, sizeof(struct fuse_batch_forget_in)),
	META(FALLOCATE, sizeof(struct fuse_fallocate_in)),
	META(READDIRPLUS, sizeof(struct fuse_read_in)),
	META(RENAME2, sizeof(struct fuse_rename2_in), .names = 2),
	META(LSEEK, sizeof(struct fuse_lseek_in)),
	META(COPY_FILE_RANGE, sizeof(struct fuse_copy_file_range_in)),
	META(TMPFILE, sizeof(struct fuse_create_in)),
	META(COPY_FILE_RANGE_64, sizeof(struct fuse_copy_file_range_in)),
	OTHER(READ),
	OTHER(WRITE),
	OTHER(FSYNC),
	OTHER(INTERRUPT),
	OTHER(FLUSH),
	OTHER(DESTROY),
};

const char *message_opcode(unsigned opcode)
{
	return opcode < ARRAY_SIZE(shapes) && shapes[opcode].opcode ? shapes[opcode].opcode
								    : "unknown request";
}

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
	case FUSE_COPY_FILE_RANGE_64:
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
