// SPDX-License-Identifier: GPL-2.0-or-later
/* The hot path, and what threads that may sleep do with sums by themselves. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#ifdef HAVE_XXH_DISPATCH
/* XXH3_64bits() by the widest vectors of the CPU that is there: four times what SSE2 gives. */
#include <xxh_x86dispatch.h>
#endif

#include "policy/log.h"
#include "policy/util.h"
#include "sumfile.h"

/* XXH3 of a block of zeroes, which has 0 for its sum as what was never written has. */
#define OF_ZEROES 0x93d76fe148c689ba

uint64_t sum_of(const void *block)
{
	uint64_t sum = XXH3_64bits(block, SUM_BLOCK);

	return sum == OF_ZEROES ? 0 : sum ?: 1;
}

/* ===== frames ===== */

static void unpin(struct sums *sums, int32_t frame)
{
	atomic_fetch_sub(&sums->pins[frame], 1);
}

/* The frame of REGION, pinned; -1: it is not in memory. */
static int32_t pin_resident(struct sum_file *file, uint64_t region)
{
	unsigned number = atomic_load(&file->frame[region]);
	_Atomic int32_t *pins;
	int32_t n;

	if (!number)
		return -1;
	pins = &file->sums->pins[number - 1];
	n = atomic_load(pins);
	do {
		if (n < 0)
			return -1;
	} while (!atomic_compare_exchange_weak(pins, &n, n + 1));
	if (atomic_load(&file->frame[region]) == number)
		return number - 1;
	unpin(file->sums, number - 1);
	return -1;
}

static void changed(struct sums *sums, int32_t frame)
{
	atomic_fetch_add_explicit(&sums->frames[frame].changes, 1, memory_order_release);
}

/* The blocks of an op one region at a time. */
struct part {
	uint64_t region;
	unsigned first, n; /* blocks of the region */
	uint32_t at;	   /* the first one, counted from the op's first */
	int32_t frame;
	struct sum_page *page; /* NULL: its sums mean nothing */
};

static bool next_part(const struct sums_op *op, struct part *part, bool begin)
{
	uint32_t at = begin ? 0 : part->at + part->n;
	uint64_t block = op->first + at;

	if (at >= op->blocks)
		return false;
	part->at = at;
	part->region = region_of(block);
	part->first = block % REGION_BLOCKS;
	part->n = MIN(op->blocks - at, REGION_BLOCKS - part->first);
	part->frame = op->begun ? op->frame[part->region - region_of(op->first)] : -1;
	part->page = part->frame < 0 ? NULL : &op->file->sums->pages[part->frame];
	return true;
}

#define for_each_part(op, part) \
	for (bool more = next_part(op, part, true); more; more = next_part(op, part, false))

/* ===== begin and end ===== */

/* Whether the op overwrites a block that is listed: it leaves the list before its data go out. */
bool sums_unlists(const struct sums_op *op, uint64_t region, const struct sum_page *page)
{
	uint64_t start = MAX(op->first + op->whole, region * REGION_BLOCKS);
	uint64_t end = MIN(op->first + op->whole_end, (region + 1) * REGION_BLOCKS);

	for (uint64_t block = start; block < end; block++)
		if (is_listed(page, block % REGION_BLOCKS))
			return true;
	return false;
}

/* True: the region is as the op needs it, and *FRAME pinned, without asking anybody. */
static bool begin_region(struct sums_op *op, uint64_t region, int32_t *frame)
{
	struct sum_file *file = op->file;
	uint32_t word = op->write ? atomic_fetch_add(&file->word[region], WORD_WRITER)
				  : atomic_load(&file->word[region]);

	*frame = -1;
	if (op->write && word & WORD_IDLE)
		atomic_fetch_and(&file->word[region], ~WORD_IDLE);
	if (state_of(word) == REGION_UNHASHED && !op->raw)
		return true;
	if (!op->write || state_of(word) != REGION_CLEAN)
		*frame = pin_resident(file, region);
	if (*frame >= 0 && op->write && word & WORD_BAD &&
	    sums_unlists(op, region, &file->sums->pages[*frame])) {
		unpin(file->sums, *frame);
		*frame = -1;
	}
	if (*frame < 0 && op->write)
		atomic_fetch_sub(&file->word[region], WORD_WRITER);
	return *frame >= 0;
}

