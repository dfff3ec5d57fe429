// SPDX-License-Identifier: GPL-2.0-or-later
/* Open regular files: opening, space, copies. Reading, writing and syncing are worker.c's. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "file.h"
#include "intent.h"
#include "ops.h"
#include "policy/log.h"
#include "policy/util.h"

/* A dense copy holds a metadata thread: no longer than this many bytes take. */
#define DENSE_COPY_MAX (64ull << 20)

/* ===== open ===== */

/* The kernel shall read the file itself: all opens of one file under one number. 0 if it cannot be.
 */
static int32_t backing_of(struct mount *mount, uint64_t fh)
{
	struct image *image = image_at(&mount->images, file_get(&mount->state, fh)->image);
	struct fuse_backing_map map = {.fd = image->cached_fd};
	int32_t id = atomic_load(&image->record->backing), none = 0;

	/* A file that has got checksums while the kernel reads it can only be opened like that. */
	if (id || !(protocol_features(&mount->protocol) & FUSE_PASSTHROUGH))
		return id;
	if (sums_present(image)) /* the kernel would not verify */
		return 0;
	id = ioctl(mount->device_fd, FUSE_DEV_IOC_BACKING_OPEN, &map);
	if (id < 0) {
		log_warn("passthrough: %s", strerror(errno));
		return 0;
	}
	/* Two that open it at once: one number stays. */
	if (!atomic_compare_exchange_strong(&image->record->backing, &none, id)) {
		ioctl(mount->device_fd, FUSE_DEV_IOC_BACKING_CLOSE, &id);
		return none;
	}
	return id;
}

/* libfuse 3.14 has no way to say FOPEN_PARALLEL_DIRECT_WRITES: the answers to OPEN, CREATE and
 * TMPFILE are made here. */
static void open_out_fill(struct mount *mount, struct fuse_open_out *out, uint64_t fh)
{
	const struct image *image = image_at(&mount->images, file_get(&mount->state, fh)->image);
	int32_t backing = backing_of(mount, fh);

	*out = (struct fuse_open_out){
		.fh = fh,
		.open_flags = FOPEN_NOFLUSH,
	};
	if (backing) {
		out->open_flags |= FOPEN_PASSTHROUGH;
		open_out_set_backing(out, backing);
	} else {
		out->open_flags |= image->is_image ? FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES
						   : FOPEN_KEEP_CACHE;
	}
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *mount = mount_of(req);
	struct node *node = node_get(&mount->nodes, ino);
	struct fuse_open_out out;
	uint64_t fh;
	int rc = node ? file_open(mount, node, fi->flags, meta_unique(), &fh) : -ESTALE;

	if (rc < 0) {
		fuse_reply_err(req, -rc);
		return;
	}
	open_out_fill(mount, &out, fh);
	/* Nobody waits for it any more, and so nobody will close it. */
	if (fuse_reply_buf(req, (char *)&out, sizeof(out)) == -ENOENT)
		file_close(mount, fh);
	else
		file_told(mount, fh);
}

/* FD is a new file, open: gives it a node and an fh. */
static int adopt(struct mount *mount, int fd, const char *name, int flags,
		 struct entry_open_out *out)
{
	struct fuse_entry_param e;
	uint64_t fh;
	int rc;

	rc = entry_of_fd(mount, fd, name, &e);
	if (rc < 0)
		return rc;
	rc = file_open(mount, node_get(&mount->nodes, e.ino), flags, meta_unique(), &fh);
	if (rc < 0) {
		node_forget(&mount->nodes, e.ino, 1);
		return rc;
	}
	entry_out_fill(&out->entry, &e);
	open_out_fill(mount, &out->open, fh);
	return 0;
}

/* The flags that are ours to pass below: how the file is used is decided by its image. */
#define CREATE_FLAGS (O_ACCMODE | O_EXCL)

static int create(struct mount *mount, int dir, const char *name, mode_t mode, int flags,
		  const struct fuse_ctx *ctx, struct entry_open_out *out)
{
	_cleanup_close_ int fd = -1;

	caller_enter(ctx->uid, ctx->gid, ctx->umask);
	fd = openat(dir, name, (flags & CREATE_FLAGS) | O_CREAT | O_NOFOLLOW | O_CLOEXEC, mode);
	caller_leave();
	return fd < 0 ? -errno : adopt(mount, fd, name, flags, out);
}

