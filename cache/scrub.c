// SPDX-License-Identifier: GPL-2.0-or-later
#include "scrub.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "policy/util.h"
#include "sums.h"

#define BLOCK IMAGE_ALIGN_MAX
#define CHUNK_BLOCKS (SCRUB_CHUNK / BLOCK)

/* Whoever asks wants to show progress, and may be interrupted. */
#define STEP_TIME 250000000ull /* ns */

/* As long as there are requests, a thread pauses for so many times as long as it has read. */
#define PAUSES 3

/* The step that several threads are at. */
struct scrub {
	const struct image_table *table;
	struct image *image;
	struct scrub_step *step;
	int fd;
	bool direct;
	uint64_t deadline;

	pthread_mutex_t lock; /* of what follows, and of the step */
	uint64_t work_end;    /* from step->position to here there is something to read */
	bool hole;	      /* but no data */
	int error;	      /* that ends the step */
	bool stop;
};

struct chunk {
	char *data;
	uint64_t offset;
	uint32_t length; /* whole blocks */
	bool unreadable[CHUNK_BLOCKS], wrong[CHUNK_BLOCKS];
};

/* Nanoseconds, as lanes count them. */
static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* ===== what there is to read ===== */

/* Where the next data begin at or after AT, and where they end; whole blocks. False: there are
 * none.
 */
static bool find_data(const struct scrub *s, uint64_t at, uint64_t *start, uint64_t *end)
{
	off_t data = lseek(s->fd, at, SEEK_DATA), hole = -1;

	if (data < 0 && errno == ENXIO)
		return false;
	if (data >= 0)
		hole = lseek(s->fd, data, SEEK_HOLE);
	else /* it knows no holes, or cannot read where they are */
		data = at;
	*start = align_down(data, BLOCK);
	*end = align_up(hole < 0 ? s->step->size : (uint64_t)hole, BLOCK);
	*end = MAX(*end, *start + BLOCK); /* a hole may have been punched just now */
	return true;
}

/* The same for what is to be read: also where there are no data, but checksums say that there were.
 */
static bool find_work(struct scrub *s, uint64_t at, uint64_t *start, uint64_t *end)
{
	bool found = find_data(s, at, start, end);
	int64_t sums = s->step->summed ? sums_seek(s->image, at) : -ENXIO;

	s->hole = sums >= 0 && sums < (int64_t)s->step->size && (!found || (uint64_t)sums < *start);
	if (!s->hole)
		return found;
	*end = MIN(found ? *start : UINT64_MAX, align_down(sums, SCRUB_CHUNK) + SCRUB_CHUNK);
	*start = align_down(sums, BLOCK);
	return true;
}

/* The next piece of the image that is to be read. False: the step is over. */
static bool next_chunk(struct scrub *s, struct chunk *chunk)
{
	struct scrub_step *step = s->step;
	uint64_t start;
	bool more;

	pthread_mutex_lock(&s->lock);
	more = !s->stop && step->read < step->length && step->position < step->size &&
	       step->nbad <= BAD_RANGES - SCRUB_THREADS * CHUNK_BLOCKS && now() < s->deadline;
	if (more && step->position >= s->work_end) {
		more = find_work(s, step->position, &start, &s->work_end);
		step->position = more ? MAX(step->position, start) : step->size;
	}
	if (more) {
		chunk->offset = step->position;
		chunk->length = MIN(s->work_end - step->position,
				    SCRUB_CHUNK - step->position % SCRUB_CHUNK);
		step->position += chunk->length;
		step->read += s->hole ? 0 : chunk->length;
	}
	pthread_mutex_unlock(&s->lock);
	return more;
}

/* ===== what is wrong with it ===== */

static void add_range(struct scrub_step *step, uint64_t offset, uint64_t length,
		      enum bad_reason reason)
{
	struct bad_range *last = step->nbad ? &step->bad[step->nbad - 1] : NULL;

	if (last && last->reason == reason && last->offset + last->length == offset)
		last->length += length;
	else
		step->bad[step->nbad++] = (struct bad_range){offset, length, reason};
}

static void add_bad_blocks(struct scrub *s, const struct chunk *chunk, const bool *bad,
			   enum bad_reason reason)
{
	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < chunk->length / BLOCK; i++)
		if (bad[i])
			add_range(s->step, chunk->offset + i * BLOCK, BLOCK, reason);
	pthread_mutex_unlock(&s->lock);
}

static void fail(struct scrub *s, int error)
{
	pthread_mutex_lock(&s->lock);
	s->error = error;
	s->stop = true;
	pthread_mutex_unlock(&s->lock);
}

/* ===== reading ===== */

/* What no device says. */
static bool is_ours(int error)
{
	return error == -ENOMEM || error == -EBADF || error == -EINVAL || error == -EFAULT;
}