static void end_region(struct sums_op *op, uint64_t region, int32_t frame)
{
	if (frame >= 0)
		unpin(op->file->sums, frame);
	if (op->write)
		atomic_fetch_sub(&op->file->word[region], WORD_WRITER);
}

bool sums_begin(struct sums_op *op)
{
	uint64_t first = region_of(op->first), last;
	int trust = atomic_load(&op->file->trust);

	op->begun = false;
	if (!op->blocks || trust == SUMS_BROKEN || (trust == SUMS_UNTOLD && !op->write) ||
	    op->first >= SUMS_BYTES_MAX / SUM_BLOCK)
		return true;
	last = region_of(op->first + op->blocks - 1);
	if (trust == SUMS_KEPT && begin_region(op, first, &op->frame[0])) {
		op->begun = first == last || begin_region(op, last, &op->frame[1]);
		if (op->begun)
			return true;
		end_region(op, first, op->frame[0]);
	}
	sums_queue(&op->file->sums->keeper, op);
	return false;
}

void sums_end(struct sums_op *op)
{
	struct part part;

	if (!op->begun)
		return;
	for_each_part(op, &part) end_region(op, part.region, part.frame);
	op->begun = false;
}

static void wake_waiter(struct sums_op *op)
{
	sem_post(&container_of(op, struct waiting_op, op)->ready);
}

void sums_begin_waiting(struct waiting_op *w, struct sum_file *file, uint64_t first,
			uint32_t blocks, bool raw)
{
	w->op = (struct sums_op){
		.file = file,
		.first = first,
		.blocks = blocks,
		.raw = raw,
		.ready = wake_waiter,
	};
	sem_init(&w->ready, 0, 0);
	if (!sums_begin(&w->op))
		while (sem_wait(&w->ready) < 0 && errno == EINTR)
			;
	sem_destroy(&w->ready);
}

/* ===== verifying and renewing ===== */

uint32_t sums_differ(const struct sums_op *op, const void *data, uint32_t from, uint32_t end)
{
	const char *block = data;
	struct part part;

	for_each_part(op, &part)
	{
		for (unsigned i = 0; i < part.n && part.page; i++) {
			uint32_t at = part.at + i;

			if (at >= from && at < end &&
			    sum_of(block + (size_t)(at - from) * SUM_BLOCK) !=
				    load_sum(part.page, part.first + i))
				return at;
		}
	}
	return end;
}

void sums_intend(const struct sums_op *op, const void *data, struct sum_intent *intent)
{
	const char *block = data;

	if (!op->begun)
		return;
	intent->first = op->first;
	intent->blocks = op->blocks;
	for (uint32_t i = 0; i < op->blocks; i++)
		intent->sums[i] = sum_of(block + (size_t)i * SUM_BLOCK);
	atomic_store_explicit(&intent->id, op->file->sidecar.header.id, memory_order_release);
}

#ifdef BREAK_SUMS
/* For a test that must find it. */
static bool forget_sum(void)
{
	static _Atomic unsigned n;

	return atomic_fetch_add(&n, 1) % 1000 == 999;
}
#else
#define forget_sum() false
#endif

void sums_commit(const struct sums_op *op, struct sum_intent *intent)
{
	struct part part;

	if (!op->begun)
		return;
	for_each_part(op, &part)
	{
		if (!part.page || forget_sum())
			continue;
		for (unsigned i = 0; i < part.n; i++)
			store_sum(part.page, part.first + i, intent->sums[part.at + i]);
		changed(op->file->sums, part.frame);
	}
	atomic_store_explicit(&intent->id, 0, memory_order_release);
}

