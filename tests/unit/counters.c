// SPDX-License-Identifier: GPL-2.0-or-later
/* Histograms: which bucket, and sums over images. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cache/counters.h"

static void test_buckets(void **state)
{
	(void)state;
	assert_int_equal(latency_bucket(0), 0);
	assert_int_equal(latency_bucket(15), 0);
	for (unsigned i = 0; i + 1 < LATENCY_BUCKETS; i++) {
		uint64_t bound = 16ull << i; /* us, as in policy/latency.h */

		assert_int_equal(latency_bucket(bound - 1), i);
		assert_int_equal(latency_bucket(bound), i + 1);
	}
	assert_int_equal(latency_bucket(UINT64_MAX), LATENCY_BUCKETS - 1);
}

static void test_sums(void **state)
{
	struct counters a = {.errors = 1}, b = {.errors = 2};

	(void)state;
	count_request(&a.kind[IO_READ], 4096, 20);
	count_request(&b.kind[IO_READ], 512, 1 << 30);
	count_request(&b.kind[IO_FSYNC], 0, 3);
	counters_add(&a, &b);
	assert_int_equal(a.errors, 3);
	assert_int_equal(count_of(&a.kind[IO_READ]), 2);
	assert_int_equal(count_of(&a.kind[IO_WRITE]), 0);
	assert_int_equal(count_of(&a.kind[IO_FSYNC]), 1);
	assert_int_equal(a.kind[IO_READ].bytes, 4608);
	assert_int_equal(a.kind[IO_READ].microseconds, 20 + (1 << 30));
	assert_int_equal(a.kind[IO_READ].latency[1], 1);
	assert_int_equal(a.kind[IO_READ].latency[LATENCY_BUCKETS - 1], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_sums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
