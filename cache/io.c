// SPDX-License-Identifier: GPL-2.0-or-later
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#include "policy/util.h"

/* How often EINTR and EAGAIN from below are tried again before they are passed on. */
#define RETRIES 16

/* ===== finishing and stepping ===== */

static void finish(struct io *io, int result)
{
	io->result = result;
	if (result < 0)
		atomic_fetch_add_explicit(&io->image->errors, 1, memory_order_relaxed);
	range_release(&io->image->ranges, &io->range);
	io->done(io);
}

static void complete(struct lane_op *op, int res)
{
	struct io *io = container_of(op, struct io, op);

	io->step(io, res);
}

static struct io_uring_sqe *sqe_for(struct io *io, void (*step)(struct io *io, int res))
{
	io->step = step;
	io->op.complete = complete;
	return lane_sqe(io->lane, &io->op);
}

/* Points SQE to the image's descriptor; called after io_uring_prep_*. */
static void on_file(const struct io *io, struct io_uring_sqe *sqe, bool cached)
{
	const struct image *image = io->image;

	if (image->fixed) {
		sqe->fd = image_file(image, cached);
		sqe->flags |= IOSQE_FIXED_FILE;
	} else {
		sqe->fd = cached ? image->cached_fd : image->fd;
	}
}

static bool transient(struct io *io, int res)
{
	return (res == -EINTR || res == -EAGAIN) && io->retries++ < RETRIES;
}

/* Reads LENGTH bytes of the image at OFFSET to INTO, which lies in the slot. */
static void submit_read(struct io *io, char *into, uint32_t length, uint64_t offset,
			void (*step)(struct io *io, int res))
{
	struct io_uring_sqe *sqe = sqe_for(io, step);

	if (io->slot->buffer >= 0 && io->lane->buffers_registered)
		io_uring_prep_read_fixed(sqe, 0, into, length, offset, io->slot->buffer);
	else
		io_uring_prep_read(sqe, 0, into, length, offset);
	on_file(io, sqe, false);
}

/* ===== alignment ===== */

static bool aligned(const struct io *io)
{
	return ((io->offset | io->length) & (io->image->align - 1)) == 0;
}

static void widen(struct io *io)
{
	uint32_t align = io->image->align;

	io->start = align_down(io->offset, align);
	io->span = align_up(io->offset + io->length, align) - io->start;
	io->progress = 0;
}

/* Where a transfer that came out short goes on: direct I/O cannot begin in the middle of a block.
 */
static uint32_t resume_at(const struct io *io, uint32_t progress)
{
	return align_down(progress, io->image->align);
}

/* ===== read ===== */

static void read_more(struct io *io, int res);

static void submit_rest_of_read(struct io *io)
{
	submit_read(io, io->slot->payload + io->progress, io->span - io->progress,
		    io->start + io->progress, read_more);
}

static void finish_read(struct io *io)
{
	uint32_t gap = io->offset - io->start;
	uint32_t have = io->progress > gap ? io->progress - gap : 0;

	io->data = io->slot->payload + gap;
	finish(io, MIN(have, io->length));
}

static void read_more(struct io *io, int res)
{
	uint32_t progress, before = io->progress;
	int64_t size;

	if (res < 0) {
		if (transient(io, res))
			submit_rest_of_read(io);
		else
			finish(io, res);
		return;
	}
	progress = io->progress + res;
	if (progress == io->span) {
		io->progress = progress;
		finish_read(io);
		return;
	}
	/* Short. Only the end of the file excuses that. */
	size = image_size(io->image);
	if (size < 0) {
		finish(io, size);
	} else if (io->start + progress >= (uint64_t)size) {
		io->progress = progress;
		finish_read(io);
	} else {
		io->progress = resume_at(io, progress);
		if (io->progress == before && io->retries++ >= RETRIES)
			finish(io, -EIO);
		else
			submit_rest_of_read(io);
	}
}

static void start_read(struct io *io)
{
	widen(io);
	submit_rest_of_read(io);
}

/* ===== bounding dirty data ===== */

static void synced(struct io *io, int res)
{
	if (res < 0) {
		/* This consumed the error of somebody's earlier write: all openers must hear of it.
		 */
		image_remember_error(io->image, res);
	} else {
		dirty_waited(&io->image->dirty, io->unwaited);
	}
	finish(io, io->length);
}