void sums_settle_failed(const struct sums_op *op, struct sum_intent *intent)
{
	char block[SUM_BLOCK] __attribute__((aligned(SUM_BLOCK)));
	struct image *image = op->file->image;
	bool readable = true;
	struct part part;

	if (!op->begun)
		return;
	for_each_part(op, &part)
	{
		for (unsigned i = 0; part.page && i < part.n && readable; i++) {
			uint64_t offset = (op->first + part.at + i) * SUM_BLOCK;

			readable = image_read_blocks(image, block, SUM_BLOCK, offset, true) == 0;
			if (readable)
				store_sum(part.page, part.first + i, sum_of(block));
		}
		if (part.page)
			changed(op->file->sums, part.frame);
	}
	for_each_part(op, &part) if (!readable) sumsd_unhash(op->file, part.region);
	atomic_store(&intent->id, 0);
}

void sums_set_idle(struct sum_file *file)
{
	uint64_t regions = sidecar_regions(&file->sidecar);

	for (uint64_t r = sumsd_next_unclean(file, 0); r < regions;
	     r = sumsd_next_unclean(file, r + 1)) {
		uint32_t word = atomic_load(&file->word[r]);

		if (state_of(word) == REGION_DIRTY && !(word & (WORD_WRITERS | WORD_MARK)))
			atomic_compare_exchange_strong(&file->word[r], &word, word | WORD_IDLE);
	}
}

/* ===== mismatches ===== */

void sums_report(struct image *image, const void *block, uint64_t offset)
{
	struct log_where where = {.offset = offset, .error = EIO};
	struct sum_file *file = image->sums;
	unsigned at = offset / SUM_BLOCK % REGION_BLOCKS;
	uint64_t region = region_of(offset / SUM_BLOCK), bit = 1ull << at % 64, before;
	struct sum_page *page;
	struct waiting_op w;
	char path[PATH_MAX];

	sums_begin_waiting(&w, file, offset / SUM_BLOCK, 1, false);
	if (w.op.begun && w.op.frame[0] >= 0) {
		page = &file->sums->pages[w.op.frame[0]];
		where.image = name_of(file, path);
		log_at(LOG_LEVEL_ERROR, &where,
		       "csum failed image %s off %lu want 0x%016lx got 0x%016lx", where.image,
		       (unsigned long)offset, (unsigned long)load_sum(page, at),
		       (unsigned long)sum_of(block));
		atomic_fetch_add(&file->errors, 1);
		before = __atomic_fetch_or(&page->bad[at / 64], bit, __ATOMIC_SEQ_CST);
		if (!(before & bit)) {
			changed(file->sums, w.op.frame[0]);
			atomic_fetch_or(&file->word[region], WORD_BAD | WORD_REPORT);
			atomic_store(&file->reports, true);
			sums_wake(&file->sums->keeper);
		}
	}
	sums_end(&w.op);
}

/* REGION's page as it is, without taking a frame. False: its sums mean nothing. -errno. */
static int peek(struct sum_file *file, uint64_t region, struct sum_page *page)
{
	int32_t frame = pin_resident(file, region);
	int rc = 0;

	if (frame >= 0) {
		sums_copy_page(page, &file->sums->pages[frame]);
		unpin(file->sums, frame);
	} else {
		rc = sidecar_read_sums(&file->sidecar, region, page);
	}
	if (rc == -EBADMSG || atomic_load(&file->trust) != SUMS_KEPT ||
	    state_of(atomic_load(&file->word[region])) == REGION_UNHASHED)
		return false;
	return rc < 0 ? rc : true;
}

int sums_compare(struct image *image, const void *data, uint64_t offset, uint32_t length,
		 uint64_t *bad)
{
	struct sums_op op = {.first = offset / SUM_BLOCK, .blocks = length / SUM_BLOCK};
	const char *block = data;
	struct sum_page page;
	struct part part;
	int rc, n = 0;
	_keep_sums_(image);

	if (!image->sums || offset + length > SUMS_BYTES_MAX)
		return 0;
	for_each_part(&op, &part)
	{
		rc = peek(image->sums, part.region, &page);
		if (rc < 0)
			return rc;
		for (unsigned i = 0; rc && i < part.n; i++) {
			unsigned at = part.at + i;

			if (sum_of(block + (size_t)at * SUM_BLOCK) == page.sums[part.first + i])
				continue;
			bad[at / 64] |= 1ull << at % 64;
			n++;
		}
	}
	return n;
}

