// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The thread that owns the sidecars: it alone writes them, gives frames to regions and takes them
 * away, and changes what is durably known of a region. Who needs that queues an op or a call; many
 * are done at a time, with one fdatasync a sidecar.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "policy/log.h"
#include "policy/util.h"
#include "sumfile.h"

static uint64_t regions_of(const struct sum_file *file)
{
	return sidecar_regions(&file->sidecar);
}

/* ===== giving up ===== */

/* The sidecar cannot be kept up to date: it must never be believed again. If it cannot even be told
 * so, nor removed, the guest's write must not happen. */
static int give_up(struct sum_file *file, int error)
{
	struct sidecar *sidecar = &file->sidecar;
	char path[PATH_MAX];
	int rc = 0;

	if (atomic_load(&file->trust) == SUMS_BROKEN)
		return 0;
	if (atomic_exchange(&file->trust, SUMS_UNTOLD) == SUMS_KEPT)
		log_err("%s: its checksums cannot be kept up to date (%s): nothing is verified, and "
			"all is hashed again at the next open",
			name_of(file, path), strerror(-error));
	sidecar->header.rebuild = 1;
	if (sidecar_write_header(sidecar) < 0 || fdatasync(sidecar->fd) < 0)
		rc = sidecar_remove(file->sums->dir, sidecar->header.name);
	if (rc == 0)
		atomic_store(&file->trust, SUMS_BROKEN);
	return rc;
}

/* ===== states ===== */

uint64_t sumsd_next_unclean(const struct sum_file *file, uint64_t region)
{
	while (region < regions_of(file) &&
	       state_of(atomic_load(&file->word[region])) == REGION_CLEAN) {
		if (atomic_load(&file->unclean[region / GROUP_REGIONS]))
			region++;
		else
			region = (region / GROUP_REGIONS + 1) * GROUP_REGIONS;
	}
	return region;
}

static unsigned count_unclean(enum region_state state)
{
	return state != REGION_CLEAN;
}

static void must_write_map(struct sum_file *file, uint64_t group)
{
	file->marking[group] = 1;
	file->marked = true;
}

void sumsd_restore_state(struct sum_file *file, uint64_t region, enum region_state state)
{
	uint32_t word = atomic_load(&file->word[region]);
	enum region_state old;

	while (!atomic_compare_exchange_weak(
		&file->word[region], &word, (word & ~(WORD_STATE | WORD_IDLE | WORD_MARK)) | state))
		;
	old = state_of(word);
	atomic_fetch_add(&file->unclean[region / GROUP_REGIONS],
			 count_unclean(state) - count_unclean(old));
	/* What is in flux comes back by itself. */
	if (old == REGION_UNHASHED && state != REGION_UNHASHED && !(word & WORD_FLUX))
		atomic_fetch_sub(&file->unhashed, 1);
	if (old != REGION_UNHASHED && state == REGION_UNHASHED && !(word & WORD_FLUX))
		atomic_fetch_add(&file->unhashed, 1);
}

void sumsd_set_state(struct sum_file *file, uint64_t region, enum region_state state)
{
	sumsd_restore_state(file, region, state);
	must_write_map(file, region / GROUP_REGIONS);
}

static enum region_state durable_state(uint32_t word)
{
	if (word & WORD_MARK)
		return REGION_DIRTY;
	/* Its page is being written for the sake of its list: a crash may tear it. */
	return state_of(word) == REGION_CLEAN && word & WORD_REPORT ? REGION_DOUBT : state_of(word);
}

static int write_map(struct sum_file *file, uint64_t group)
{
	struct sum_map map = {0};

	for (unsigned i = 0; i < GROUP_REGIONS; i++) {
		uint32_t word = atomic_load(&file->word[group * GROUP_REGIONS + i]);

		map.regions[i / 2] |= (durable_state(word) | (word & WORD_BAD)) << i % 2 * 4;
	}
	return sidecar_write_map(&file->sidecar, group, &map);
}

