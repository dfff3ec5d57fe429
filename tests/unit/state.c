// SPDX-License-Identifier: GPL-2.0-or-later
/* The state that a successor takes over: what it opens, and ids that never repeat. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "fuse/options.h"
#include "fuse/state.h"
#include "policy/util.h"

static struct state state;

static int setup(void **unused)
{
	(void)unused;
	if (state_create(&state) < 0)
		return -1;
	state.header->workers = 1;
	state.header->images = 1;
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	state_unmap(&state);
	return 0;
}

/* What a successor gets: state_open() owns its descriptor. */
static int reopen(struct state *again)
{
	return state_open(again, fcntl(state.fd, F_DUPFD_CLOEXEC, 0));
}

static void test_open(void **unused)
{
	struct state again;

	(void)unused;
	atomic_store(&state.nodes[NODES_MAX - 1].lookups, 1);
	atomic_store(&state.files[FILES_MAX - 1].id, 2);
	atomic_store(&state.images[IMAGES_MAX - 1].key, 3);
	atomic_store(&state.executing[EXECUTING_MAX - 1], 4);
	atomic_store(&state.intents[INTENTS_MAX - 1].unique, 5);
	atomic_store(&state.devices[DEVICES_MAX - 1].id, 6);
	state.header->suspects[SUSPECTS_MAX - 1].crashes = 7;
	assert_int_equal(reopen(&again), 0);
	assert_int_equal(again.nodes[NODES_MAX - 1].lookups, 1);
	assert_int_equal(again.files[FILES_MAX - 1].id, 2);
	assert_int_equal(again.images[IMAGES_MAX - 1].key, 3);
	assert_int_equal(again.executing[EXECUTING_MAX - 1], 4);
	assert_int_equal(again.intents[INTENTS_MAX - 1].unique, 5);
	assert_int_equal(again.devices[DEVICES_MAX - 1].id, 6);
	assert_int_equal(again.header->suspects[SUSPECTS_MAX - 1].crashes, 7);
	state_unmap(&again);
}

static void test_refused(void **unused)
{
	struct state again;
	struct stat st;
	uint64_t magic = state.header->magic;

	(void)unused;
	state.header->version++;
	assert_int_equal(reopen(&again), -EPROTO);
	state_unmap(&again);
	state.header->version--;
	state.header->magic ^= 1;
	assert_int_equal(reopen(&again), -EPROTO);
	state_unmap(&again);
	state.header->magic = magic;
	state.header->workers = 0;
	assert_int_equal(reopen(&again), -EPROTO);
	state_unmap(&again);
	state.header->workers = THREADS_MAX + 1;
	assert_int_equal(reopen(&again), -EPROTO);
	state_unmap(&again);
	state.header->workers = 1;
	state.header->images = IMAGES_MAX + 1;
	assert_int_equal(reopen(&again), -EPROTO);
	state_unmap(&again);
	state.header->images = 1;
	assert_int_equal(fstat(state.fd, &st), 0);
	assert_int_equal(ftruncate(state.fd, st.st_size - 1), 0);
	assert_int_equal(reopen(&again), -EPROTO);
	close(again.fd);
	assert_int_equal(ftruncate(state.fd, st.st_size + 1), 0);
	assert_int_equal(reopen(&again), -EPROTO);
	close(again.fd);
	assert_int_equal(ftruncate(state.fd, st.st_size), 0);
	assert_int_equal(reopen(&again), 0);
	state_unmap(&again);
	assert_int_equal(state_open(&again, -1), -EBADF);
}

static void test_index(void **unused)
{
	static const uint32_t index[] = {0, 1, FILES_MAX - 1, NODES_MAX - 1};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(index); i++)
		assert_int_equal(state_index(state_new_id(&state, index[i])), index[i]);
	assert_true(state_index(0) >= NODES_MAX); /* nobody's */
}

/* ===== ids of many threads ===== */

#define THREADS 4
#define IDS 50000

static uint64_t ids[THREADS + 1][IDS];

static void *make_ids(void *arg)
{
	uint64_t *id = arg;

	for (unsigned i = 0; i < IDS; i++)
		id[i] = state_new_id(&state, 7);
	return NULL;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* One record, made again and again, by many threads and then by a successor. */
static void test_ids(void **unused)
{
	uint64_t *all = ids[0], last = 0;
	pthread_t threads[THREADS];

	(void)unused;
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_ids, ids[i]), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	{
		struct state first = state;

		assert_int_equal(reopen(&state), 0);
		state_unmap(&first);
	}
	make_ids(ids[THREADS]);
	qsort(all, sizeof(ids) / sizeof(*all), sizeof(*all), compare);
	for (size_t i = 0; i < sizeof(ids) / sizeof(*all); i++) {
		assert_true(all[i] > last);
		assert_int_equal(state_index(all[i]), 7);
		last = all[i];
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_index, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ids, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