static void dropped(struct io *io, int res)
{
	(void)res;
	finish(io, io->length);
}

static void drop_cache(struct io *io, int res)
{
	struct io_uring_sqe *sqe;

	if (res < 0 || !io->image->traits->drop) {
		synced(io, res);
		return;
	}
	dirty_waited(&io->image->dirty, io->unwaited);
	sqe = sqe_for(io, dropped);
	io_uring_prep_fadvise(sqe, 0, 0, 0, POSIX_FADV_DONTNEED);
	on_file(io, sqe, true);
}

static void sync_range(struct io *io, unsigned flags, void (*step)(struct io *io, int res))
{
	struct io_uring_sqe *sqe = sqe_for(io, step);

	io_uring_prep_sync_file_range(sqe, 0, 0, 0, flags);
	on_file(io, sqe, true);
}

/* All data is in the page cache: does its writer have to see to writeback before it is answered? */
static void bound_dirty(struct io *io)
{
	struct dirty *dirty = &io->image->dirty;

	switch (dirty_add(dirty, io->length)) {
	case DIRTY_GO_ON:
		finish(io, io->length);
		break;
	case DIRTY_START:
		io->unwaited = 0;
		sync_range(io, SYNC_FILE_RANGE_WRITE, synced);
		break;
	case DIRTY_WAIT:
		io->unwaited = atomic_load(&dirty->unwaited);
		sync_range(io,
			   SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
				   SYNC_FILE_RANGE_WAIT_AFTER,
			   drop_cache);
		break;
	}
}

/* ===== write ===== */

static void write_more(struct io *io, int res);

static void submit_rest_of_write(struct io *io)
{
	struct io_uring_sqe *sqe = sqe_for(io, write_more);
	char *from = io->slot->payload + io->progress;
	uint32_t length = io->span - io->progress;
	uint64_t offset = io->start + io->progress;

	if (io->slot->buffer >= 0 && io->lane->buffers_registered)
		io_uring_prep_write_fixed(sqe, 0, from, length, offset, io->slot->buffer);
	else
		io_uring_prep_write(sqe, 0, from, length, offset);
	if (io->through_cache || io->image->traits->dsync)
		sqe->rw_flags = RWF_DSYNC;
	on_file(io, sqe, io->through_cache);
}

static void write_more(struct io *io, int res)
{
	uint32_t before = io->progress;

	if (res < 0) {
		if (transient(io, res))
			submit_rest_of_write(io);
		else
			finish(io, res);
		return;
	}
	io->progress += res;
	if (io->progress < io->span) {
		if (!io->through_cache)
			io->progress = resume_at(io, io->progress);
		if (io->progress == before && io->retries++ >= RETRIES)
			finish(io, -EIO);
		else
			submit_rest_of_write(io);
	} else if (io->image->dirty.limit) {
		bound_dirty(io);
	} else {
		finish(io, io->length);
	}
}

/* ===== read-modify-write: a write that does not fill its first or last block ===== */

/* The page before the payload held the request's headers, which are read by now. */
static char *scratch(const struct io *io)
{
	return io->slot->payload - SLOT_PAGE;
}

static void tail_read(struct io *io, int res)
{
	uint32_t align = io->image->align;
	uint32_t gap = io->offset - io->start, end = gap + io->length;

	if (res != (int)align) {
		finish(io, res < 0 ? res : -EIO);
		return;
	}
	memcpy(io->slot->payload + end, scratch(io) + end % align, align - end % align);
	submit_rest_of_write(io);
}

static void head_read(struct io *io, int res)
{
	uint32_t align = io->image->align;
	uint32_t gap = io->offset - io->start, end = gap + io->length;
	bool tail = end % align != 0;

	if (gap) {
		if (res != (int)align) {
			finish(io, res < 0 ? res : -EIO);
			return;
		}
		memcpy(io->slot->payload, scratch(io), gap);
	}
	if (!tail)
		submit_rest_of_write(io);
	else if (gap && io->span == align)
		tail_read(io, align); /* one block has both ends, and it is in the scratch */
	else
		submit_read(io, scratch(io), align, io->start + align_down(end, align), tail_read);
}