static int write_maps(struct sum_file *file)
{
	int rc = 0;

	for (uint64_t g = 0; g < file->sidecar.header.groups && rc == 0; g++) {
		if (!file->marking[g])
			continue;
		rc = write_map(file, g);
		file->marking[g] = rc < 0;
	}
	return rc;
}

/* The header says that the file is in use, and in whose. */
int sumsd_begin_use(struct sum_file *file)
{
	if (file->used || file->sidecar.readonly)
		return 0;
	file->sidecar.header.session = file->sums->session;
	file->used = true;
	return sidecar_write_header(&file->sidecar);
}

int sumsd_write_marks(struct sum_file *file)
{
	int rc;

	if (!file->marked || file->sidecar.readonly)
		return 0;
	file->marked = false;
	rc = write_maps(file);
	if (rc == 0 && fdatasync(file->sidecar.fd) < 0)
		rc = -errno;
	return rc;
}

/* All that was marked is durable when it returns. -errno: nothing may be written to the image. */
static int make_durable(struct sum_file *file)
{
	int rc;

	if (atomic_load(&file->trust) == SUMS_UNTOLD)
		return give_up(file, 0);
	if (!file->marked || file->sidecar.readonly)
		return 0;
	rc = sumsd_begin_use(file);
	if (rc == 0)
		rc = sumsd_write_marks(file);
	return rc < 0 ? give_up(file, rc) : 0;
}

/* ===== frames ===== */

static bool is_newer(const struct sum_frame *frame)
{
	return atomic_load(&frame->changes) != atomic_load(&frame->written);
}

/* The frame goes, and could not be written. Of a clean region that costs no more than a list of bad
 * blocks; hashed again they would pass for good ones. */
static void lose_frame(struct sum_file *file, uint64_t region)
{
	if (state_of(atomic_load(&file->word[region])) != REGION_CLEAN)
		sumsd_set_state(file, region, REGION_UNHASHED);
}

/* Writes a frame's sums if the sidecar does not have them. What changes meanwhile makes it newer
 * again.
 */
static int write_frame(struct sums *sums, unsigned number)
{
	struct sum_frame *frame = &sums->frames[number];
	uint32_t changes = atomic_load_explicit(&frame->changes, memory_order_acquire);
	struct sum_file *file = sums->owner[number];
	struct sum_page page;
	int rc;

	if (changes == atomic_load(&frame->written) || file->sidecar.readonly)
		return 0;
	sums_copy_page(&page, &sums->pages[number]);
	rc = sidecar_write_sums(&file->sidecar, atomic_load(&frame->region), &page);
	if (rc == 0)
		atomic_store(&frame->written, changes);
	return rc;
}

/* Lists of bad blocks in regions that are clean: while such a page is written a crash may tear it,
 * so the region is in doubt for that time. */
static int write_reports(struct sum_file *file)
{
	struct sums *sums = file->sums;
	bool any = false;
	int rc = 0;

	for (unsigned i = 0; i < sums->nframes; i++) {
		uint64_t region = atomic_load(&sums->frames[i].region);

		if (sums->owner[i] != file || !(atomic_load(&file->word[region]) & WORD_REPORT))
			continue;
		must_write_map(file, region / GROUP_REGIONS);
		any = true;
	}
	if (!any)
		return 0;
	rc = make_durable(file);
	for (unsigned i = 0; i < sums->nframes && rc == 0; i++)
		if (sums->owner[i] == file &&
		    atomic_load(&file->word[sums->frames[i].region]) & WORD_REPORT)
			rc = write_frame(sums, i);
	if (rc == 0 && fdatasync(file->sidecar.fd) < 0)
		rc = -errno;
	for (unsigned i = 0; i < sums->nframes && rc == 0; i++) {
		uint64_t region = atomic_load(&sums->frames[i].region);

		if (sums->owner[i] != file || is_newer(&sums->frames[i]))
			continue;
		atomic_fetch_and(&file->word[region], ~WORD_REPORT);
		file->marking[region / GROUP_REGIONS] = 1;
	}
	return rc ?: write_maps(file);
}

