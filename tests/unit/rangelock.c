// SPDX-License-Identifier: GPL-2.0-or-later
/* Range locks: who conflicts, order of arrival, waiting, and many threads at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>

#include "cache/rangelock.h"
#include "policy/util.h"

static struct range_queue queue;

struct waiter {
	struct range range;
	bool called;
	unsigned turn; /* the how-manieth that was called back */
};

static unsigned calls;

static void note_grant(struct range *range)
{
	struct waiter *w = container_of(range, struct waiter, range);

	w->called = true;
	w->turn = ++calls;
}

static bool acquire(struct waiter *w, uint64_t start, uint64_t end, bool exclusive)
{
	*w = (struct waiter){.range = {start, end, exclusive, .on_grant = note_grant}};
	return range_acquire(&queue, &w->range);
}

static void release(struct waiter *w)
{
	range_release(&queue, &w->range);
}

static int setup(void **state)
{
	(void)state;
	range_queue_init(&queue);
	calls = 0;
	return 0;
}

/* Each test leaves the queue empty. */
static int teardown(void **state)
{
	(void)state;
	return queue.first || queue.last || queue.waiting;
}

static void test_conflicts(void **state)
{
	static const struct {
		uint64_t start, end;
		bool exclusive, granted;
	} want[] = {
		{0, 10, true, true},	      {20, 30, true, true}, /* neighbours touch nothing */
		{9, 10, true, true},	      {10, 11, true, false},
		{19, 20, false, false},	      {19, 21, true, false},
		{0, UINT64_MAX, true, false}, {5, 5, true, true}, /* nothing at all */
		{10, 10, true, true},	      {20, 20, true, true},
		{15, 15, true, false}, /* an empty range waits for who has both sides of it */
	};
	struct waiter held, w;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		assert_true(acquire(&held, 10, 20, true));
		assert_int_equal(acquire(&w, want[i].start, want[i].end, want[i].exclusive),
				 want[i].granted);
		release(&held);
		assert_int_equal(w.called, !want[i].granted);
		release(&w);
	}
}

static void test_shared(void **state)
{
	struct waiter a, b, writer;

	(void)state;
	assert_true(acquire(&a, 0, 100, false));
	assert_true(acquire(&b, 50, 150, false));
	assert_false(acquire(&writer, 60, 70, true));
	release(&a);
	assert_false(writer.called);
	release(&b);
	assert_true(writer.called);
	release(&writer);
}

/* Nobody overtakes who waits: a stream of readers does not starve a writer. */
static void test_order(void **state)
{
	struct waiter first, writer, reader[3], elsewhere;

	(void)state;
	assert_true(acquire(&first, 0, 100, false));
	assert_false(acquire(&writer, 0, 100, true));
	for (unsigned i = 0; i < ARRAY_SIZE(reader); i++)
		assert_false(acquire(&reader[i], i * 10, i * 10 + 10, false));
	assert_true(acquire(&elsewhere, 100, 200, true));
	release(&first);
	assert_true(writer.called);
	for (unsigned i = 0; i < ARRAY_SIZE(reader); i++)
		assert_false(reader[i].called);
	release(&writer);
	for (unsigned i = 0; i < ARRAY_SIZE(reader); i++) {
		assert_int_equal(reader[i].turn, i + 2);
		release(&reader[i]);
	}
	release(&elsewhere);
}

/* More of them than are woken in one go. */
static void test_many(void **state)
{
	struct waiter writer, reader[100];

	(void)state;
	assert_true(acquire(&writer, 0, UINT64_MAX, true));
	for (unsigned i = 0; i < ARRAY_SIZE(reader); i++)
		assert_false(acquire(&reader[i], 0, 1, false));
	release(&writer);
	for (unsigned i = 0; i < ARRAY_SIZE(reader); i++)
		assert_int_equal(reader[i].turn, i + 1);
	for (unsigned i = 0; i < ARRAY_SIZE(reader); i++)
		release(&reader[i]);
}

/* An FSYNC's range, the last byte but one: all pass it but who holds the whole image. */
static void test_quiesce(void **state)
{
	struct waiter fsync, write;
	struct held_range all;

	(void)state;
	assert_true(acquire(&write, 0, 1ull << 63, true));
	assert_true(acquire(&fsync, UINT64_MAX - 2, UINT64_MAX - 1, false));
	release(&fsync);
	release(&write);
	range_hold(&queue, &all, 0, UINT64_MAX);
	assert_false(acquire(&fsync, UINT64_MAX - 2, UINT64_MAX - 1, false));
	assert_false(acquire(&write, 0, 4096, true));
	range_drop(&queue, &all);
	assert_true(fsync.called);
	assert_true(write.called);
	release(&fsync);
	release(&write);
}

/* ===== many threads ===== */

#define PAGES 16
#define THREADS 6
#define ROUNDS 3000

/* Who holds a page: readers count up, a writer has it for itself. Written only under the range
 * lock, and plain on purpose: the thread sanitizer sees whether the lock orders its users. */
static unsigned plain[PAGES];
static _Atomic int holders[PAGES];
static _Atomic unsigned overlaps;

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 16;
}

static void use(const struct range *range)
{
	for (uint64_t p = range->start; p < range->end; p++) {
		int before = atomic_fetch_add(&holders[p], range->exclusive ? 1000 : 1);

		if (range->exclusive ? before != 0 : before >= 1000)
			atomic_fetch_add(&overlaps, 1);
		if (range->exclusive)
			plain[p]++;
		else if (plain[p] == UINT32_MAX)
			atomic_fetch_add(&overlaps, 1);
	}
	for (uint64_t p = range->start; p < range->end; p++)
		atomic_fetch_sub(&holders[p], range->exclusive ? 1000 : 1);
}

static void post(struct range *range)
{
	sem_post(&container_of(range, struct held_range, range)->granted);
}

/* As range_hold(), but shared ranges too. */
static void hold(struct held_range *held, uint32_t *seed)
{
	uint64_t start = next_random(seed) % PAGES, length = next_random(seed) % 4 + 1;

	held->range = (struct range){
		.start = start,
		.end = MIN(start + length, PAGES),
		.exclusive = next_random(seed) % 2,
		.on_grant = post,
	};
	sem_init(&held->granted, 0, 0);
	if (!range_acquire(&queue, &held->range))
		while (sem_wait(&held->granted) < 0)
			;
}

static void *contend(void *arg)
{
	uint32_t seed = (uintptr_t)arg;
	struct held_range held;

	for (unsigned i = 0; i < ROUNDS; i++) {
		if (i % 64 == 0)
			range_hold(&queue, &held, 0, PAGES);
		else
			hold(&held, &seed);
		use(&held.range);
		range_drop(&queue, &held);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, contend, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(overlaps, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_conflicts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quiesce, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