/* Nobody took the answer to CREATE or TMPFILE: nobody will close and forget what it opened. */
static void take_back(struct mount *mount, const struct entry_open_out *out)
{
	file_close(mount, out->open.fh);
	node_forget(&mount->nodes, out->entry.nodeid, 1);
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	struct mount *mount = mount_of(req);
	struct intent_state intent = {0};
	struct intent_names names = {{-1, -1}, {name, NULL}};
	_cleanup_close_ int dir = -1;
	struct entry_open_out out;
	int flags = fi->flags, rc = -EPERM;

	if (!name_is_ours(parent, name)) {
		dir = node_open_id(&mount->nodes, parent, O_PATH | O_DIRECTORY);
		rc = MIN(dir, 0);
	}
	if (rc == 0) {
		names.dir[0] = dir;
		intent_begin(mount, meta_unique(), &names, &intent);
		/* What a predecessor made is ours to open, exclusively or not. */
		if (intent.resumed && !intent.before[0].existed)
			flags &= ~O_EXCL;
		rc = create(mount, dir, name, mode, flags, fuse_req_ctx(req), &out);
	}
	if (rc < 0)
		fuse_reply_err(req, -rc);
	else if (fuse_reply_buf(req, (char *)&out, sizeof(out)) == -ENOENT)
		take_back(mount, &out);
	else
		file_told(mount, out.open.fh);
	intent_end(&intent);
}

/* A predecessor's temporary file is gone with its descriptors. */
static int make_tmpfile(struct mount *mount, const struct fuse_in_header *header,
			const struct fuse_create_in *in, struct entry_open_out *out)
{
	_cleanup_close_ int dir =
		node_open_id(&mount->nodes, header->nodeid, O_RDONLY | O_DIRECTORY);
	_cleanup_close_ int fd = -1;
	struct image *image;
	int rc;

	if (dir < 0)
		return dir;
	caller_enter(header->uid, header->gid, in->umask);
	fd = openat(dir, ".", (in->flags & CREATE_FLAGS) | O_TMPFILE | O_CLOEXEC, in->mode);
	caller_leave();
	if (fd < 0)
		return -errno;
	rc = adopt(mount, fd, "", in->flags, out);
	if (rc < 0)
		return rc;
	image = image_find(&mount->images, out->entry.nodeid);
	rc = image_keep(&mount->images, image);
	image_close(&mount->images, image, false);
	if (rc < 0)
		take_back(mount, out);
	return rc;
}

/* The message is that of CREATE, with the directory as its node. */
void raw_tmpfile(struct mount *mount, const struct meta_message *message)
{
	const struct fuse_in_header *header = (const void *)message->bytes;
	const struct fuse_create_in *in = (const void *)(header + 1);
	struct entry_open_out out = {0};
	int rc = -EINVAL;

	if (message->length >= sizeof(*header) + sizeof(*in))
		rc = make_tmpfile(mount, header, in, &out);
	if (raw_reply(message, MIN(rc, 0), &out, rc < 0 ? 0 : sizeof(out)) == -ENOENT && rc == 0)
		take_back(mount, &out);
	else if (rc == 0)
		file_told(mount, out.open.fh);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	file_close(mount_of(req), fi->fh);
	fuse_reply_err(req, 0);
}

int node_image(struct mount *mount, uint64_t id, int fd, struct image **image)
{
	struct node_opener opener = {mount, node_get(&mount->nodes, id)};
	struct image_request request;

	*image = image_find(&mount->images, id);
	if (*image || !opener.node || !sums_exist(mount->sums, fd))
		return 0;
	file_image_request(&opener, O_RDONLY, &request);
	return MIN(image_open(&mount->images, &request, image), 0);
}