/* Takes a frame that nobody has pinned away from its region. */
static int empty_frame(struct sums *sums, unsigned number)
{
	struct sum_frame *frame = &sums->frames[number];
	uint64_t region = atomic_load(&frame->region);
	struct sum_file *file = sums->owner[number];
	char path[PATH_MAX];
	int rc = 0;

	if (!file)
		return atomic_load(&frame->id) ? -EBUSY : 0; /* of who will be opened again */
	if (is_newer(frame) && atomic_load(&file->word[region]) & WORD_REPORT)
		rc = write_reports(file);
	if (rc == 0)
		rc = write_frame(sums, number);
	if (rc < 0 && atomic_load(&file->trust) == SUMS_KEPT) {
		/* No room for sums: the data are served all the same. */
		log_err("%s: checksums at %lu cannot be written (%s)", name_of(file, path),
			(unsigned long)(region * REGION_BYTES), strerror(-rc));
		lose_frame(file, region);
		rc = write_maps(file);
		if (rc < 0)
			return rc;
	}
	atomic_store(&frame->id, 0);
	atomic_store(&file->frame[region], 0);
	sums->owner[number] = NULL;
	return 0;
}

/* A frame that is nobody's, and that nobody can pin; -1: all are in use. */
static int32_t take_frame(struct sums *sums)
{
	for (unsigned tries = 0; tries < 2 * sums->nframes; tries++) {
		unsigned i = sums->hand++ % sums->nframes;
		int32_t none = 0;

		if (!atomic_compare_exchange_strong(&sums->pins[i], &none, -1))
			continue;
		if (empty_frame(sums, i) == 0)
			return i;
		atomic_store(&sums->pins[i], 0);
	}
	return -1;
}

/* The region's page was damaged, or cannot be read. */
static void lose_sums(struct sum_file *file, uint64_t region, int error)
{
	char path[PATH_MAX];

	log_err("%s: checksums at %lu: %s: hashed again", name_of(file, path),
		(unsigned long)(region * REGION_BYTES),
		error == -EBADMSG ? "damaged" : strerror(-error));
	sumsd_set_state(file, region, REGION_UNHASHED);
}

static bool lists_any(const struct sum_page *page)
{
	for (unsigned i = 0; i < ARRAY_SIZE(page->bad); i++)
		if (__atomic_load_n(&page->bad[i], __ATOMIC_RELAXED))
			return true;
	return false;
}

/* Brings a region's sums into FRAME, which the caller has pinned then; -1: they mean nothing.
 * False: no frame is to be had now. */
static bool load(struct sum_file *file, uint64_t region, bool raw, int32_t *frame)
{
	struct sums *sums = file->sums;
	struct sum_page *page;
	int32_t i = take_frame(sums);
	int rc;

	*frame = -1;
	if (i < 0)
		return false;
	page = &sums->pages[i];
	rc = sidecar_read_sums(&file->sidecar, region, page);
	if (rc < 0 && !raw) {
		lose_sums(file, region, rc);
		atomic_store(&sums->pins[i], 0);
		return true;
	}
	if (lists_any(page))
		atomic_fetch_or(&file->word[region], WORD_BAD);
	sums->owner[i] = file;
	atomic_store(&sums->frames[i].region, region);
	atomic_store(&sums->frames[i].changes, 0);
	atomic_store(&sums->frames[i].written, 0);
	atomic_store(&sums->frames[i].id, file->sidecar.header.id);
	atomic_store(&sums->pins[i], 1);
	atomic_store(&file->frame[region], i + 1);
	*frame = i;
	return true;
}

/* ===== ops ===== */

static bool is_resident(const struct sum_file *file, uint64_t region)
{
	return atomic_load(&file->frame[region]) != 0;
}

