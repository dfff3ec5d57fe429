// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The short list of ioctls that are forwarded. All others, from any user and to be done with our
 * rights (FITRIM, BTRFS_IOC_*...), are refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "command.h"
#include "file.h"
#include "intent.h"
#include "ops.h"
#include "policy/util.h"

/* How long writers are waited for that are about to be gone, and how long what was kept of them. */
#define WRITERS_MS 2000
#define KEPT_MS 10000

/* The kernel appends what the argument's pointers point to: salt, then signature. */
static int enable_verity(int fd, const void *in, size_t size)
{
	struct fsverity_enable_arg arg;

	if (size < sizeof(arg))
		return -EINVAL;
	memcpy(&arg, in, sizeof(arg));
	if (size != sizeof(arg) + (uint64_t)arg.salt_size + arg.sig_size)
		return -EINVAL;
	arg.salt_ptr = arg.salt_size ? (uintptr_t)in + sizeof(arg) : 0;
	arg.sig_ptr = arg.sig_size ? (uintptr_t)in + sizeof(arg) + arg.salt_size : 0;
	return ioctl(fd, FS_IOC_ENABLE_VERITY, &arg) < 0 ? -errno : 0;
}

/* The file's own check would ask for our permission and not for the caller's. */
static bool caller_may_write(fuse_req_t req, int fd)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct stat st;

	if (!ctx->uid)
		return true;
	if (fstat(fd, &st) < 0)
		return false;
	if (st.st_uid == ctx->uid)
		return st.st_mode & S_IWUSR;
	if (st.st_gid == ctx->gid)
		return st.st_mode & S_IWGRP;
	return st.st_mode & S_IWOTH;
}

/* Nobody may have the file open for writing, and so not we. */
static int make_readonly(struct mount *mount, fuse_ino_t ino)
{
	struct node_opener opener = {mount, node_get(&mount->nodes, ino)};
	struct image *image = image_find(&mount->images, ino);
	struct image_request request;
	int rc;

	if (!image)
		return 0;
	file_image_request(&opener, O_RDONLY, &request);
	rc = image_make_readonly(&mount->images, image, &request);
	image_close(&mount->images, image, false);
	return rc;
}

static bool has_verity(int fd)
{
	struct statx stx;

	return statx(fd, "", AT_EMPTY_PATH, 0, &stx) == 0 && stx.stx_attributes & STATX_ATTR_VERITY;
}

/* A writer's last close comes after its close(2) has returned, and what was kept of it, by a ring
 * of a predecessor's or outside of us, is let go of some time later. */
static int seal(fuse_req_t req, fuse_ino_t ino, int fd, const void *in, size_t size)
{
	for (int ms = 0;; ms += 10) {
		int rc = make_readonly(mount_of(req), ino), patience = WRITERS_MS;

		if (rc == 0) {
			rc = enable_verity(fd, in, size);
			patience = KEPT_MS;
		}
		if (rc != -ETXTBSY || ms >= patience)
			return rc;
		usleep(10000);
	}
}

static int verity(fuse_req_t req, fuse_ino_t ino, int fd, const void *in, size_t size,
		  struct intent_state *intent)
{
	if (!caller_may_write(req, fd))
		return -EACCES;
	intent_begin_flag(mount_of(req), meta_unique(), has_verity(fd), intent);
	/* A predecessor may have done it. */
	if (intent->resumed && !intent->before[0].existed && has_verity(fd))
		return 0;
	return seal(req, ino, fd, in, size);
}

static int measure_verity(int fd, const void *in, void *out, size_t size)
{
	struct fsverity_digest *digest = out;

	if (size < sizeof(*digest))
		return -EINVAL;
	memcpy(digest, in, sizeof(*digest));
	digest->digest_size = MIN(digest->digest_size, size - sizeof(*digest));
	return ioctl(fd, FS_IOC_MEASURE_VERITY, digest) < 0 ? -errno : 0;
}

/* The short list, with how long arguments and answers are at least. */
static const struct forwarded {
	unsigned cmd;
	size_t in, out;
} forwarded[] = {
	/* The number says long, what is copied is an int. */
	{FS_IOC_GETFLAGS, 0, sizeof(int)},
	{FS_IOC_SETFLAGS, sizeof(int), 0},
	{FS_IOC_FSGETXATTR, 0, sizeof(struct fsxattr)},
	{FS_IOC_FSSETXATTR, sizeof(struct fsxattr), 0},
	{FS_IOC_MEASURE_VERITY, sizeof(struct fsverity_digest), 0},
	{FS_IOC_ENABLE_VERITY, 0, 0},
};

static const struct forwarded *find_forwarded(unsigned cmd)
{
	for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
		if (forwarded[i].cmd == cmd)
			return &forwarded[i];
	return NULL;
}

/* Does it. OUT has room for OUT_SIZE bytes. -errno. */
static int forward(fuse_req_t req, fuse_ino_t ino, unsigned cmd, const void *in, size_t in_size,
		   void *out, size_t out_size, struct intent_state *intent)
{
	const struct forwarded *what = find_forwarded(cmd);
	_cleanup_close_ int fd = -1;

	if (!what)
		return -ENOTTY;
	if (in_size < what->in || out_size < what->out)
		return -EINVAL;
	fd = node_open_id(&mount_of(req)->nodes, ino, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return fd;
	if (cmd == FS_IOC_MEASURE_VERITY)
		return measure_verity(fd, in, out, out_size);
	if (cmd == FS_IOC_ENABLE_VERITY)
		return verity(req, ino, fd, in, in_size, intent);
	return ioctl(fd, cmd, what->in ? in : out) < 0 ? -errno : 0;
}

/* The kernel has seen to it that both sizes are what CMD says. */
static void command(fuse_req_t req, uint64_t fh, unsigned cmd, const void *in, size_t size)
{
	_cleanup_free_ void *arg = malloc(size);
	int rc = -ENOMEM;

	if (arg) {
		memcpy(arg, in, size);
		rc = command_run(mount_of(req), fuse_req_ctx(req)->uid, fh, cmd, arg);
	}
	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_ioctl(req, 0, arg, size);
}

/* No answer of others is larger: struct fsverity_digest and the longest digest. */
#define OUT_MAX 1024

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi,
	      unsigned flags, const void *in_buf, size_t in_size, size_t out_size)
{
	char out[OUT_MAX] __attribute__((aligned(8))) = {0};
	struct intent_state intent = {0};
	int rc;

	(void)arg;
	(void)flags;
	if (command_known(cmd) && in_size == _IOC_SIZE(cmd) && out_size == in_size) {
		command(req, fi->fh, cmd, in_buf, in_size);
		return;
	}
	out_size = MIN(out_size, sizeof(out));
	rc = forward(req, ino, cmd, in_buf, in_size, out, out_size, &intent);
	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_ioctl(req, 0, out, out_size);
	intent_end(&intent);
}
