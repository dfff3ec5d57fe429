// SPDX-License-Identifier: GPL-2.0-or-later
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#include "policy/probe.h"
#include "policy/util.h"

#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE 0x80 /* Linux 6.14 */
#endif

/* Where the kernel does not drop what was read, it is dropped after so many bytes: pages that were
 * read along (the rest of a compressed extent) get their chance. */
#define READ_DROP (1u << 20)

/* How often EINTR and EAGAIN from below are tried again before they are passed on. */
#define RETRIES 16

/* ===== finishing and stepping ===== */

static void count(const struct io *io)
{
	struct counters *counters = &io->image->counters;

	if (io->result < 0)
		atomic_fetch_add_explicit(&counters->errors, 1, memory_order_relaxed);
	else
		count_request(&counters->kind[io->kind], io->result,
			      (io->lane->now - io->begun) / 1000);
}

static void finish(struct io *io, int result)
{
	io->result = result;
	sums_end(&io->sums);
	count(io);
	PROBE(request_done, io->kind, io->image->key, io->offset, io->result,
	      io->lane->now - io->begun);
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

	if (image->is_image) {
		sqe->fd = image_file(image, cached);
		sqe->flags |= IOSQE_FIXED_FILE;
	} else {
		sqe->fd = cached ? image->cached_fd : image->fd;
	}
}

/* Whether a result from below is no answer yet. A kernel or filesystem without RWF_DONTCACHE says
 * so at the first use. */
static bool transient(struct io *io, int res)
{
	if (res == -EOPNOTSUPP && io->image->traits->drop)
		io->image->lacks_dontcache = true;
	else if (res != -EINTR && res != -EAGAIN)
		return false;
	return io->retries++ < RETRIES;
}

static int dontcache(const struct io *io)
{
	return io->image->traits->drop && !io->image->lacks_dontcache ? RWF_DONTCACHE : 0;
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
	sqe->rw_flags = dontcache(io);
	on_file(io, sqe, false);
}

/* ===== the page cache ===== */

static void dropped(struct io *io, int res)
{
	(void)res;
	finish(io, io->result);
}

/* Finishes after the image's clean pages have left the page cache, and writeback of the others has
 * been started. RWF_DONTCACHE alone does not drop all: on ext4 what was written over stays. */
static void drop_and_finish(struct io *io, int result)
{
	struct io_uring_sqe *sqe = sqe_for(io, dropped);

	io->result = result;
	io_uring_prep_fadvise(sqe, 0, 0, 0, POSIX_FADV_DONTNEED);
	on_file(io, sqe, true);
}

/* ===== alignment ===== */

/* With checksums it takes whole blocks. */
static uint32_t align_of(const struct io *io)
{
	return io->image->sums ? SUM_BLOCK : io->image->align;
}

static bool aligned(const struct io *io)
{
	return ((io->offset | io->length) & (align_of(io) - 1)) == 0;
}

static void widen(struct io *io)
{
	uint32_t align = align_of(io);

	io->start = align_down(io->offset, align);
	io->span = align_up(io->offset + io->length, align) - io->start;
	io->progress = 0;
}

/* Where a transfer that came out short goes on: direct I/O cannot begin in the middle of a block.
 */
static uint32_t resume_at(const struct io *io, uint32_t progress)
{
	return align_down(progress, align_of(io));
}

/* ===== checksums (sums.h) ===== */

/* The io goes on in its own thread with what a thread that may sleep has found. */
static void go_on(struct io *io, void (*run)(struct lane_work *work))
{
	io->resume.run = run;
	lane_post(io->lane, &io->resume);
}

/* Asks for what the sums of START and SPAN need. False: NEXT will be called. */
static bool begin_sums(struct io *io, void (*ready)(struct sums_op *op))
{
	io->sums = (struct sums_op){
		.file = io->image->sums,
		.first = io->start / SUM_BLOCK,
		.blocks = io->span / SUM_BLOCK,
		.write = io->kind == IO_WRITE,
		.whole = io->start < io->offset,
		.whole_end = (io->offset + io->length) / SUM_BLOCK - io->start / SUM_BLOCK,
		.ready = ready,
	};
	return sums_begin(&io->sums);
}

static void looked_again(struct lane_work *work)
{
	struct io *io = container_of(work, struct io, resume);

	if (io->result < 0)
		finish(io, io->result);
	else
		io->checked(io);
}

/*
 * A block differs from its sum, and no write can have overtaken it: its range is held. Once more
 * from the device, and if it still does it is bad, which a read may be allowed to pass on. What
 * comes of it is in RESULT: 0, -errno.
 */