/* Pins the frame of one of the op's regions. False: it has to wait. */
static bool serve_region(struct sums_op *op, uint64_t region, int32_t *frame)
{
	struct sum_file *file = op->file;

	*frame = -1;
	if (state_of(atomic_load(&file->word[region])) == REGION_UNHASHED && !op->raw)
		return true;
	/* Only we take frames away. */
	if (!is_resident(file, region))
		return load(file, region, op->raw, frame);
	*frame = atomic_load(&file->frame[region]) - 1;
	atomic_fetch_add(&file->sums->pins[*frame], 1);
	return true;
}

/* Blocks that are overwritten wholly leave the list durably before, or a crash would leave good
 * data listed. */
static int unlist(struct sums_op *op, uint64_t region, int32_t frame)
{
	struct sum_file *file = op->file;
	struct sum_page *page = &file->sums->pages[frame];
	uint64_t start = MAX(op->first + op->whole, region * REGION_BLOCKS);
	uint64_t end = MIN(op->first + op->whole_end, (region + 1) * REGION_BLOCKS);

	for (uint64_t b = start; b < end; b++)
		__atomic_fetch_and(&page->bad[b % REGION_BLOCKS / 64],
				   ~(1ull << b % REGION_BLOCKS % 64), __ATOMIC_SEQ_CST);
	atomic_fetch_add(&file->sums->frames[frame].changes, 1);
	if (!lists_any(page))
		atomic_fetch_and(&file->word[region], ~WORD_BAD);
	must_write_map(file, region / GROUP_REGIONS);
	return write_frame(file->sums, frame);
}

static int prepare_write(struct sums_op *op, uint64_t region, int32_t frame)
{
	struct sum_file *file = op->file;
	uint64_t group = region / GROUP_REGIONS;
	uint32_t word = atomic_fetch_add(&file->word[region], WORD_WRITER);
	int rc = 0;

	if (group >= file->sidecar.header.groups) {
		rc = sidecar_grow(&file->sidecar, group + 1);
		file->used = false; /* the header is to be written */
	}
	if (rc < 0)
		return rc;
	if (word & WORD_IDLE)
		atomic_fetch_and(&file->word[region], ~WORD_IDLE);
	if (state_of(word) == REGION_CLEAN) {
		atomic_fetch_or(&file->word[region], WORD_MARK);
		must_write_map(file, group);
	}
	if (frame >= 0 && word & WORD_BAD && sums_unlists(op, region, &file->sums->pages[frame]))
		rc = unlist(op, region, frame);
	return rc;
}

/* First frames, then marks: what it takes to make room may mark, too. False: it has to wait. */
static bool serve_op(struct sums_op *op)
{
	uint64_t first = region_of(op->first), last = region_of(op->first + op->blocks - 1);
	struct sum_file *file = op->file;
	int rc = 0;

	if (!serve_region(op, first, &op->frame[0]))
		return false;
	if (last != first && !serve_region(op, last, &op->frame[1])) {
		if (op->frame[0] >= 0)
			atomic_fetch_sub(&file->sums->pins[op->frame[0]], 1);
		return false;
	}
	op->begun = true;
	for (uint64_t r = first; op->write && r <= last; r++) {
		int error = prepare_write(op, r, op->frame[r - first]);

		rc = rc ?: error;
	}
	if (rc < 0)
		give_up(file, rc);
	return true;
}

/* What was marked is dirty now. */
static void end_marks(struct sums_op *op)
{
	uint64_t first = region_of(op->first), last = region_of(op->first + op->blocks - 1);

	for (uint64_t r = first; op->write && r <= last; r++)
		if (atomic_load(&op->file->word[r]) & WORD_MARK)
			sumsd_restore_state(op->file, r, REGION_DIRTY);
}

/* Those that cannot be served now, for want of a frame. */
static struct sums_op *serve_ops(struct sums *sums, struct sums_op *ops)
{
	struct sums_op *served = NULL, *waiting = NULL, *next;

	for (struct sums_op *op = ops; op; op = next) {
		struct sums_op **list = serve_op(op) ? &served : &waiting;

		next = op->next;
		op->next = *list;
		*list = op;
	}
	for (struct sum_file *file = sums->files; file; file = file->next)
		file->error = make_durable(file);
	for (struct sums_op *op = served; op; op = next) {
		next = op->next;
		end_marks(op);
		op->error = op->write ? op->file->error : 0;
		op->ready(op);
	}
	return waiting;
}

