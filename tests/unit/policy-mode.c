// SPDX-License-Identifier: GPL-2.0-or-later
/* What each cache mode does (the table of modes in the manual), and which one `auto` picks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/magic.h>

#include "policy/auto.h"
#include "policy/facts.h"
#include "policy/mode.h"
#include "policy/util.h"

static void test_traits(void **state)
{
	static const struct {
		const char *name;
		bool direct, dsync, flush, bounded, drop;
	} want[] = {
		[CACHE_NONE] = {"none", 1, 0, 1, 0, 0},
		[CACHE_DIRECTSYNC] = {"directsync", 1, 1, 1, 0, 0},
		[CACHE_WRITEBACK] = {"writeback", 0, 0, 1, 1, 0},
		[CACHE_DONTCACHE] = {"dontcache", 0, 0, 1, 1, 1},
		[CACHE_WRITETHROUGH] = {"writethrough", 0, 1, 1, 0, 0},
		[CACHE_UNSAFE] = {"unsafe", 0, 0, 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		const struct cache_traits *t = cache_traits(i);

		assert_string_equal(t->name, want[i].name);
		assert_int_equal(t->direct, want[i].direct);
		assert_int_equal(t->dsync, want[i].dsync);
		assert_int_equal(t->flush, want[i].flush);
		assert_int_equal(t->bounded, want[i].bounded);
		assert_int_equal(t->drop, want[i].drop);
	}
}

static void check_pick(struct file_facts facts, enum cache_mode mode, const char *reason)
{
	unsigned pick = auto_pick(&facts);

	assert_string_equal(auto_reason(pick), reason);
	assert_int_equal(auto_mode(pick), mode);
}

static void test_auto(void **state)
{
	struct file_facts btrfs = {BTRFS_SUPER_MAGIC, .direct_io = true};

	(void)state;
	check_pick((struct file_facts){XFS_SUPER_MAGIC, .direct_io = true}, CACHE_NONE,
		   "auto: xfs");
	check_pick((struct file_facts){EXT4_SUPER_MAGIC, .direct_io = true}, CACHE_NONE,
		   "auto: ext4");
	check_pick((struct file_facts){EXT4_SUPER_MAGIC}, CACHE_WRITEBACK,
		   "auto: no direct I/O on this file");
	check_pick((struct file_facts){0x2fc12fc1, .direct_io = true}, CACHE_WRITEBACK,
		   "auto: zfs");
	check_pick((struct file_facts){0xca451a4e, .direct_io = true}, CACHE_WRITEBACK,
		   "auto: bcachefs");
	check_pick((struct file_facts){NFS_SUPER_MAGIC, .direct_io = true}, CACHE_WRITEBACK,
		   "auto: network filesystem");
	check_pick((struct file_facts){0x12345678, .direct_io = true}, CACHE_WRITEBACK,
		   "auto: unknown filesystem");

	check_pick(btrfs, CACHE_NONE, "auto: btrfs, kernel writes directly");
	btrfs.buffers_direct_writes = true;
	check_pick(btrfs, CACHE_DONTCACHE, "auto: btrfs, kernel buffers direct writes");
	btrfs.compressed = true;
	check_pick(btrfs, CACHE_DONTCACHE, "auto: btrfs compression");
	btrfs.buffers_direct_writes = false;
	check_pick(btrfs, CACHE_DONTCACHE, "auto: btrfs compression");
	btrfs.nodatasum = true; /* Btrfs does not compress such a file */
	check_pick(btrfs, CACHE_NONE, "auto: btrfs nodatasum");
	btrfs.buffers_direct_writes = true; /* its data profile has copies */
	check_pick(btrfs, CACHE_DONTCACHE, "auto: btrfs, kernel buffers direct writes");
}

static void test_kernels(void **state)
{
	static const struct {
		const char *release;
		bool checksummed, duplicated;
	} want[] = {
		{"5.10.0-28-amd64", 0, 0},
		{"6.1.0-18-amd64", 0, 0},
		{"6.12.76", 0, 0},
		{"6.12.77", 1, 1},
		{"6.12.100-1.qubes.fc41.x86_64", 1, 1},
		{"6.13.77", 0, 0},
		{"6.14.11", 0, 0},
		{"6.15.0-rc1", 1, 0},
		{"6.15", 1, 0},
		{"6.17.13", 1, 0},
		{"6.18.15", 1, 0},
		{"6.18.44", 1, 1},
		{"6.19.5", 1, 0},
		{"6.19.6", 1, 1},
		{"7.0.0", 1, 1},
		{"10.1", 1, 1},
		{"Hurd", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		assert_int_equal(facts_btrfs_buffers(want[i].release, false), want[i].checksummed);
		assert_int_equal(facts_btrfs_buffers(want[i].release, true), want[i].duplicated);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_traits),
		cmocka_unit_test(test_auto),
		cmocka_unit_test(test_kernels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