int64_t sums_seek(struct image *image, uint64_t offset)
{
	_keep_sums_(image);
	struct sum_file *file = image->sums;
	int64_t next;

	if (!file || offset >= SUMS_BYTES_MAX)
		return -ENXIO;
	next = sidecar_next(&file->sidecar, offset / REGION_BYTES);
	for (unsigned i = 0; i < file->sums->nframes; i++) {
		uint64_t region = atomic_load(&file->sums->frames[i].region);

		if (atomic_load(&file->sums->frames[i].id) == file->sidecar.header.id &&
		    region >= offset / REGION_BYTES && (next < 0 || region < (uint64_t)next))
			next = region;
	}
	return next < 0 ? next : (int64_t)MAX(offset, (uint64_t)next * REGION_BYTES);
}

/* Goes on with the range of listed blocks that *START and *N are, or begins it. False: it ends
 * here. */
static bool add_listed(struct sum_file *file, uint64_t region, uint64_t from, uint64_t *start,
		       uint64_t *n)
{
	struct sum_page page;

	if (!(atomic_load(&file->word[region]) & WORD_BAD) || peek(file, region, &page) < 0)
		return !*n;
	for (uint64_t block = from; block < (region + 1) * REGION_BLOCKS; block++) {
		if (is_listed(&page, block % REGION_BLOCKS))
			*start = (*n)++ ? *start : block;
		else if (*n)
			return false;
	}
	return true;
}

static bool error_next(struct sum_file *file, uint64_t *offset, uint64_t *length)
{
	uint64_t block = *offset / SUM_BLOCK, start = 0, n = 0;

	if (!file)
		return false;
	while (region_of(block) < sidecar_regions(&file->sidecar) &&
	       add_listed(file, region_of(block), block, &start, &n))
		block = (region_of(block) + 1) * REGION_BLOCKS;
	*offset = start * SUM_BLOCK;
	*length = n * SUM_BLOCK;
	return n;
}

bool sums_present(struct image *image)
{
	_keep_sums_(image);

	return image->sums;
}

bool sums_error_next(struct image *image, uint64_t *offset, uint64_t *length)
{
	_keep_sums_(image);

	return error_next(image->sums, offset, length);
}

void sums_state(struct image *image, struct sums_state *state)
{
	_keep_sums_(image);
	struct sum_file *file = image->sums;
	uint64_t offset = 0, length, unclean = 0;
	struct stat st;

	*state = (struct sums_state){.phase = SUMS_NONE};
	if (!file)
		return;
	for (uint64_t g = 0; g < sidecar_regions(&file->sidecar) / GROUP_REGIONS; g++)
		unclean += atomic_load(&file->unclean[g]);
	state->to_hash = atomic_load(&file->unhashed) * REGION_BYTES;
	state->phase = state->to_hash || atomic_load(&file->trust) != SUMS_KEPT ? SUMS_BUILDING
										: SUMS_COMPLETE;
	state->dirty = unclean * REGION_BYTES;
	state->errors = atomic_load(&file->errors);
	for (; error_next(file, &offset, &length); offset += length)
		state->bad += length / SUM_BLOCK;
	if (fstat(file->sidecar.fd, &st) == 0)
		state->sidecar = st.st_blocks * 512ull;
}

/* ===== changes of another kind than a write ===== */

bool sums_widen(struct image *image, uint64_t *start, uint64_t *end)
{
	_keep_sums_(image);

	if (!image->sums)
		return false;
	*start -= *start % REGION_BYTES;
	if (*end < UINT64_MAX - REGION_BYTES)
		*end += (REGION_BYTES - *end % REGION_BYTES) % REGION_BYTES;
	return true;
}

/* Reads a block; verifies it, too, if its sum means something. */
static int read_verified(struct sum_file *file, uint64_t block, void *data)
{
	struct waiting_op w;
	int rc = image_read_blocks(file->image, data, SUM_BLOCK, block * SUM_BLOCK, false);

	sums_begin_waiting(&w, file, block, 1, false);
	if (rc == 0 && sums_differ(&w.op, data, 0, 1) == 0)
		rc = image_read_blocks(file->image, data, SUM_BLOCK, block * SUM_BLOCK, true);
	if (rc == 0 && sums_differ(&w.op, data, 0, 1) == 0) {
		sums_report(file->image, data, block * SUM_BLOCK);
		rc = -EIO;
	}
	sums_end(&w.op);
	return rc;
}