/* ===== asking the thread ===== */

void sums_wake(struct sums_thread *thread)
{
	pthread_mutex_lock(&thread->lock);
	thread->woken = true;
	pthread_cond_signal(&thread->more);
	pthread_mutex_unlock(&thread->lock);
}

void sums_queue(struct sums_thread *thread, struct sums_op *op)
{
	struct sums *sums = container_of(thread, struct sums, keeper);

	op->next = NULL;
	if (!thread->running) {
		/* A wait would never end. */
		if (serve_ops(sums, op))
			op->ready(op);
		return;
	}
	pthread_mutex_lock(&thread->lock);
	op->next = thread->ops;
	thread->ops = op;
	thread->woken = true;
	pthread_cond_signal(&thread->more);
	pthread_mutex_unlock(&thread->lock);
}

/* RUN in the thread, waited for; at once before there is one. */
static int call(struct sum_file *file, void (*run)(struct sums_call *c), uint64_t start,
		uint64_t end, void *context)
{
	struct sums_call c = {
		.run = run, .file = file, .start = start, .end = end, .context = context};
	struct sums_thread *thread = &file->sums->keeper;

	if (!thread->running) {
		run(&c);
		return c.result;
	}
	sem_init(&c.done, 0, 0);
	pthread_mutex_lock(&thread->lock);
	c.next = thread->calls;
	thread->calls = &c;
	thread->woken = true;
	pthread_cond_signal(&thread->more);
	pthread_mutex_unlock(&thread->lock);
	while (sem_wait(&c.done) < 0 && errno == EINTR)
		;
	sem_destroy(&c.done);
	return c.result;
}

/* ===== what others ask for ===== */

static void change_regions(struct sums_call *c)
{
	struct sum_file *file = c->file;
	uint64_t groups = MIN((c->end + GROUP_REGIONS - 1) / GROUP_REGIONS, GROUPS_MAX);
	bool zeroing = c->context;

	if (!zeroing && groups > file->sidecar.header.groups) {
		c->result = sidecar_grow(&file->sidecar, groups);
		file->used = false;
	}
	file->marked = true; /* the header, at least: size and times change */
	for (uint64_t r = c->start; r < MIN(c->end, regions_of(file)); r++) {
		if (state_of(atomic_load(&file->word[r])) == REGION_UNHASHED ||
		    (zeroing && !sumsd_has_sums(file, r)))
			continue;
		atomic_fetch_or(&file->word[r], WORD_FLUX);
		sumsd_set_state(file, r, REGION_UNHASHED);
	}
	if (c->result == 0)
		c->result = make_durable(file);
}

int sumsd_change(struct sum_file *file, uint64_t first, uint64_t end, bool zeroing)
{
	return call(file, change_regions, first, end, zeroing ? file : NULL);
}

bool sumsd_has_sums(struct sum_file *file, uint64_t region)
{
	return region < REGIONS_MAX &&
	       (atomic_load(&file->word[region]) || is_resident(file, region) ||
		sidecar_next(&file->sidecar, region) == (int64_t)region);
}

static void zero_frame(struct sum_file *file, uint64_t region)
{
	uint32_t number = atomic_load(&file->frame[region]);
	struct sum_page *page;

	if (!number)
		return;
	page = &file->sums->pages[number - 1];
	for (unsigned i = 0; i < REGION_BLOCKS; i++)
		store_sum(page, i, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(page->bad); i++)
		__atomic_store_n(&page->bad[i], 0, __ATOMIC_RELAXED);
	atomic_fetch_add(&file->sums->frames[number - 1].changes, 1);
}

struct punched {
	uint64_t first, end;
};