static void look_again(struct lane_work *work)
{
	struct io *io = container_of(work, struct io, resume);
	char again[SUM_BLOCK] __attribute__((aligned(SUM_BLOCK)));
	uint64_t offset = io->start + (uint64_t)io->doubtful * SUM_BLOCK;
	int rc = image_read_blocks(io->image, again, SUM_BLOCK, offset, true);

	if (rc == 0)
		memcpy(io->block, again, SUM_BLOCK);
	if (rc == 0 &&
	    sums_differ(&io->sums, again, io->doubtful, io->doubtful + 1) == io->doubtful) {
		sums_report(io->image, again, offset);
		if (io->kind == IO_WRITE ||
		    io->image->settings.value[SETTING_CHECKSUM_ERRORS] == CSUM_ERRORS_FAIL)
			rc = -EIO;
	}
	io->result = rc;
	go_on(io, looked_again);
}

/* A thread that may sleep does what the io's own may not. */
static void ask(struct io *io, void (*run)(struct lane_work *work))
{
	io->resume.run = run;
	sums_ask(io->image->sums, &io->resume);
}

/* DATA are the blocks FROM to END of those transferred: the first that differs is looked at again,
 * and false returned; if it may pass the io goes on with CHECKED. */
static bool verify(struct io *io, char *data, uint32_t from, uint32_t end,
		   void (*checked)(struct io *io))
{
	io->doubtful = sums_differ(&io->sums, data, from, end);
	if (io->doubtful == end)
		return true;
	io->block = data + (size_t)(io->doubtful - from) * SUM_BLOCK;
	io->checked = checked;
	ask(io, look_again);
	return false;
}

/* ===== read ===== */

static void read_more(struct io *io, int res);

static void submit_rest_of_read(struct io *io)
{
	submit_read(io, io->slot->payload + io->progress, io->span - io->progress,
		    io->start + io->progress, read_more);
}

static void deliver(struct io *io)
{
	uint32_t gap = io->offset - io->start;
	uint32_t have = io->progress > gap ? io->progress - gap : 0;

	have = MIN(have, io->length);
	io->data = io->slot->payload + gap;
	if (io->image->traits->drop && !dontcache(io) &&
	    atomic_fetch_add(&io->image->read_undropped, have) >= READ_DROP) {
		atomic_store(&io->image->read_undropped, 0);
		drop_and_finish(io, have);
	} else {
		finish(io, have);
	}
}

static void verify_rest(struct io *io);

/* A last block that is cut by the end of the file goes on with zeroes. */
static void verify_read(struct io *io, uint32_t from)
{
	uint32_t blocks = (io->progress + SUM_BLOCK - 1) / SUM_BLOCK;

	memset(io->slot->payload + io->progress, 0, blocks * SUM_BLOCK - io->progress);
	if (verify(io, io->slot->payload + (size_t)from * SUM_BLOCK, from, blocks, verify_rest))
		deliver(io);
}

static void verify_rest(struct io *io)
{
	verify_read(io, io->doubtful + 1);
}

static void finish_read(struct io *io)
{
	if (io->sums.begun)
		verify_read(io, 0);
	else
		deliver(io);
}

/* XFS fails a direct read with EIO that meets space reserved beyond the end of the file by an
 * earlier write through the page cache: once more, to the end. */
static bool reached_beyond(struct io *io, int res)
{
	int64_t size = image_size(io->image);
	uint64_t end = align_up(MAX(size, 0), align_of(io));

	if (res != -EIO || !io->image->traits->direct || io->start + io->progress >= end ||
	    io->start + io->span <= end)
		return false;
	io->span = end - io->start;
	return true;
}