/* The blocks that a change from START to END leaves something of. */
static unsigned kept_blocks(const struct image *image, uint64_t start, uint64_t end,
			    uint64_t block[2])
{
	int64_t size = image_size(image);
	unsigned n = 0;

	if (start % SUM_BLOCK)
		block[n++] = start / SUM_BLOCK;
	if (end % SUM_BLOCK && (int64_t)end < size && (!n || block[0] != end / SUM_BLOCK))
		block[n++] = end / SUM_BLOCK;
	return n;
}

static uint64_t regions_to(uint64_t end)
{
	return MIN(end, SUMS_BYTES_MAX) / REGION_BYTES +
	       (end < SUMS_BYTES_MAX && end % REGION_BYTES);
}

int sums_change(struct image *image, uint64_t start, uint64_t end, bool zeroing)
{
	char data[SUM_BLOCK] __attribute__((aligned(SUM_BLOCK)));
	uint64_t kept[2];
	int rc = 0;

	if (!image->sums)
		return 0;
	for (unsigned n = kept_blocks(image, start, end, kept); n-- > 0 && rc == 0;)
		rc = read_verified(image->sums, kept[n], data);
	return rc ?: sumsd_change(image->sums, start / REGION_BYTES, regions_to(end), zeroing);
}

/* Gives blocks FIRST to END, of one region, the sums that SUM says they have now. */
static void renew(struct sum_file *file, uint64_t first, uint64_t end,
		  int (*sum)(void *context, uint64_t block, uint64_t *sum), void *context)
{
	struct waiting_op w;
	struct part part;
	int rc = 0;

	sums_begin_waiting(&w, file, first, end - first, true);
	for_each_part(&w.op, &part)
	{
		for (unsigned i = 0; part.page && i < part.n && rc == 0; i++) {
			unsigned at = part.first + i;
			uint64_t value = 0;

			rc = sum(context, first + part.at + i, &value);
			store_sum(part.page, at, value);
			__atomic_fetch_and(&part.page->bad[at / 64], ~(1ull << at % 64),
					   __ATOMIC_SEQ_CST);
		}
		if (part.page)
			changed(file->sums, part.frame);
	}
	sums_end(&w.op);
	if (rc < 0) /* it is hashed again in time */
		sumsd_unhash(file, region_of(first));
}

static int zero_sum(void *context, uint64_t block, uint64_t *sum)
{
	(void)context, (void)block;
	*sum = 0;
	return 0;
}

static int read_sum(void *context, uint64_t block, uint64_t *sum)
{
	char data[SUM_BLOCK] __attribute__((aligned(SUM_BLOCK)));
	struct sum_file *file = context;
	int rc = image_read_blocks(file->image, data, SUM_BLOCK, block * SUM_BLOCK, false);

	*sum = rc < 0 ? 0 : sum_of(data);
	return rc;
}

void sums_zeroed(struct image *image, uint64_t start, uint64_t end)
{
	struct sum_file *file = image->sums;
	uint64_t first = start / SUM_BLOCK, stop = end / SUM_BLOCK + (end % SUM_BLOCK != 0);
	uint64_t region = region_of(first), last = MIN(region_of(stop), REGIONS_MAX);
	uint64_t head_end = MIN(stop, (region + 1) * REGION_BLOCKS), kept[2];
	unsigned n = file ? kept_blocks(image, start, end, kept) : 0;

	if (!file)
		return;
	/* The first and the last region may keep sums of other blocks; those between are given up.
	 */
	if (sumsd_has_sums(file, region))
		renew(file, first, head_end, zero_sum, NULL);
	if (last > region && last < REGIONS_MAX && stop % REGION_BLOCKS &&
	    sumsd_has_sums(file, last))
		renew(file, last * REGION_BLOCKS, stop, zero_sum, NULL);
	while (n-- > 0)
		if (sumsd_has_sums(file, region_of(kept[n])))
			renew(file, kept[n], kept[n] + 1, read_sum, file);
	sumsd_changed(file, region, regions_to(end), region + 1, last);
}