static void end_change(struct sums_call *c)
{
	struct sum_file *file = c->file;
	const struct punched *punched = c->context;
	char path[PATH_MAX];
	int rc = 0;

	for (uint64_t r = punched->first; r < MIN(punched->end, regions_of(file)); r++) {
		zero_frame(file, r);
		if (atomic_load(&file->word[r]) & WORD_BAD)
			atomic_fetch_and(&file->word[r], ~WORD_BAD);
	}
	if (punched->first < punched->end)
		rc = sidecar_punch(&file->sidecar, punched->first, punched->end);
	if (rc < 0)
		log_err("%s: checksums of what was discarded: %s: hashed again later",
			name_of(file, path), strerror(-rc));
	for (uint64_t r = c->start; r < MIN(c->end, regions_of(file)); r++) {
		if (!(atomic_load(&file->word[r]) & WORD_FLUX))
			continue;
		if (rc == 0) {
			sumsd_set_state(file, r, REGION_DIRTY);
			atomic_fetch_and(&file->word[r], ~WORD_FLUX);
		} else {
			atomic_fetch_and(&file->word[r], ~WORD_FLUX);
			atomic_fetch_add(&file->unhashed, 1);
		}
	}
	write_maps(file); /* after a crash both mean the same, and after our death they must not */
}

void sumsd_changed(struct sum_file *file, uint64_t first, uint64_t end, uint64_t punch,
		   uint64_t punch_end)
{
	struct punched punched = {punch, punch_end};

	call(file, end_change, first, end, &punched);
}

/* They are hashed in time. */
static void failed(struct sums_call *c)
{
	for (uint64_t r = c->start; r < MIN(c->end, regions_of(c->file)); r++)
		if (atomic_load(&c->file->word[r]) & WORD_FLUX) {
			atomic_fetch_and(&c->file->word[r], ~WORD_FLUX);
			atomic_fetch_add(&c->file->unhashed, 1);
		}
	sums_wake(&c->file->sums->reader);
}

void sumsd_failed(struct sum_file *file, uint64_t first, uint64_t end)
{
	call(file, failed, first, end, NULL);
}

static void unhash(struct sums_call *c)
{
	struct sum_file *file = c->file;
	uint32_t flux = atomic_fetch_and(&file->word[c->start], ~WORD_FLUX) & WORD_FLUX;

	if (flux)
		atomic_fetch_add(&file->unhashed, 1);
	else
		sumsd_set_state(file, c->start, REGION_UNHASHED);
	c->result = make_durable(file);
	sums_wake(&file->sums->reader);
}

void sumsd_unhash(struct sum_file *file, uint64_t region)
{
	if (region < REGIONS_MAX)
		call(file, unhash, region, 0, NULL);
}

static void hashed(struct sums_call *c)
{
	struct sum_file *file = c->file;

	sumsd_set_state(file, c->start, REGION_DIRTY);
	if (!file->sidecar.readonly && sumsd_begin_use(file) == 0)
		write_maps(file);
}

void sumsd_hashed(struct sum_file *file, uint64_t region)
{
	call(file, hashed, region, 0, NULL);
}

/* ===== clean again ===== */

static int write_all_frames(struct sum_file *file, uint32_t flag)
{
	struct sums *sums = file->sums;
	int rc = 0;

	for (unsigned i = 0; i < sums->nframes && rc == 0; i++)
		if (sums->owner[i] == file &&
		    (atomic_load(&file->word[sums->frames[i].region]) & flag) == flag)
			rc = write_frame(sums, i);
	if (rc == 0 && !file->sidecar.readonly && fdatasync(file->sidecar.fd) < 0)
		rc = -errno;
	return rc;
}

static void clean_regions(struct sum_file *file, uint32_t flag)
{
	for (uint64_t r = 0; r < regions_of(file); r = sumsd_next_unclean(file, r + 1)) {
		uint32_t word = atomic_load(&file->word[r]);

		if (state_of(word) != REGION_DIRTY || (word & flag) != flag ||
		    word & (WORD_WRITERS | WORD_MARK) ||
		    !atomic_compare_exchange_strong(&file->word[r], &word,
						    word & ~(WORD_STATE | WORD_IDLE)))
			continue;
		atomic_fetch_sub(&file->unclean[r / GROUP_REGIONS], 1);
		must_write_map(file, r / GROUP_REGIONS);
	}
}

