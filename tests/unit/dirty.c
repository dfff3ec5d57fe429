// SPDX-License-Identifier: GPL-2.0-or-later
/* The bound on dirty data: who goes on, who starts writeback, who syncs and who waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <semaphore.h>
#include <stdatomic.h>

#include "cache/dirty.h"
#include "policy/util.h"

#define LIMIT 800u /* starts every 100, waits beyond 400 */

struct writer {
	struct dirty_wait wait;
	bool called, sync;
	sem_t answered;
};

static struct dirty dirty;

static void note_go_on(struct dirty_wait *wait, bool sync)
{
	struct writer *w = container_of(wait, struct writer, wait);

	w->called = true;
	w->sync = sync;
}

static enum dirty_action add(struct writer *w, uint64_t bytes)
{
	*w = (struct writer){.wait.go_on = note_go_on};
	return dirty_add(&dirty, (struct dirty_span){0, bytes}, &w->wait);
}

static int setup(void **state)
{
	(void)state;
	dirty_init(&dirty);
	dirty.limit = LIMIT;
	return 0;
}

static void test_start(void **state)
{
	struct writer w;

	(void)state;
	assert_int_equal(add(&w, 100), DIRTY_GO_ON);
	assert_int_equal(add(&w, 1), DIRTY_START);
	assert_int_equal(add(&w, 100), DIRTY_GO_ON);
	assert_int_equal(add(&w, 1), DIRTY_START);
	assert_int_equal(dirty_outstanding(&dirty), 202);
}

static void test_sync(void **state)
{
	struct writer syncer, w[4];

	(void)state;
	assert_int_equal(add(&syncer, 400), DIRTY_START); /* just not too far */
	assert_int_equal(add(&syncer, 1), DIRTY_SYNC);
	/* One sync at a time, the others wait, whatever they add. */
	assert_int_equal(add(&w[0], 100), DIRTY_WAIT); /* ends at 501 */
	assert_int_equal(add(&w[1], 300), DIRTY_WAIT); /* 801 */
	assert_int_equal(add(&w[2], 1), DIRTY_WAIT);   /* 802 */
	assert_int_equal(add(&w[3], 1), DIRTY_WAIT);   /* 803 */

	/* 401 are on the device: those that end within 400 of it are answered; the first of the
	 * rest syncs next. */
	dirty_synced(&dirty);
	assert_int_equal(dirty_outstanding(&dirty), 803 - 401);
	assert_true(w[0].called && !w[0].sync);
	assert_true(w[1].called && !w[1].sync);
	assert_true(w[2].called && w[2].sync);
	assert_false(w[3].called);

	dirty_synced(&dirty);
	assert_true(w[3].called && !w[3].sync);
	assert_int_equal(dirty_outstanding(&dirty), 0);
	assert_int_equal(add(&syncer, 401), DIRTY_SYNC);
	dirty_synced(&dirty);
}

/* What is written while a sync runs is not covered by it. */
static void test_mark(void **state)
{
	struct writer w;
	uint64_t mark;

	(void)state;
	add(&w, 300);
	mark = dirty_mark(&dirty);
	add(&w, 50);
	dirty_cleaned(&dirty, mark);
	assert_int_equal(dirty_outstanding(&dirty), 50);
	dirty_cleaned(&dirty, 10); /* a slower one, begun earlier */
	assert_int_equal(dirty_outstanding(&dirty), 50);
	assert_int_equal(add(&w, 351), DIRTY_SYNC);
	dirty_cleaned(&dirty, dirty_mark(&dirty));
	dirty_synced(&dirty);
	assert_int_equal(dirty_outstanding(&dirty), 0);
}

/* ===== many threads ===== */

#define THREADS 6
#define ROUNDS 5000

static _Atomic int syncing;
static _Atomic unsigned twice, beyond, syncs;

static void post_go_on(struct dirty_wait *wait, bool sync)
{
	struct writer *w = container_of(wait, struct writer, wait);

	w->sync = sync;
	sem_post(&w->answered);
}

static void sync_now(void)
{
	if (atomic_fetch_add(&syncing, 1))
		atomic_fetch_add(&twice, 1);
	atomic_fetch_add(&syncs, 1);
	atomic_fetch_sub(&syncing, 1);
	dirty_synced(&dirty);
}

static void *write_much(void *arg)
{
	struct writer w = {.wait.go_on = post_go_on};

	(void)arg;
	sem_init(&w.answered, 0, 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		enum dirty_action action =
			dirty_add(&dirty, (struct dirty_span){0, i % 50}, &w.wait);

		if (action == DIRTY_WAIT) {
			while (sem_wait(&w.answered) < 0)
				;
			if (w.sync)
				sync_now();
		} else if (action == DIRTY_SYNC) {
			sync_now();
		}
		/* Half of the limit, and one write more each thread. */
		if (dirty_outstanding(&dirty) > LIMIT / 2 + THREADS * 50)
			atomic_fetch_add(&beyond, 1);
	}
	sem_destroy(&w.answered);
	return NULL;
}

static bool lost(uint64_t from, uint64_t to)
{
	struct dirty_span span = dirty_lost(&dirty);

	return span.from == from && span.to == to;
}

static void wrote(uint64_t from, uint64_t to)
{
	struct dirty_wait wait;

	dirty_add(&dirty, (struct dirty_span){from, to}, &wait);
}

/* What a failed sync may have lost is what no sync has covered: nothing older, and all of it. */
static void test_lost(void **state)
{
	uint64_t mark, later;

	(void)state;
	assert_true(lost(0, 0));
	wrote(8, 9);
	wrote(4, 5);
	assert_true(lost(4, 9));
	assert_true(lost(0, 0));
	wrote(1, 2);
	mark = dirty_mark(&dirty);
	dirty_cleaned(&dirty, mark);
	wrote(3, 4);
	mark = dirty_mark(&dirty);
	wrote(6, 7);
	assert_true(lost(3, 7));
	wrote(1, 2);
	mark = dirty_mark(&dirty);
	wrote(3, 4);
	later = dirty_mark(&dirty);
	dirty_cleaned(&dirty, mark); /* the later one may still fail for what this one covered */
	assert_true(lost(1, 4));
	dirty_cleaned(&dirty, later);
	assert_true(lost(0, 0));
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_much, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(twice, 0);
	assert_int_equal(beyond, 0);
	assert_true(syncs > 0);
	assert_false(dirty.syncing);
	assert_null(dirty.first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_start, setup),
		cmocka_unit_test_setup(test_sync, setup),
		cmocka_unit_test_setup(test_mark, setup),
		cmocka_unit_test_setup(test_lost, setup),
		cmocka_unit_test_setup(test_threads, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
