// SPDX-License-Identifier: GPL-2.0-or-later
/* Whose word counts: file, nearest trusted directory, policy file, mount option, default. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "policy/log.h"
#include "policy/resolve.h"
#include "policy/util.h"

/* ===== what callbacks say ===== */

#define IMAGE_UID 1000

/* A file three levels below the pool's root; values are "KEY=VALUE" of cache or checksum. */
struct level {
	uid_t uid;
	const char *xattrs[2];
};

static ssize_t level_get(void *ctx, unsigned depth, const char *xattr, char *buf, size_t size)
{
	const struct level *level = (const struct level *)ctx + depth;
	const char *key = xattr + strlen(XATTR_PREFIX);

	assert_memory_equal(xattr, XATTR_PREFIX, strlen(XATTR_PREFIX));
	if (depth > 3)
		return -ENOENT;
	for (int i = 0; i < 2; i++) {
		const char *x = level->xattrs[i];
		size_t len = strlen(key);

		if (!x || strncmp(x, key, len) || x[len] != '=')
			continue;
		x += len + 1;
		if (strlen(x) > size)
			return -ERANGE;
		memcpy(buf, x, strlen(x));
		return strlen(x);
	}
	return -ENODATA;
}

static int level_owner(void *ctx, unsigned depth, uid_t *uid)
{
	*uid = ((const struct level *)ctx)[depth].uid;
	return 0;
}

static const struct file_facts xfs = {XFS_SUPER_MAGIC, .direct_io = true};

static void check(const struct level levels[4], const struct policy_file *policy,
		  const struct settings *mount, const char *want)
{
	struct resolve_input in = {
		.path = "a/b/x.img",
		.source = {level_get, level_owner, (void *)levels},
		.policy = policy,
		.mount = mount,
		.facts = &xfs,
	};
	struct settings s;
	char buf[256];

	resolve(&in, &s);
	settings_effective(&s, buf, sizeof(buf));
	assert_string_equal(buf, want);
}

static struct policy_file *policy_from(const char *text)
{
	char path[] = "/tmp/policy-resolve.XXXXXX";
	_cleanup_close_ int fd = mkstemp(path);
	struct policy_file *policy = NULL;
	struct policy_error err;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(policy_file_load(path, &policy, &err), 0);
	unlink(path);
	return policy;
}

static void test_order(void **state)
{
	struct policy_file *policy = policy_from("[*.img]\ncache=unsafe\nchecksum=xxh3\n");
	struct level l[4] = {{IMAGE_UID, {0}}, {0, {0}}, {0, {0}}, {0, {0}}};
	struct settings mount = {0};

	(void)state;
	check(l, NULL, NULL, "cache=none (auto: xfs) checksum=off (default)");
	settings_set_named(&mount, "cache", "writeback", FROM_MOUNT, NULL);
	check(l, NULL, &mount, "cache=writeback (mount) checksum=off (default)");
	check(l, policy, &mount, "cache=unsafe (policy) checksum=xxh3 (policy)");
	l[3].xattrs[0] = "cache=directsync";
	check(l, policy, &mount, "cache=directsync (directory) checksum=xxh3 (policy)");
	l[1].xattrs[0] = "cache=dontcache";
	check(l, policy, &mount, "cache=dontcache (directory) checksum=xxh3 (policy)");
	l[0].xattrs[1] = "checksum=off";
	check(l, policy, &mount, "cache=dontcache (directory) checksum=off (file)");
	l[0].xattrs[0] = "cache=auto";
	check(l, policy, &mount, "cache=none (auto: xfs) checksum=off (file)");
	l[0].xattrs[0] = "cache=none";
	check(l, policy, &mount, "cache=none (file) checksum=off (file)");
	policy_file_free(policy);
}