static void read_modify_write(struct io *io)
{
	uint32_t gap = io->offset - io->start;

	if (!gap) {
		head_read(io, 0);
		return;
	}
	memmove(io->slot->payload + gap, io->slot->payload, io->length);
	submit_read(io, scratch(io), io->image->align, io->start, head_read);
}

/* Through the page cache and synchronously: the partial last block of a file. Direct I/O would have
 * to make the file longer, and a crash before it is cut again would leave it so. */
static void write_through_cache(struct io *io)
{
	io->start = io->offset;
	io->span = io->length;
	io->through_cache = true;
	submit_rest_of_write(io);
}

static void start(struct io *io);

/* The page cache works in pages and folios: nobody else may write directly near by meanwhile. */
static void widen_lock(struct io *io)
{
	range_release(&io->image->ranges, &io->range);
	io->range.start = 0;
	io->range.end = UINT64_MAX;
	if (range_acquire(&io->image->ranges, &io->range))
		start(io);
}

static void start_write(struct io *io)
{
	int64_t size;

	widen(io);
	io->through_cache = false;
	if (aligned(io)) {
		submit_rest_of_write(io);
		return;
	}
	size = image_size(io->image);
	if (size < 0)
		finish(io, size);
	else if (io->start + io->span <= (uint64_t)size)
		read_modify_write(io);
	else if (io->range.end != UINT64_MAX)
		widen_lock(io);
	else
		write_through_cache(io);
}

/* ===== fsync ===== */

static void witness_heard(struct io *io, int res)
{
	struct image *image = io->image;

	if (res < 0)
		image_remember_error(image, res);
	atomic_fetch_and(&image->record->witness_busy, ~(1u << io->witness));
	image->witness_due = false;
	finish(io, 0);
}

/* Both witnesses were being heard when somebody died: nobody knows any more what they said. */
static void witnesses_lost(struct io *io)
{
	image_remember_error(io->image, -EIO);
	atomic_store(&io->image->record->witness_busy, 0);
	io->image->witness_due = false;
	finish(io, 0);
}

/* The first FSYNC after a take-over: what a predecessor may have been told and died with. The whole
 * image is held, so no other FSYNC is answered before this is known. */
static void hear_witness(struct io *io)
{
	struct image *image = io->image;
	uint32_t busy = atomic_load(&image->record->witness_busy);
	struct io_uring_sqe *sqe;

	io->witness = busy & 1 ? 1 : 0;
	if (busy == 3 || image->witness[io->witness] < 0) {
		witnesses_lost(io);
		return;
	}
	atomic_fetch_or(&image->record->witness_busy, 1u << io->witness);
	sqe = sqe_for(io, witness_heard);
	io_uring_prep_fsync(sqe, image->witness[io->witness], 0);
}

static void fsynced(struct io *io, int res)
{
	if (res == 0 && io->image->witness_due && io->range.end == UINT64_MAX)
		hear_witness(io);
	else
		finish(io, res);
}

static void start_fsync(struct io *io)
{
	struct io_uring_sqe *sqe;

	if (!io->image->traits->flush) {
		finish(io, 0);
		return;
	}
	sqe = sqe_for(io, fsynced);
	io_uring_prep_fsync(sqe, 0, io->datasync ? IORING_FSYNC_DATASYNC : 0);
	on_file(io, sqe, false);
}

/* ===== starting ===== */

static void start(struct io *io)
{
	switch (io->kind) {
	case IO_READ:
		start_read(io);
		break;
	case IO_WRITE:
		start_write(io);
		break;
	case IO_FSYNC:
		start_fsync(io);
		break;
	}
}

static void resume(struct lane_work *work)
{
	start(container_of(work, struct io, resume));
}

static void granted(struct range *range)
{
	struct io *io = container_of(range, struct io, range);

	lane_post(io->lane, &io->resume);
}

void io_start(struct io *io)
{
	uint32_t align = io->image->align;

	io->retries = 0;
	io->resume.run = resume;
	io->range = (struct range){
		.start = align_down(io->offset, align),
		.end = align_up(io->offset + io->length, align),
		.exclusive = io->kind == IO_WRITE,
		.on_grant = granted,
	};
	if (io->kind == IO_FSYNC && io->image->witness_due) {
		io->range.start = 0;
		io->range.end = UINT64_MAX;
		io->range.exclusive = true;
	}
	if (range_acquire(&io->image->ranges, &io->range))
		start(io);
}