static void clear(struct sums_call *c)
{
	struct sum_file *file = c->file;

	c->result = write_all_frames(file, WORD_IDLE);
	if (c->result < 0 || atomic_load(&file->trust) != SUMS_KEPT)
		return; /* they stay dirty */
	clean_regions(file, WORD_IDLE);
	file->marked = false;
	c->result = write_maps(file);
}

void sumsd_clear(struct sum_file *file)
{
	call(file, clear, 0, 0, NULL);
}

/* Where the file is, for the case that it moves. What messages call it may be a name that it had
 * once. */
static void note_path(struct sum_file *file, const struct stat *st)
{
	char buf[PATH_MAX];
	const char *path = name_of(file, buf);
	struct stat there;

	if (fstatat(file->sums->config->root_fd, path, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	    there.st_ino == st->st_ino && there.st_dev == st->st_dev)
		snprintf(file->sidecar.header.path, sizeof(file->sidecar.header.path), "%s", path);
}

static int write_clean_header(struct sum_file *file)
{
	struct sidecar_header *h = &file->sidecar.header;
	struct stat st;
	int rc;

	if (fstat(file->image->cached_fd, &st) < 0)
		return -errno;
	h->session = 0;
	h->size = st.st_size;
	h->mtime = st.st_mtim.tv_sec;
	h->mtime_nsec = st.st_mtim.tv_nsec;
	note_path(file, &st);
	rc = sidecar_write_header(&file->sidecar);
	if (rc == 0 && fdatasync(file->sidecar.fd) < 0)
		rc = -errno;
	file->used = rc < 0;
	return rc;
}

/* CALL->start: the image has been synced. */
static void settle(struct sums_call *c)
{
	struct sum_file *file = c->file;
	char path[PATH_MAX];
	int rc = write_reports(file);

	if (rc == 0)
		rc = write_all_frames(file, 0);
	if (rc == 0 && c->start && file->used && atomic_load(&file->trust) == SUMS_KEPT) {
		clean_regions(file, WORD_IDLE);
		file->marked = false;
		rc = write_maps(file);
		if (rc == 0 && fdatasync(file->sidecar.fd) < 0)
			rc = -errno;
		/* Where it is not clean a write marks nothing: it must not look so. */
		if (rc == 0 && sumsd_next_unclean(file, 0) >= regions_of(file))
			rc = write_clean_header(file);
	}
	if (rc < 0)
		log_err("%s: its checksums cannot be written: %s", name_of(file, path),
			strerror(-rc));
	c->result = rc;
}

int sumsd_settle(struct sum_file *file, bool synced)
{
	return call(file, settle, synced, 0, NULL);
}

/* ===== coming and going ===== */

/* A predecessor gone mad may have left anything: a number of changes that is still to come would
 * pass for written once there have been so many. */
static void never_ahead(struct sum_frame *frame)
{
	uint32_t changes = atomic_load(&frame->changes);

	if ((int32_t)(changes - atomic_load(&frame->written)) < 0)
		atomic_store(&frame->written, changes - 1);
}

static void join(struct sums_call *c)
{
	struct sum_file *file = c->file;
	struct sums *sums = file->sums;

	pthread_mutex_lock(&sums->files_lock);
	file->next = sums->files;
	sums->files = file;
	pthread_mutex_unlock(&sums->files_lock);
	/* What a predecessor left in memory. */
	for (unsigned i = 0; i < sums->nframes; i++) {
		uint64_t region = atomic_load(&sums->frames[i].region);

		if (atomic_load(&sums->frames[i].id) != file->sidecar.header.id ||
		    region >= REGIONS_MAX || is_resident(file, region))
			continue;
		never_ahead(&sums->frames[i]);
		sums->owner[i] = file;
		atomic_store(&file->frame[region], i + 1);
	}
}

void sumsd_join(struct sum_file *file)
{
	call(file, join, 0, 0, NULL);
}

static void leave(struct sums_call *c)
{
	struct sum_file *file = c->file, **link;
	struct sums *sums = file->sums;

	pthread_mutex_lock(&sums->files_lock);
	for (link = &sums->files; *link != file; link = &(*link)->next)
		;
	*link = file->next;
	pthread_mutex_unlock(&sums->files_lock);
	for (unsigned i = 0; i < sums->nframes; i++) {
		if (sums->owner[i] != file)
			continue;
		if (is_newer(&sums->frames[i]))
			lose_frame(file, sums->frames[i].region);
		atomic_store(&sums->frames[i].id, 0);
		sums->owner[i] = NULL;
	}
	make_durable(file);
}

void sumsd_leave(struct sum_file *file)
{
	call(file, leave, 0, 0, NULL);
}

static void touch(struct sums_call *c)
{
	c->file->marked = true;
	c->result = make_durable(c->file);
}

int sums_touch(struct image *image)
{
	_keep_sums_(image);

	return image->sums ? call(image->sums, touch, 0, 0, NULL) : 0;
}

/* ===== doubt ===== */

void sums_doubt(struct image *image)
{
	struct sum_file *file;

	/* Who has the lock opens or closes them, and does not call regions clean. */
	if (pthread_rwlock_tryrdlock(&image->sums_lock) != 0)
		return;
	file = image->sums;
	if (file) {
		atomic_store(&file->in_doubt, true);
		sums_wake(&file->sums->keeper);
	}
	pthread_rwlock_unlock(&image->sums_lock);
}

static void doubt(struct sum_file *file)
{
	char path[PATH_MAX];

	log_warn("%s: an fsync failed: what was written before it and is lost will be found by its "
		 "checksums",
		 name_of(file, path));
	for (uint64_t r = 0; r < regions_of(file); r = sumsd_next_unclean(file, r + 1))
		if (state_of(atomic_load(&file->word[r])) == REGION_DIRTY)
			sumsd_set_state(file, r, REGION_DOUBT);
	make_durable(file);
}

/* ===== the thread ===== */

static void run_calls(struct sums_call *calls)
{
	while (calls) {
		struct sums_call *c = calls;

		calls = c->next; /* it is gone when it is done */
		c->run(c);
		sem_post(&c->done);
	}
}

static void look_after(struct sums *sums)
{
	char path[PATH_MAX];

	for (struct sum_file *file = sums->files; file; file = file->next) {
		int rc = 0;

		if (atomic_exchange(&file->in_doubt, false))
			doubt(file);
		if (atomic_exchange(&file->reports, false))
			rc = write_reports(file);
		if (rc < 0)
			log_err("%s: the list of bad blocks cannot be written: %s",
				name_of(file, path), strerror(-rc));
	}
}

/* A frame may be free again: nobody tells us. */
static void pause_briefly(struct sums_thread *thread)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 2000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&thread->more, &thread->lock, &until);
}

void *sumsd_thread(void *arg)
{
	struct sums *sums = arg;
	struct sums_thread *thread = &sums->keeper;
	struct sums_op *waiting = NULL, **last;
	struct sums_call *calls;

	pthread_setname_np(pthread_self(), "bouncefs/sums");
	for (;;) {
		pthread_mutex_lock(&thread->lock);
		if (waiting)
			pause_briefly(thread);
		while (!thread->woken && !thread->stopping && !waiting)
			pthread_cond_wait(&thread->more, &thread->lock);
		if (thread->stopping)
			break;
		thread->woken = false;
		for (last = &waiting; *last; last = &(*last)->next)
			;
		*last = thread->ops;
		thread->ops = NULL;
		calls = thread->calls;
		thread->calls = NULL;
		pthread_mutex_unlock(&thread->lock);
		run_calls(calls);
		look_after(sums);
		waiting = serve_ops(sums, waiting);
	}
	pthread_mutex_unlock(&thread->lock);
	return NULL;
}