static void test_directory_owner(void **state)
{
	struct level l[4] = {{IMAGE_UID, {0}},
			     {IMAGE_UID + 1, {"cache=unsafe"}},
			     {IMAGE_UID, {"cache=directsync"}},
			     {0, {"cache=writeback", "checksum=xxh3"}}};

	(void)state;
	check(l, NULL, NULL, "cache=directsync (directory) checksum=xxh3 (directory)");
	l[2].uid = IMAGE_UID + 1;
	check(l, NULL, NULL, "cache=writeback (directory) checksum=xxh3 (directory)");
	l[3].uid = IMAGE_UID + 1;
	check(l, NULL, NULL, "cache=none (auto: xfs) checksum=off (default)");
	l[0].uid = 0; /* an image of root's */
	check(l, NULL, NULL, "cache=none (auto: xfs) checksum=off (default)");
}

/* What somebody wrote behind the mount does not stand in the way of the next place. */
static void test_bad_values(void **state)
{
	static const char too_long[] = "cache=0123456789012345678901234567890123456789012345678901"
				       "012345678901234567890123456789012345678901234567890123456"
				       "012345678901234567890123456789012345678901234567890123456"
				       "012345678901234567890123456789012345678901234567890123456"
				       "012345678901234567890123456789012345678901234567890123456";
	struct level l[4] = {{IMAGE_UID, {"cache=fast"}},
			     {0, {too_long}},
			     {0, {"cache=writethrough"}},
			     {0, {0}}};

	(void)state;
	check(l, NULL, NULL, "cache=writethrough (directory) checksum=off (default)");
}

/* ===== what a real tree says ===== */

static char tree[] = "/var/tmp/policy-resolve.XXXXXX";

static int remove_tree(void **state)
{
	char cmd[64];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", tree);
	return system(cmd);
}

static void set(int dir, const char *path, const char *xattr, const char *value)
{
	_cleanup_close_ int fd = openat(dir, path, O_RDONLY);

	if (fsetxattr(fd, xattr, value, strlen(value), 0) < 0) {
		assert_int_equal(errno, EOPNOTSUPP);
		print_message("no user xattrs in /var/tmp\n");
		skip();
	}
}

static void test_tree(void **state)
{
	_cleanup_close_ int root = -1, fd = -1;
	struct pool_file pf;
	struct resolve_input in = {.path = "a/b/x.img", .facts = &xfs};
	struct settings s;
	char buf[256];

	(void)state;
	assert_non_null(mkdtemp(tree));
	root = open(tree, O_RDONLY | O_DIRECTORY);
	mkdirat(root, "a", 0755);
	mkdirat(root, "a/b", 0755);
	fd = openat(root, "a/b/x.img", O_RDWR | O_CREAT, 0644);
	assert_true(fd >= 0);
	pf = (struct pool_file){fd, root, in.path};
	in.source = pool_file_source(&pf);

	set(root, ".", "user.bouncefs.cache", "writethrough");
	set(root, "a", "user.bouncefs.checksum", "xxh3");
	assert_false(resolve_is_marked(&in.source));
	resolve(&in, &s);
	settings_effective(&s, buf, sizeof(buf));
	assert_string_equal(buf, "cache=writethrough (directory) checksum=xxh3 (directory)");

	set(root, "a/b", "user.bouncefs.cache", "dontcache");
	set(root, "a/b/x.img", "user.bouncefs.block-size", "4096");
	assert_true(resolve_is_marked(&in.source));
	resolve(&in, &s);
	settings_effective(&s, buf, sizeof(buf));
	assert_string_equal(buf, "cache=dontcache (directory) checksum=xxh3 (directory) "
				 "block-size=4096 (file)");

	/* Directories that are gone or have become symlinks say nothing, the root still does. */
	assert_int_equal(renameat(root, "a", root, "c"), 0);
	resolve(&in, &s);
	settings_effective(&s, buf, sizeof(buf));
	assert_string_equal(buf, "cache=writethrough (directory) checksum=off (default) "
				 "block-size=4096 (file)");
	assert_int_equal(symlinkat("c", root, "a"), 0);
	resolve(&in, &s);
	settings_effective(&s, buf, sizeof(buf));
	assert_string_equal(buf, "cache=writethrough (directory) checksum=off (default) "
				 "block-size=4096 (file)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_directory_owner),
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test_teardown(test_tree, remove_tree),
	};

	log_level = -1; /* bad values are meant here */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