int node_file(struct mount *mount, uint64_t node, bool writing, struct image **result)
{
	struct image *image = image_find(&mount->images, node);
	int fd, rc;

	if (image && writing && image->writable) {
		fd = fcntl(image->cached_fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			fd = -errno;
	} else {
		fd = node_open_id(&mount->nodes, node, O_WRONLY);
	}
	rc = fd >= 0 && !image ? node_image(mount, node, fd, &image) : 0;
	if (rc < 0) {
		close(fd);
		fd = rc;
	}
	if (fd < 0 && image) {
		image_close(&mount->images, image, false);
		image = NULL;
	}
	*result = image;
	return fd;
}

/* ===== space ===== */

static struct image *image_of(struct mount *mount, uint64_t fh)
{
	struct file *file = file_get(&mount->state, fh);

	return file ? image_at(&mount->images, file->image) : NULL;
}

/* Holds what a change of these bytes takes. */
static void hold_change(struct image *image, struct held_range *held, uint64_t from, uint64_t to)
{
	uint64_t start, end;
	bool wide;

	for (;;) {
		start = align_down(from, SLOT_PAGE);
		end = align_up(to, SLOT_PAGE);
		wide = sums_widen(image, &start, &end);
		range_hold(&image->ranges, held, start, end);
		if (wide || !image->sums)
			return;
		range_drop(&image->ranges, held); /* it has got checksums meanwhile */
	}
}

/* Its range is held. */
static int change_space(struct image *image, int mode, off_t offset, off_t length)
{
	bool zeroing = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
	int rc = zeroing ? sums_change(image, offset, offset + length, true) : sums_touch(image);

	if (rc < 0)
		return rc;
	rc = fallocate(image->cached_fd, mode, offset, length) < 0 ? -errno : 0;
	if (zeroing && rc == 0)
		sums_zeroed(image, offset, offset + length);
	else if (zeroing)
		sums_failed(image, offset, offset + length);
	return rc;
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
		  struct fuse_file_info *fi)
{
	struct image *image = image_of(mount_of(req), fi->fh);
	struct held_range held;
	int rc;

	(void)ino;
	if (!image) {
		fuse_reply_err(req, EBADF);
		return;
	}
	rc = fuse_req_ctx(req)->uid ? image_drop_privileges(image->cached_fd) : 0;
	if (rc == 0) {
		hold_change(image, &held, offset, offset + length);
		rc = change_space(image, mode, offset, length);
		range_drop(&image->ranges, &held);
	}
	/* ENOSYS would end fallocate for the whole mount. */
	fuse_reply_err(req, rc == -ENOSYS ? EOPNOTSUPP : -rc);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct image *image = image_of(mount_of(req), fi->fh);
	off_t at;

	(void)ino;
	if (!image) {
		fuse_reply_err(req, EBADF);
		return;
	}
	at = lseek(image->cached_fd, off, whence);
	if (at < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_lseek(req, at);
}

/* ===== copies ===== */

/* Shares the extents, whatever the length; only whole blocks can be shared. */
static int64_t clone_range(int in, uint64_t off_in, int out, uint64_t off_out, uint64_t length)
{
	struct file_clone_range range = {
		.src_fd = in,
		.src_offset = off_in,
		.src_length = length,
		.dest_offset = off_out,
	};

	return ioctl(out, FICLONERANGE, &range) < 0 ? -errno : (int64_t)length;
}

static int64_t copy_below(int in, uint64_t off_in, int out, uint64_t off_out, uint64_t length)
{
	int64_t n = clone_range(in, off_in, out, off_out, length);
	off_t from = off_in, to = off_out;

	if (n >= 0)
		return n;
	n = copy_file_range(in, &from, out, &to, MIN(length, DENSE_COPY_MAX), 0);
	/* EXDEV and the like make the caller copy by itself; ENOSYS would end it for the mount. */
	return n < 0 ? (errno == ENOSYS ? -EOPNOTSUPP : -errno) : n;
}

/* What is read and what is written is held, and nothing else: the guests go on. Two images are held
 * in one order, or two copies in opposite directions would wait for each other; within one image
 * both ranges are held as one, and so is all between them. */
struct copy {
	struct image *in, *out;
	uint64_t off_in, off_out, length;
	struct held_range held_in, held_out;
};

static void copy_hold(struct copy *c)
{
	if (c->in == c->out) {
		hold_change(c->in, &c->held_in, MIN(c->off_in, c->off_out),
			    MAX(c->off_in, c->off_out) + c->length);
		return;
	}
	if (c->in->index < c->out->index)
		hold_change(c->in, &c->held_in, c->off_in, c->off_in + c->length);
	hold_change(c->out, &c->held_out, c->off_out, c->off_out + c->length);
	if (c->in->index > c->out->index)
		hold_change(c->in, &c->held_in, c->off_in, c->off_in + c->length);
}

static void copy_drop(struct copy *c)
{
	range_drop(&c->in->ranges, &c->held_in);
	if (c->in != c->out)
		range_drop(&c->out->ranges, &c->held_out);
}

/* Where what is written has checksums: whole blocks only, whose sums come along; the kernel copies
 * the rest by reading and writing. -EOPNOTSUPP: all of it. */
static int trim_copy(struct copy *c)
{
	bool to_end = (int64_t)(c->off_in + c->length) == image_size(c->in) &&
		      (int64_t)(c->off_out + c->length) >= image_size(c->out);

	if (!c->out->sums)
		return 0;
	if ((c->off_in | c->off_out) & (SUM_BLOCK - 1))
		return -EOPNOTSUPP;
	if (!to_end)
		c->length = align_down(c->length, SUM_BLOCK);
	if (!c->in->sums && c->length > DENSE_COPY_MAX) /* they are computed */
		c->length = DENSE_COPY_MAX;
	return c->length ? 0 : -EOPNOTSUPP;
}

static int64_t copy_held(struct copy *c)
{
	int64_t n = sums_change(c->out, c->off_out, c->off_out + c->length, false);

	if (n < 0)
		return n;
	n = copy_below(c->in->cached_fd, c->off_in, c->out->cached_fd, c->off_out, c->length);
	if (n < 0)
		sums_failed(c->out, c->off_out, c->off_out + c->length);
	else
		sums_copied(c->out, c->off_out, c->in, c->off_in, c->length, n);
	return n;
}

/* Within or between open files for a caller with UID; bytes or -errno. */
static int64_t copy_range(struct mount *mount, uid_t uid, uint64_t fh_in, uint64_t off_in,
			  uint64_t fh_out, uint64_t off_out, uint64_t length)
{
	struct copy copy = {
		.in = image_of(mount, fh_in),
		.out = image_of(mount, fh_out),
		.off_in = off_in,
		.off_out = off_out,
	};
	int64_t size, n = 0;

	if (!copy.in || !copy.out)
		return -EBADF;
	if (uid)
		n = image_drop_privileges(copy.out->cached_fd);
	size = n < 0 ? n : image_size(copy.in);
	if (size < 0 || off_in >= (uint64_t)size)
		return MIN(size, 0);
	copy.length = MIN(length, size - off_in);
	copy_hold(&copy);
	n = trim_copy(&copy);
	if (n == 0)
		n = copy_held(&copy);
	copy_drop(&copy);
	return n;
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			struct fuse_file_info *fi_out, size_t len, int flags)
{
	/* This answer has 32 bits for the length; a block is never cut. */
	int64_t n = copy_range(mount_of(req), fuse_req_ctx(req)->uid, fi_in->fh, off_in, fi_out->fh,
			       off_out, MIN(len, 1u << 31));

	(void)ino_in;
	(void)ino_out;
	(void)flags;
	if (n < 0)
		fuse_reply_err(req, -n);
	else
		fuse_reply_write(req, n);
}

void raw_copy_file_range_64(struct mount *mount, const struct meta_message *message)
{
	const struct fuse_in_header *header = (const void *)message->bytes;
	const struct fuse_copy_file_range_in *in = (const void *)(header + 1);
	struct copy_file_range_out_64 out;
	int64_t n = -EINVAL;

	if (message->length >= sizeof(*header) + sizeof(*in))
		n = copy_range(mount, header->uid, in->fh_in, in->off_in, in->fh_out, in->off_out,
			       in->len);
	out.bytes_copied = n;
	raw_reply(message, n < 0 ? n : 0, &out, n < 0 ? 0 : sizeof(out));
}
