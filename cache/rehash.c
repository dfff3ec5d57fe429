// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The thread that reads images: hashes regions whose sums mean nothing (a build and the recovery
 * from a crash are the same thing), looks at those in doubt, looks again at blocks that seem bad,
 * and syncs images whose regions have been idle, so that they are clean again.
 *
 * It takes its time: half of it, at most, while guests want the disk, too.
 */
#include <errno.h>
#include <string.h>

#include "policy/log.h"
#include "policy/util.h"
#include "sumfile.h"

#define CHUNK (REGION_BYTES / 4)
#define TELL_SECONDS 10
#define RETRY_SECONDS 60 /* where something could not be read */

/* A region is clean between one and two of these after its last write. */
#define ROUND_SECONDS 4.0

/* Between two sidecars of which it is asked whether their files are gone. */
#define SWEEP_SECONDS 0.002

static double since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - then->tv_sec + (now.tv_nsec - then->tv_nsec) / 1e9;
}

/* ===== hashing ===== */

/* A listed block stays listed, with the sum that it had, unless it is right again. */
static void hash_block(struct sum_page *page, unsigned block, uint64_t sum)
{
	if (!is_listed(page, block))
		store_sum(page, block, sum);
	else if (load_sum(page, block) == sum)
		__atomic_fetch_and(&page->bad[block / 64], ~(1ull << block % 64), __ATOMIC_SEQ_CST);
}

/* Its range is held. */
static int hash_region(struct sum_file *file, uint64_t region, char *data)
{
	struct sums *sums = file->sums;
	struct waiting_op w;
	int rc = 0;

	sums_begin_waiting(&w, file, region * REGION_BLOCKS, REGION_BLOCKS, true);
	if (!w.op.begun || w.op.frame[0] < 0)
		rc = -EAGAIN;
	for (unsigned at = 0; at < REGION_BYTES && rc == 0; at += CHUNK) {
		rc = image_read_blocks(file->image, data, CHUNK, region * REGION_BYTES + at, false);
		for (unsigned i = 0; i < CHUNK / SUM_BLOCK && rc == 0; i++)
			hash_block(&sums->pages[w.op.frame[0]], at / SUM_BLOCK + i,
				   sum_of(data + i * SUM_BLOCK));
	}
	if (w.op.begun && w.op.frame[0] >= 0)
		atomic_fetch_add(&sums->frames[w.op.frame[0]].changes, 1);
	sums_end(&w.op);
	if (rc == 0)
		sumsd_hashed(file, region);
	return rc;
}

/* An fsync had failed in it. */
static int check_region(struct sum_file *file, uint64_t region, char *data)
{
	uint64_t bad[CHUNK / SUM_BLOCK / 64 + 1];
	int rc = 0;

	for (unsigned at = 0; at < REGION_BYTES && rc >= 0; at += CHUNK) {
		uint64_t offset = region * REGION_BYTES + at;

		memset(bad, 0, sizeof(bad));
		rc = image_read_blocks(file->image, data, CHUNK, offset, true);
		if (rc == 0)
			rc = sums_compare(file->image, data, offset, CHUNK, bad);
		for (unsigned i = 0; i < CHUNK / SUM_BLOCK && rc > 0; i++)
			if (bad[i / 64] >> i % 64 & 1)
				sums_report(file->image, data + i * SUM_BLOCK,
					    offset + i * SUM_BLOCK);
	}
	if (rc >= 0)
		sumsd_hashed(file, region);
	return MIN(rc, 0);
}

static bool is_due(const struct sum_file *file, uint64_t region)
{
	uint32_t word = atomic_load(&file->word[region]);

	return (state_of(word) == REGION_UNHASHED && !(word & WORD_FLUX)) ||
	       (state_of(word) == REGION_DOUBT && atomic_load(&file->doubtful));
}

/* Where the file goes on; false: there is nothing. */
static bool next_due(struct sum_file *file, uint64_t *region)
{
	uint64_t regions = sidecar_regions(&file->sidecar);

	for (int wrapped = 0; wrapped < 2; wrapped++) {
		uint64_t r = sumsd_next_unclean(file, file->cursor);

		while (r < regions && !is_due(file, r))
			r = sumsd_next_unclean(file, r + 1);
		if (r < regions) {
			*region = r;
			file->cursor = r + 1;
			return true;
		}
		file->cursor = 0;
	}
	return false;
}

static void tell(struct sum_file *file)
{
	uint64_t left = atomic_load(&file->unhashed);
	char path[PATH_MAX];

	file->to_hash = MAX(file->to_hash, left + 1);
	if (left && since(&file->told) < TELL_SECONDS)
		return;
	clock_gettime(CLOCK_MONOTONIC, &file->told);
	if (left)
		log_info("%s: checksums: %lu of %lu MiB computed", name_of(file, path),
			 (unsigned long)((file->to_hash - left) * REGION_BYTES >> 20),
			 (unsigned long)(file->to_hash * REGION_BYTES >> 20));
	else
		log_info("%s: checksums are complete after %.1f s", name_of(file, path),
			 since(&file->started));
}