/* What lies beyond the end of the file reads as zeroes. -errno. */
static int read_at(const struct scrub *s, char *data, uint32_t length, uint64_t offset)
{
	uint32_t done = 0;

	while (done < length) {
		ssize_t n = pread(s->fd, data + done, length - done, offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += n;
		if (s->direct &&
		    done % BLOCK) /* direct I/O ends in the middle of a block only there */
			break;
	}
	memset(data + done, 0, length - done);
	return 0;
}

static void read_block(struct scrub *s, struct chunk *chunk, unsigned i)
{
	int rc = read_at(s, chunk->data + i * BLOCK, BLOCK, chunk->offset + i * BLOCK);

	chunk->unreadable[i] = rc < 0;
	if (is_ours(rc))
		fail(s, rc);
}

/* Something in the chunk cannot be read: which blocks? */
static void read_blocks(struct scrub *s, struct chunk *chunk)
{
	for (unsigned i = 0; i < chunk->length / BLOCK; i++)
		read_block(s, chunk, i);
	/* Bad places take their time. */
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_mutex_unlock(&s->lock);
}

/* ===== comparing ===== */

/* Block I of the chunk differed. With no write under way: does it still? */
static void compare_again(struct scrub *s, struct chunk *chunk, unsigned i)
{
	uint64_t at = chunk->offset + i * BLOCK, bad = 0;
	const char *block = chunk->data + i * BLOCK;
	struct held_range held;

	range_hold(&s->image->ranges, &held, at, at + BLOCK);
	read_block(s, chunk, i);
	if (!chunk->unreadable[i] && sums_compare(s->image, block, at, BLOCK, &bad) > 0) {
		chunk->wrong[i] = true;
		sums_report(s->image, block, at);
	}
	range_drop(&s->image->ranges, &held);
}

static void compare(struct scrub *s, struct chunk *chunk)
{
	uint64_t bad[CHUNK_BLOCKS / 64] = {0};
	int n = sums_compare(s->image, chunk->data, chunk->offset, chunk->length, bad);

	if (n < 0)
		fail(s, n);
	for (unsigned i = 0; n > 0 && i < chunk->length / BLOCK; i++)
		if (bad[i / 64] >> i % 64 & 1 && !chunk->unreadable[i])
			compare_again(s, chunk, i);
}

static void scrub_chunk(struct scrub *s, struct chunk *chunk)
{
	int rc;

	memset(chunk->unreadable, 0, sizeof(chunk->unreadable));
	memset(chunk->wrong, 0, sizeof(chunk->wrong));
	/* First, so that reading meets errors of reading only: those of writing belong to whoever
	 * syncs next. */
	image_write_out(s->image, chunk->offset, chunk->length);
	rc = read_at(s, chunk->data, chunk->length, chunk->offset);
	if (is_ours(rc))
		fail(s, rc);
	else if (rc < 0)
		read_blocks(s, chunk);
	if (s->step->summed && !is_ours(rc))
		compare(s, chunk);
	add_bad_blocks(s, chunk, chunk->unreadable, BAD_DEVICE);
	add_bad_blocks(s, chunk, chunk->wrong, BAD_CHECKSUM);
	if (!s->direct)
		posix_fadvise(s->fd, chunk->offset, chunk->length, POSIX_FADV_DONTNEED);
}

/* ===== threads ===== */

/* Whether there was a request since THEN. Not all disks heed priorities. */
static bool guests_active(const struct scrub *s, uint64_t then)
{
	for (unsigned i = 0; i < s->table->nlanes; i++)
		if (atomic_load(&s->table->lanes[i].now) > then)
			return true;
	return false;
}

static void stand_back(const struct scrub *s, uint64_t since)
{
	uint64_t pause = (now() - since) * PAUSES;
	struct timespec ts = {pause / 1000000000, pause % 1000000000};

	if (guests_active(s, since))
		nanosleep(&ts, NULL);
}

static void *work(void *arg)
{
	struct scrub *s = arg;
	struct chunk chunk;

	/* This thread only. */
	setpriority(PRIO_PROCESS, 0, 19);
	syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
	chunk.data = aligned_alloc(BLOCK, SCRUB_CHUNK);
	if (!chunk.data)
		fail(s, -ENOMEM);
	while (next_chunk(s, &chunk)) {
		uint64_t began = now();

		scrub_chunk(s, &chunk);
		stand_back(s, began);
	}
	free(chunk.data);
	return NULL;
}

static int by_offset(const void *a, const void *b)
{
	const struct bad_range *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Each thread has added what it found in the order in which it did. */
static void sort(struct scrub_step *step)
{
	unsigned n = step->nbad;

	qsort(step->bad, n, sizeof(step->bad[0]), by_offset);
	step->nbad = 0;
	for (unsigned i = 0; i < n; i++)
		add_range(step, step->bad[i].offset, step->bad[i].length, step->bad[i].reason);
}

int scrub_do(const struct image_table *table, struct image *image, int fd, bool direct,
	     struct scrub_step *step)
{
	struct scrub s = {
		.table = table,
		.image = image,
		.step = step,
		.fd = fd,
		.direct = direct,
		.deadline = now() + STEP_TIME,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	pthread_t threads[SCRUB_THREADS];
	unsigned n = 0;
	int64_t size = image_size(image);
	struct sums_state sums;

	if (size < 0)
		return size;
	sums_state(image, &sums);
	step->size = size;
	step->position = align_down(step->position, BLOCK);
	step->read = step->nbad = 0;
	step->summed = sums.phase != SUMS_NONE;
	while (n < SCRUB_THREADS && !pthread_create(&threads[n], NULL, work, &s))
		n++;
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	sort(step);
	return n ? s.error : -EAGAIN;
}