struct copied {
	struct sum_file *from, *to;
	uint64_t shift; /* from's block - to's block */
};

/* What the source says its block is: a bad one stays a bad one. */
static int copied_sum(void *context, uint64_t block, uint64_t *sum)
{
	struct copied *c = context;
	int rc = -ENODATA;
	struct waiting_op w;
	struct part part;

	if (c->from) {
		sums_begin_waiting(&w, c->from, block + c->shift, 1, false);
		for_each_part(&w.op, &part)
		{
			if (!part.page)
				continue;
			*sum = load_sum(part.page, part.first);
			rc = 0;
		}
		sums_end(&w.op);
	}
	return rc ? read_sum(c->to, block, sum) : 0;
}

void sums_copied(struct image *image, uint64_t start, struct image *from, uint64_t from_start,
		 uint64_t length, uint64_t copied)
{
	struct copied c = {.from = from->sums, .to = image->sums};
	uint64_t first = start / SUM_BLOCK, end;

	/* A block of which only a part has been copied is read. */
	end = (start + copied + (copied == length ? SUM_BLOCK - 1 : 0)) / SUM_BLOCK;

	if (!c.to)
		return;
	c.shift = from_start / SUM_BLOCK - first;
	for (uint64_t block = first, stop; block < end; block = stop) {
		stop = MIN(end, (region_of(block) + 1) * REGION_BLOCKS);
		renew(c.to, block, stop, copied_sum, &c);
	}
	if (copied != length && copied % SUM_BLOCK)
		renew(c.to, end, end + 1, read_sum, c.to);
	sumsd_changed(c.to, region_of(first), regions_to(start + length), 0, 0);
}

void sums_failed(struct image *image, uint64_t start, uint64_t end)
{
	if (image->sums)
		sumsd_failed(image->sums, start / REGION_BYTES, regions_to(end));
}

/* ===== repair ===== */

static int repair_block(struct image *image, const void *data, uint64_t offset)
{
	char block[SUM_BLOCK] __attribute__((aligned(SUM_BLOCK)));
	unsigned at = offset / SUM_BLOCK % REGION_BLOCKS;
	struct sum_file *file = image->sums;
	struct waiting_op w;
	int rc;

	if (!file || offset % SUM_BLOCK || (int64_t)offset >= image_size(image))
		return file ? -EINVAL : -ENODATA;
	memcpy(block, data, SUM_BLOCK);
	rc = sums_touch(image);
	if (rc < 0)
		return rc;
	rc = -ENODATA;
	sums_begin_waiting(&w, file, offset / SUM_BLOCK, 1, false);
	if (w.op.begun && w.op.frame[0] >= 0) {
		struct sum_page *page = &file->sums->pages[w.op.frame[0]];

		rc = sums_differ(&w.op, block, 0, 1) ? 0 : -EBADMSG;
		if (rc == 0 && image_read_blocks(image, block, SUM_BLOCK, offset, true) == 0 &&
		    sums_differ(&w.op, block, 0, 1))
			rc = -EALREADY;
		if (rc == 0)
			rc = image_write_block(image, data, offset);
		if (rc == 0 || rc == -EALREADY) {
			__atomic_fetch_and(&page->bad[at / 64], ~(1ull << at % 64),
					   __ATOMIC_SEQ_CST);
			changed(file->sums, w.op.frame[0]);
			atomic_fetch_or(&file->word[region_of(offset / SUM_BLOCK)], WORD_REPORT);
			atomic_store(&file->reports, true);
		}
	}
	sums_end(&w.op);
	sums_wake(&file->sums->keeper);
	return rc;
}

int sums_repair(struct image *image, const void *data, uint64_t offset)
{
	struct held_range held;
	int rc;

	range_hold(&image->ranges, &held, offset, offset + SUM_BLOCK);
	rc = repair_block(image, data, offset);
	range_drop(&image->ranges, &held);
	return rc;
}
