// SPDX-License-Identifier: GPL-2.0-or-later
/* The pool of bounce buffers: which slot is handed out, and when memory is given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>

#include "cache/pool.h"
#include "policy/util.h"

#define RESIDENT 2u
#define TOTAL 5u

static struct pool pool;

static int setup(void **state)
{
	(void)state;
	return pool_init(&pool, RESIDENT, TOTAL);
}

static int teardown(void **state)
{
	(void)state;
	pool_fini(&pool);
	return 0;
}

/* How many pages of the slot have memory: from its headers to the end of the slack. */
static unsigned pages_in_core(const struct slot *slot)
{
	unsigned char in_core[1 + (PAYLOAD_MAX + SLOT_SLACK) / SLOT_PAGE];
	unsigned n = 0;

	assert_int_equal(mincore(slot->payload - SLOT_PAGE, sizeof(in_core) * SLOT_PAGE, in_core),
			 0);
	for (unsigned i = 0; i < sizeof(in_core); i++)
		n += in_core[i] & 1;
	return n;
}

#define ALL_PAGES (1 + (PAYLOAD_MAX + SLOT_SLACK) / SLOT_PAGE)

/* As a lane does it with its helper: gets one, with the memory that it takes. */
static struct slot *get(void)
{
	struct slot *slot = pool_get(&pool), *wanted;

	while (!slot && (wanted = pool_take_wanted(&pool))) {
		slot_populate(wanted);
		assert_true(wanted->populated);
		pool_bring(&pool, wanted);
		slot = pool_get(&pool);
	}
	return slot;
}

static void get_all(struct slot *slot[TOTAL])
{
	for (unsigned i = 0; i < TOTAL; i++) {
		slot[i] = get();
		assert_non_null(slot[i]);
	}
}

static void trim(void)
{
	struct slot *idle = pool_take_idle(&pool);

	for (struct slot *slot = idle; slot; slot = slot->next)
		slot_empty(slot);
	pool_bring(&pool, idle);
}

static void put_all(struct slot *slot[TOTAL])
{
	for (unsigned i = 0; i < TOTAL; i++)
		pool_put(&pool, slot[i]);
}

static void test_totals(void **state)
{
	struct slot *slot[TOTAL];

	(void)state;
	get_all(slot);
	assert_int_equal(pool.busy, TOTAL);
	assert_null(pool_get(&pool));
	assert_false(pool.wanting); /* there is nothing to be had */
	assert_int_equal(pool.busy, TOTAL);
	for (unsigned i = 0; i < TOTAL; i++)
		for (unsigned j = 0; j < i; j++)
			assert_true(labs(slot[i]->payload - slot[j]->payload) >=
				    (long)(SLOT_PAGE + PAYLOAD_MAX + SLOT_SLACK));
	put_all(slot);
	assert_int_equal(pool.busy, 0);
}

static void test_layout(void **state)
{
	struct iovec iov[RESIDENT];
	struct slot *slot[TOTAL];

	(void)state;
	get_all(slot);
	pool_buffers(&pool, iov);
	for (unsigned i = 0; i < TOTAL; i++) {
		assert_int_equal((uintptr_t)slot[i]->payload % SLOT_PAGE, 0);
		memset(slot[i]->payload - SLOT_PAGE, (int)i, ALL_PAGES * SLOT_PAGE);
	}
	for (unsigned i = 0; i < TOTAL; i++) {
		assert_int_equal(slot[i]->payload[-(int)SLOT_PAGE], i);
		assert_int_equal(slot[i]->payload[PAYLOAD_MAX + SLOT_SLACK - 1], i);
		if (slot[i]->buffer < 0)
			continue;
		assert_in_range(slot[i]->buffer, 0, RESIDENT - 1);
		assert_ptr_equal(iov[slot[i]->buffer].iov_base, slot[i]->payload - SLOT_PAGE);
		assert_int_equal(iov[slot[i]->buffer].iov_len, ALL_PAGES * SLOT_PAGE);
	}
	put_all(slot);
}

/* Resident ones first, of each kind the one that was in use last. */
static void test_order(void **state)
{
	struct slot *slot[TOTAL];

	(void)state;
	get_all(slot);
	for (unsigned i = 0; i < TOTAL; i++)
		assert_int_equal(slot[i]->buffer >= 0, i < RESIDENT);
	pool_put(&pool, slot[4]);
	pool_put(&pool, slot[1]);
	pool_put(&pool, slot[2]);
	pool_put(&pool, slot[0]);
	assert_ptr_equal(pool_get(&pool), slot[0]);
	assert_ptr_equal(pool_get(&pool), slot[1]);
	assert_ptr_equal(pool_get(&pool), slot[2]);
	assert_ptr_equal(pool_get(&pool), slot[4]);
	put_all(slot);
}

/* No slot faces the device without memory: a fault there would lose a request. */
static void test_populated(void **state)
{
	struct slot *slot[TOTAL];

	(void)state;
	for (unsigned i = 0; i < TOTAL; i++)
		assert_int_equal(pages_in_core(&pool.slots[i]), i < RESIDENT ? ALL_PAGES : 0);
	get_all(slot);
	for (unsigned i = 0; i < TOTAL; i++)
		assert_int_equal(pages_in_core(slot[i]), ALL_PAGES);
	put_all(slot);
}

static void check_memory(struct slot *slot[TOTAL], unsigned burst_pages)
{
	for (unsigned i = 0; i < TOTAL; i++)
		assert_int_equal(pages_in_core(slot[i]), i < RESIDENT ? ALL_PAGES : burst_pages);
}

static void test_trim(void **state)
{
	struct slot *slot[TOTAL];

	(void)state;
	get_all(slot);
	put_all(slot);
	trim(); /* in use since the last one */
	check_memory(slot, ALL_PAGES);

	/* Resident slots alone do not make it a burst. */
	assert_ptr_equal(pool_get(&pool), slot[1]);
	pool_put(&pool, slot[1]);
	trim();
	check_memory(slot, 0);
	trim();
	check_memory(slot, 0);

	/* They come back with memory, and what is in use keeps it. */
	get_all(slot);
	check_memory(slot, ALL_PAGES);
	pool_put(&pool, slot[2]);
	slot[3]->payload[0] = 'x';
	trim();
	trim();
	assert_int_equal(pages_in_core(slot[2]), 0);
	assert_int_equal(pages_in_core(slot[3]), ALL_PAGES);
	assert_int_equal(slot[3]->payload[0], 'x');
	assert_null(pool_get(&pool)); /* not before it has memory again */
	assert_ptr_equal(get(), slot[2]);
	put_all(slot);
}

/* The daemon's memory is locked: plain MADV_DONTNEED would not do. */
static void test_trim_locked(void **state)
{
	struct slot *slot[TOTAL];
	size_t size = (size_t)TOTAL * ALL_PAGES * SLOT_PAGE;

	(void)state;
	if (mlock2(pool.memory, size, MLOCK_ONFAULT) < 0) {
		print_message("mlock2: %s\n", strerror(errno));
		skip();
	}
	get_all(slot);
	put_all(slot);
	trim();
	trim();
	check_memory(slot, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_totals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_layout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_populated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trim, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trim_locked, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
