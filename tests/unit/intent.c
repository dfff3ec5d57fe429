// SPDX-License-Identifier: GPL-2.0-or-later
/* Operations that must not be done twice: what a successor knows of one that was begun. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "fuse/intent.h"
#include "fuse/mount.h"
#include "policy/util.h"

static struct mount mount;
static char path[] = "/tmp/intent.XXXXXX";
static int dir = -1;

static int setup(void **state)
{
	int fd;

	(void)state;
	if (!mkdtemp(path))
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(dir, "old", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	close(fd);
	return fd < 0 || state_create(&mount.state) < 0;
}

static int teardown(void **state)
{
	(void)state;
	state_unmap(&mount.state);
	unlinkat(dir, "old", 0);
	unlinkat(dir, "new", 0);
	close(dir);
	return rmdir(path);
}

static const struct intent_names *names(void)
{
	static struct intent_names n;

	n = (struct intent_names){.dir = {dir, dir}, .name = {"old", "new"}};
	return &n;
}

static void test_look(void **state)
{
	struct intent_state i;
	struct name_before before;
	struct stat st;

	(void)state;
	assert_int_equal(fstatat(dir, "old", &st, 0), 0);
	intent_begin(&mount, 2, names(), &i);
	assert_false(i.resumed);
	assert_int_equal(i.before[0].existed, 1);
	assert_int_equal(i.before[0].ino, st.st_ino);
	assert_int_equal(i.before[0].dev, st.st_dev);
	assert_int_equal(i.before[1].existed, 0);
	before = intent_look(dir, "old");
	assert_true(same_inode(&before, &i.before[0]));
	before = intent_look(dir, "new");
	assert_true(same_inode(&before, &i.before[1]));
	assert_false(same_inode(&before, &i.before[0]));
	intent_end(&i);
}

/* A rename that was done before its worker died: its successor knows what the names led to. */
static void test_resumed(void **state)
{
	struct intent_state first, again;

	(void)state;
	intent_begin(&mount, 4, names(), &first);
	assert_int_equal(renameat(dir, "old", dir, "new"), 0);

	intent_begin(&mount, 4 | FUSE_UNIQUE_RESEND, names(), &again);
	assert_true(again.resumed);
	assert_ptr_equal(again.record, first.record);
	assert_true(same_inode(&again.before[0], &first.before[0]));
	assert_true(same_inode(&again.before[1], &first.before[1]));
	assert_int_equal(again.before[0].existed, 1);
	assert_int_equal(again.before[1].existed, 0);
	assert_int_equal(renameat(dir, "new", dir, "old"), 0);

	/* Its successor dies as well. */
	intent_begin(&mount, 4 | FUSE_UNIQUE_RESEND, names(), &again);
	assert_true(again.resumed);
	intent_end(&again);
}

static void test_not_resumed(void **state)
{
	struct intent_state i;

	(void)state;
	/* Sent again, but its operation was never begun. */
	intent_begin(&mount, 6 | FUSE_UNIQUE_RESEND, names(), &i);
	assert_false(i.resumed);
	assert_int_equal(i.before[0].existed, 1);
	/* From now on it was. */
	intent_begin(&mount, 6 | FUSE_UNIQUE_RESEND, names(), &i);
	assert_true(i.resumed);
	intent_end(&i);
	/* Answered: whoever comes with that number is another one. */
	intent_begin(&mount, 6 | FUSE_UNIQUE_RESEND, names(), &i);
	assert_false(i.resumed);
	intent_end(&i);
	/* A request that is not sent again resumes nothing. */
	intent_begin_flag(&mount, 8, true, &i);
	intent_begin_flag(&mount, 8, false, &i);
	assert_false(i.resumed);
	assert_int_equal(i.before[0].existed, 0);
}

static void test_flag(void **state)
{
	struct intent_state i;

	(void)state;
	intent_begin_flag(&mount, 10, true, &i);
	assert_false(i.resumed);
	intent_begin_flag(&mount, 10 | FUSE_UNIQUE_RESEND, false, &i);
	assert_true(i.resumed);
	assert_int_equal(i.before[0].existed, 1);
	intent_end(&i);
}

/* Requests that never come again do not fill the table: the oldest makes room. */
static void test_full(void **state)
{
	struct intent_state i;

	(void)state;
	for (uint64_t unique = 100; unique < 100 + 2 * (INTENTS_MAX + 50); unique += 2)
		intent_begin_flag(&mount, unique, true, &i);
	intent_begin_flag(&mount, 100 | FUSE_UNIQUE_RESEND, false, &i);
	assert_false(i.resumed);
	intent_end(&i);
	for (unsigned n = 1; n < INTENTS_MAX; n++) {
		uint64_t unique = 100 + 2 * (INTENTS_MAX + 50 - n);

		intent_begin_flag(&mount, unique | FUSE_UNIQUE_RESEND, false, &i);
		assert_true(i.resumed);
		intent_end(&i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_look),	    cmocka_unit_test(test_resumed),
		cmocka_unit_test(test_not_resumed), cmocka_unit_test(test_flag),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