static void read_more(struct io *io, int res)
{
	uint32_t progress, before = io->progress;
	int64_t size;

	if (res < 0) {
		if (transient(io, res) || reached_beyond(io, res))
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

static void resume_read(struct lane_work *work)
{
	submit_rest_of_read(container_of(work, struct io, resume));
}

static void read_ready(struct sums_op *op)
{
	go_on(container_of(op, struct io, sums), resume_read);
}

static void start_read(struct io *io)
{
	widen(io);
	if (!io->image->sums || begin_sums(io, read_ready))
		submit_rest_of_read(io);
}

/* ===== bounding dirty data ===== */

static void synced(struct io *io, int res)
{
	image_sync_end(io->image, res);
	dirty_synced(&io->image->dirty);
	if (io->image->traits->drop)
		drop_and_finish(io, io->length);
	else
		finish(io, io->length);
}

static void started(struct io *io, int res)
{
	image_sync_end(io->image, res);
	finish(io, io->length);
}

static void sync_all(struct io *io, unsigned flags, void (*step)(struct io *io, int res))
{
	struct io_uring_sqe *sqe = sqe_for(io, step);

	image_sync_begin(io->image);
	io_uring_prep_sync_file_range(sqe, 0, 0, 0, flags);
	on_file(io, sqe, true);
}

static void sync_and_wait(struct io *io)
{
	sync_all(io, SYNC_FILE_RANGE_WRITE_AND_WAIT, synced);
}

static void answer(struct lane_work *work)
{
	struct io *io = container_of(work, struct io, resume);

	finish(io, io->length);
}

static void sync_first(struct lane_work *work)
{
	sync_and_wait(container_of(work, struct io, resume));
}

static void waited(struct dirty_wait *wait, bool sync)
{
	struct io *io = container_of(wait, struct io, wait);

	io->resume.run = sync ? sync_first : answer;
	lane_post(io->lane, &io->resume);
}

/* All data is in the page cache: does its writer have to see to writeback before it is answered? */
static void bound_dirty(struct io *io)
{
	struct dirty_span pages = {align_down(io->offset, SLOT_PAGE),
				   align_up(io->offset + io->length, SLOT_PAGE)};

	io->wait.go_on = waited;
	switch (dirty_add(&io->image->dirty, pages, &io->wait)) {
	case DIRTY_GO_ON:
		finish(io, io->length);
		break;
	case DIRTY_START:
		if (io->image->traits->drop)
			drop_and_finish(io, io->length);
		else
			sync_all(io, SYNC_FILE_RANGE_WRITE, started);
		break;
	case DIRTY_SYNC:
		sync_and_wait(io);
		break;
	case DIRTY_WAIT:
		break;
	}
}

/* ===== write ===== */

static void write_more(struct io *io, int res);

static void submit_rest_of_write(struct io *io)
{
	struct io_uring_sqe *sqe = sqe_for(io, write_more);
	char *from = io->base + io->progress;
	uint32_t length = io->span - io->progress;
	uint64_t offset = io->start + io->progress;

	if (io->slot->buffer >= 0 && io->lane->buffers_registered)
		io_uring_prep_write_fixed(sqe, 0, from, length, offset, io->slot->buffer);
	else
		io_uring_prep_write(sqe, 0, from, length, offset);
	sqe->rw_flags = dontcache(io);
	if (io->through_cache || io->image->traits->dsync)
		sqe->rw_flags |= RWF_DSYNC;
	on_file(io, sqe, io->through_cache);
	/* The page cache would sync, or start writeback, right here, and a slow device would keep
	 * all images of the lane waiting. */
	if (sqe->rw_flags && (io->through_cache || !io->image->traits->direct))
		sqe->flags |= IOSQE_ASYNC;
}

static void write_settled(struct lane_work *work)
{
	struct io *io = container_of(work, struct io, resume);

	finish(io, io->result);
}

static void settle_write(struct lane_work *work)
{
	struct io *io = container_of(work, struct io, resume);

	sums_settle_failed(&io->sums, io->intent);
	go_on(io, write_settled);
}

/* What is there now nobody knows before it has been read. */
static void fail_write(struct io *io, int error)
{
	if (!io->sums.begun) {
		finish(io, error);
		return;
	}
	io->result = error;
	ask(io, settle_write);
}

static void write_more(struct io *io, int res)
{
	uint32_t before = io->progress;

	if (res < 0) {
		if (transient(io, res))
			submit_rest_of_write(io);
		else
			fail_write(io, res);
		return;
	}
	io->progress += res;
	if (io->progress < io->span) {
		if (!io->through_cache)
			io->progress = resume_at(io, io->progress);
		if (io->progress == before && io->retries++ >= RETRIES)
			fail_write(io, -EIO);
		else
			submit_rest_of_write(io);
		return;
	}
	sums_commit(&io->sums, io->intent);
	sums_end(&io->sums);
	if (io->image->dirty.limit)
		bound_dirty(io);
	else
		finish(io, io->length);
}

/* ===== read-modify-write: a write that does not fill its first or last block ===== */

/* The page before the payload held the request's headers, which are read by now. */
static char *scratch(const struct io *io)
{
	return io->slot->payload - SLOT_PAGE;
}

static void tail_read(struct io *io, int res);
static void head_read(struct io *io, int res);

/* Reads the old block at OFFSET of what is written. */
static void read_block(struct io *io, uint32_t offset, void (*step)(struct io *io, int res))
{
	submit_read(io, scratch(io), align_of(io), io->start + offset, step);
}

static bool beyond_end(const struct io *io, uint64_t offset)
{
	int64_t size = image_size(io->image);

	return size >= 0 && offset >= (uint64_t)size;
}

/* False: it has been tried again, or there is nothing to go on with. */
static bool have_block(struct io *io, int res, uint32_t offset,
		       void (*step)(struct io *io, int res))
{
	int align = align_of(io);

	if (res >= 0 && res < align && io->image->sums &&
	    beyond_end(io, io->start + offset + res)) {
		memset(scratch(io) + res, 0, align - res);
		return true;
	}
	if (res == align)
		return true;
	if (transient(io, res) || (res >= 0 && io->retries++ < RETRIES))
		read_block(io, offset, step);
	else
		finish(io, res < 0 ? res : -EIO);
	return false;
}

/* All blocks are whole. */
static void write_blocks(struct io *io)
{
	io->base = io->slot->payload;
	sums_intend(&io->sums, io->base, io->intent);
	submit_rest_of_write(io);
}

/* The partial last block of a file, not more of it than was given; with direct I/O through the page
 * cache and synchronously: it would have to make the file longer, and a crash before it is cut
 * again would leave it so. */
static void write_end(struct io *io)
{
	io->base = io->slot->payload;
	if (io->image->sums) {
		sums_intend(&io->sums, io->base, io->intent);
		io->base += io->offset - io->start;
	}
	io->start = io->offset;
	io->span = io->length;
	io->through_cache = io->image->traits->direct;
	submit_rest_of_write(io);
}

static void write_merged(struct io *io)
{
	if (beyond_end(io, io->start + io->span - 1))
		write_end(io);
	else
		write_blocks(io);
}

static void copy_tail(struct io *io)
{
	uint32_t align = align_of(io);
	uint32_t end = io->offset - io->start + io->length;

	memcpy(io->slot->payload + end, scratch(io) + end % align, align - end % align);
	write_merged(io);
}

static void tail_read(struct io *io, int res)
{
	uint32_t tail = align_down(io->offset - io->start + io->length, align_of(io));

	if (!have_block(io, res, tail, tail_read))
		return;
	if (verify(io, scratch(io), tail / SUM_BLOCK, tail / SUM_BLOCK + 1, copy_tail))
		copy_tail(io);
}

static void merge_tail(struct io *io)
{
	uint32_t align = align_of(io);
	uint32_t gap = io->offset - io->start, end = gap + io->length;

	if (end % align == 0) {
		write_merged(io);
	} else if (gap && io->span == align) {
		copy_tail(io); /* one block has both ends, and it is in the scratch */
	} else if (io->image->sums && beyond_end(io, io->start + align_down(end, align))) {
		memset(scratch(io), 0, align);
		copy_tail(io);
	} else {
		read_block(io, align_down(end, align), tail_read);
	}
}

static void merge_head(struct io *io)
{
	memcpy(io->slot->payload, scratch(io), io->offset - io->start);
	merge_tail(io);
}

static void head_read(struct io *io, int res)
{
	if (!have_block(io, res, 0, head_read))
		return;
	if (verify(io, scratch(io), 0, 1, merge_head))
		merge_head(io);
}

static void read_modify_write(struct io *io)
{
	uint32_t gap = io->offset - io->start;

	if (!gap) {
		merge_tail(io);
		return;
	}
	memmove(io->slot->payload + gap, io->slot->payload, io->length);
	read_block(io, 0, head_read);
}

static void start(struct io *io);

/* The page cache works in pages and folios: nobody else may write directly near by meanwhile. */
static void widen_lock(struct io *io)
{
	sums_end(&io->sums); /* without the range it means nothing */
	range_release(&io->image->ranges, &io->range);
	io->range.start = 0;
	io->range.end = UINT64_MAX;
	if (range_acquire(&io->image->ranges, &io->range))
		start(io);
}

static void write_data(struct io *io)
{
	bool direct = io->image->traits->direct;
	int64_t size;

	if (aligned(io)) {
		write_blocks(io);
		return;
	}
	size = image_size(io->image);
	if (size < 0)
		finish(io, size);
	else if (io->start + io->span <= (uint64_t)size)
		read_modify_write(io);
	else if (direct && io->range.end != UINT64_MAX)
		widen_lock(io);
	else if (io->image->sums)
		read_modify_write(io);
	else
		write_end(io);
}

/* ===== zeroes ===== */

static bool all_zero(const char *data, size_t length)
{
	const uint64_t *first = (const uint64_t *)data;
	const uint64_t *last = (const uint64_t *)(data + length) - 1;

	return !*first && !*last && !memcmp(data, data + sizeof(*first), length - sizeof(*first));
}

/* Whether a hole, or unwritten space, says the same. Only whole pages inside the file: the rest the
 * kernel would have to write. */
static bool is_zeroes(const struct io *io)
{
	return io->image->settings.value[SETTING_DETECT_ZEROES] != ZEROES_OFF &&
	       !io->image->lacks_zeroing && io->length &&
	       ((io->offset | io->length) & (SLOT_PAGE - 1)) == 0 &&
	       all_zero(io->slot->payload, io->length) &&
	       (int64_t)(io->offset + io->length) <= image_size(io->image);
}

static void zeroes_synced(struct io *io, int res)
{
	finish(io, res < 0 ? res : (int)io->length);
}

static void zeroed(struct io *io, int res)
{
	struct io_uring_sqe *sqe;

	if (res < 0) {
		if (res == -EOPNOTSUPP)
			io->image->lacks_zeroing = true;
		write_data(io);
		return;
	}
	sums_commit(&io->sums, io->intent);
	if (io->image->traits->dsync) {
		sqe = sqe_for(io, zeroes_synced);
		io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
		on_file(io, sqe, true);
	} else {
		finish(io, io->length);
	}
}

static void write_zeroes(struct io *io)
{
	bool unmap = io->image->settings.value[SETTING_DETECT_ZEROES] == ZEROES_UNMAP;
	int mode = unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
	struct io_uring_sqe *sqe = sqe_for(io, zeroed);

	sums_intend(&io->sums, io->slot->payload, io->intent);
	io_uring_prep_fallocate(sqe, 0, mode | FALLOC_FL_KEEP_SIZE, io->offset, io->length);
	on_file(io, sqe, true);
}

static void write_prepared(struct io *io)
{
	if (io->image->sums && io->sums.error)
		finish(io, io->sums.error);
	else if (is_zeroes(io))
		write_zeroes(io);
	else
		write_data(io);
}

static void resume_write(struct lane_work *work)
{
	write_prepared(container_of(work, struct io, resume));
}

static void write_ready(struct sums_op *op)
{
	go_on(container_of(op, struct io, sums), resume_write);
}

static void start_write(struct io *io)
{
	widen(io);
	io->through_cache = false;
	if (io->image->sums && io->offset + io->length > SUMS_BYTES_MAX)
		finish(io, -EFBIG);
	else if (!io->image->sums || begin_sums(io, write_ready))
		write_prepared(io);
}

/* ===== fsync ===== */

static void witness_heard(struct io *io, int res)
{
	struct image *image = io->image;

	if (res < 0)
		image_remember_error(image, res);
	/* One has said it all: what another may have said to somebody who died, too. */
	atomic_store(&image->record->witness_busy, 0);
	atomic_store(&image->record->unheard, 0);
	image->witness_due = false;
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
		/* Nobody knows any more what they said. */
		witness_heard(io, -EIO);
		return;
	}
	atomic_fetch_or(&image->record->witness_busy, 1u << io->witness);
	sqe = sqe_for(io, witness_heard);
	io_uring_prep_fsync(sqe, image->witness[io->witness], 0);
}

static void fsynced(struct io *io, int res)
{
	if (res == 0)
		dirty_cleaned(&io->image->dirty, io->mark);
	image_sync_end(io->image, res);
	if (io->image->witness_due && io->range.exclusive)
		hear_witness(io);
	else if (io->image->traits->drop)
		drop_and_finish(io, res);
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
	io->mark = dirty_mark(&io->image->dirty);
	image_sync_begin(io->image);
	sqe = sqe_for(io, fsynced);
	io_uring_prep_fsync(sqe, 0, io->datasync ? IORING_FSYNC_DATASYNC : 0);
	/* One descriptor hears of all errors, whatever the mode is by now. */
	on_file(io, sqe, true);
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
	go_on(container_of(range, struct io, range), resume);
}

/* An FSYNC conflicts with nothing but who holds the whole image. */
#define FSYNC_RANGE (UINT64_MAX - 2)

void io_start(struct io *io)
{
	bool fsync = io->kind == IO_FSYNC;

	io->retries = 0;
	io->begun = io->lane->now;
	PROBE(request_start, io->kind, io->image->key, io->offset, io->length);
	/* Whole pages, whatever the image's alignment is: it may be another one when the range is
	 * granted. */
	io->range = (struct range){
		.start = fsync ? FSYNC_RANGE : align_down(io->offset, IMAGE_ALIGN_MAX),
		.end = fsync ? FSYNC_RANGE + 1 : align_up(io->offset + io->length, IMAGE_ALIGN_MAX),
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
