/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The FUSE protocol (include/uapi/linux/fuse.h), with what Debian 12's headers (protocol 7.38) do
 * not have yet. Values are the kernel's ABI.
 */
#pragma once

#include <linux/fuse.h>
#include <string.h>

#ifndef FUSE_DIRECT_IO_ALLOW_MMAP
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36) /* 7.39, Linux 6.6 */
#endif
#ifndef FUSE_PASSTHROUGH
#define FUSE_PASSTHROUGH (1ULL << 37) /* 7.40, Linux 6.9 */
#define FOPEN_PASSTHROUGH (1 << 7)
struct fuse_backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define FUSE_DEV_IOC_BACKING_OPEN _IOW(FUSE_DEV_IOC_MAGIC, 1, struct fuse_backing_map)
#define FUSE_DEV_IOC_BACKING_CLOSE _IOW(FUSE_DEV_IOC_MAGIC, 2, uint32_t)
#endif
#ifndef FUSE_HAS_RESEND
#define FUSE_HAS_RESEND (1ULL << 39) /* 7.40, Linux 6.9 */
#define FUSE_NOTIFY_RESEND 7
#define FUSE_UNIQUE_RESEND (1ULL << 63)
#endif
#ifndef FUSE_OVER_IO_URING
#define FUSE_OVER_IO_URING (1ULL << 41) /* 7.42, Linux 6.14 */
enum { FUSE_IO_URING_CMD_REGISTER = 1, FUSE_IO_URING_CMD_COMMIT_AND_FETCH = 2 };
struct fuse_uring_ent_in_out {
	uint64_t flags;
	uint64_t commit_id;
	uint32_t payload_sz;
	uint32_t padding;
	uint64_t reserved;
};
struct fuse_uring_req_header {
	char in_out[128]; /* struct fuse_in_header, then struct fuse_out_header */
	char op_in[128];  /* the operation's own header; all else is in the payload */
	struct fuse_uring_ent_in_out ring_ent_in_out;
};
struct fuse_uring_cmd_req {
	uint64_t flags;
	uint64_t commit_id;
	uint16_t qid;
	uint8_t padding[6];
};
#endif
#ifndef FUSE_TMPFILE
#define FUSE_TMPFILE 51 /* 7.37; an enumerator in newer headers */
#endif
#define FUSE_COPY_FILE_RANGE_64 53 /* 7.45, Linux 6.18 */

/* FUSE_COPY_FILE_RANGE_64 takes struct fuse_copy_file_range_in and answers with this. */
struct copy_file_range_out_64 {
	uint64_t bytes_copied;
};

/* Where newer headers have fuse_init_out.max_stack_depth and fuse_open_out.backing_id. */
static inline void init_out_set_stack_depth(struct fuse_init_out *out, uint32_t depth)
{
	memcpy((char *)out + 36, &depth, sizeof(depth));
}

static inline void open_out_set_backing(struct fuse_open_out *out, int32_t id)
{
	memcpy((char *)out + 12, &id, sizeof(id));
}

/* What lies before the payload of a WRITE: the same on every protocol since 7.9. */
#define WRITE_HEADERS (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))
_Static_assert(WRITE_HEADERS == 80, "a WRITE's payload begins 80 bytes into the message");