static void do_region(struct sum_file *file, uint64_t region, char *data)
{
	struct image *image = file->image;
	struct held_range held;
	char path[PATH_MAX];
	bool doubtful;
	int rc = -EAGAIN;

	range_share(&image->ranges, &held, region * REGION_BYTES, (region + 1) * REGION_BYTES);
	doubtful = state_of(atomic_load(&file->word[region])) == REGION_DOUBT;
	if (is_due(file, region) && !atomic_load(&file->leaving))
		rc = doubtful ? check_region(file, region, data) : hash_region(file, region, data);
	range_drop(&image->ranges, &held);
	if (rc < 0 && rc != -EAGAIN) {
		log_err("%s: region at %lu cannot be hashed: %s", name_of(file, path),
			(unsigned long)(region * REGION_BYTES), strerror(-rc));
		clock_gettime(CLOCK_MONOTONIC, &file->unreadable);
	} else if (rc == 0 && doubtful) {
		atomic_fetch_sub(&file->doubtful, 1);
	} else if (rc == 0) {
		tell(file);
	}
}

/* ===== clean again ===== */

static bool any_idle(struct sum_file *file)
{
	uint64_t regions = sidecar_regions(&file->sidecar);

	for (uint64_t r = sumsd_next_unclean(file, 0); r < regions;
	     r = sumsd_next_unclean(file, r + 1))
		if (atomic_load(&file->word[r]) & WORD_IDLE)
			return true;
	return false;
}

/* Where flushes are ignored nothing is made clean by them. */
static void do_round(struct sum_file *file)
{
	struct image *image = file->image;

	if (atomic_load(&file->leaving) || !image->traits->flush)
		return;
	pthread_mutex_lock(&file->sync_lock);
	if (any_idle(file) && image_flush(image) == 0)
		sumsd_clear(file);
	sums_set_idle(file);
	pthread_mutex_unlock(&file->sync_lock);
}

/* ===== the thread ===== */

/* The Nth file, which cannot be closed before it is let go. */
static struct sum_file *hold_nth(struct sums *sums, unsigned n)
{
	struct sum_file *file;

	pthread_mutex_lock(&sums->files_lock);
	for (file = sums->files; file && n; n--)
		file = file->next;
	sums->busy = file;
	pthread_mutex_unlock(&sums->files_lock);
	return file;
}

static void let_go(struct sums *sums)
{
	pthread_mutex_lock(&sums->files_lock);
	sums->busy = NULL;
	pthread_cond_broadcast(&sums->not_busy);
	pthread_mutex_unlock(&sums->files_lock);
}

static void rounds(struct sums *sums)
{
	for (unsigned n = 0; hold_nth(sums, n); n++) {
		do_round(sums->busy);
		let_go(sums);
	}
}

static bool is_readable(const struct sum_file *file)
{
	return !file->unreadable.tv_sec || since(&file->unreadable) > RETRY_SECONDS;
}

/* One region of a file that has any to be looked at. */
static bool do_one(struct sums *sums, char *data)
{
	struct sum_file *file;
	bool found = false;
	uint64_t region;

	for (unsigned n = 0; !found && (file = hold_nth(sums, n)); n++) {
		found = (atomic_load(&file->unhashed) || atomic_load(&file->doubtful)) &&
			!atomic_load(&file->leaving) && !file->sidecar.readonly &&
			is_readable(file) && next_due(file, &region);
		if (found)
			do_region(file, region, data);
		let_go(sums);
	}
	return found;
}

/* Waits so long unless there is something to do. False: no more. */
static bool pause_for(struct sums_thread *thread, double seconds)
{
	struct timespec until;
	bool going;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += (long)((seconds - (long)seconds) * 1e9);
	until.tv_sec += (long)seconds + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&thread->lock);
	while (!atomic_load(&thread->work) && !thread->stopping && !thread->woken)
		if (pthread_cond_timedwait(&thread->more, &thread->lock, &until) == ETIMEDOUT)
			break;
	thread->woken = false;
	going = atomic_load(&thread->work) || !thread->stopping;
	pthread_mutex_unlock(&thread->lock);
	return going;
}

void *rehash_thread(void *arg)
{
	struct sums *sums = arg;
	struct timespec round, began;
	char *data = aligned_alloc(SIDECAR_PAGE, CHUNK);
	struct sums_sweep *sweep = sums_sweep_begin(sums);
	double pause = 0;

	pthread_setname_np(pthread_self(), "bouncefs/hash");
	clock_gettime(CLOCK_MONOTONIC, &round);
	while (pause_for(&sums->reader, pause)) {
		work_run_all(&sums->reader.work);
		if (since(&round) >= ROUND_SECONDS) {
			rounds(sums);
			clock_gettime(CLOCK_MONOTONIC, &round);
		}
		clock_gettime(CLOCK_MONOTONIC, &began);
		if (data && do_one(sums, data))
			pause = since(&began);
		else if (sums_sweep_next(sweep))
			pause = SWEEP_SECONDS;
		else
			pause = MAX(ROUND_SECONDS - since(&round), 0.001);
	}
	sums_sweep_end(sweep);
	free(data);
	return NULL;
}

void sums_ask(struct sum_file *file, struct lane_work *work)
{
	struct sums_thread *thread = &file->sums->reader;

	pthread_mutex_lock(&thread->lock);
	work_push(&thread->work, work);
	pthread_cond_signal(&thread->more);
	pthread_mutex_unlock(&thread->lock);
}
