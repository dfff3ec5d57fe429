// SPDX-License-Identifier: GPL-2.0-or-later
/* The policy file: globs, errors with their line, and its default name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include "policy/file.h"
#include "policy/util.h"

static int load(const char *text, struct policy_file **policy, struct policy_error *err)
{
	char path[] = "/tmp/policy-file.XXXXXX";
	_cleanup_close_ int fd = mkstemp(path);
	int r;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	r = policy_file_load(path, policy, err);
	unlink(path);
	return r;
}

/* The cache mode that the policy gives to PATH; CACHE_AUTO if it says nothing. */
static enum cache_mode mode_of(const struct policy_file *policy, const char *path)
{
	const struct settings *s = policy_file_match(policy, path);

	return s && s->from[SETTING_CACHE] == FROM_POLICY ? s->value[SETTING_CACHE] : CACHE_AUTO;
}

static void test_globs(void **state)
{
	static const char text[] =
		"# pool of a Qubes dom0\n"
		"[volatile.img]\n"
		"cache = unsafe ; they are thrown away\n"
		"\n"
		"[/top.img]\n"
		"cache=writethrough\n"
		"[ fast/* ]\n"
		"cache=none\n"
		"[fast/*]\n"
		"  cache = directsync\n"
		"  checksum = xxh3\n"
		"[disk[0-9].raw]\n"
		"cache=dontcache\n"
		"[appvms/a-name-that-is-much-longer-than-libinih-takes-it/root.img]\n"
		"cache=writeback\n"
		"[*.img]\n"
		"checksum=xxh3\n"
		"[root.img]\n"
		"cache=none\n";
	struct policy_file *policy = NULL;
	struct policy_error err;

	(void)state;
	assert_int_equal(load(text, &policy, &err), 0);
	assert_int_equal(mode_of(policy, "appvms/work/volatile.img"), CACHE_UNSAFE);
	assert_int_equal(mode_of(policy, "volatile.img"), CACHE_UNSAFE);
	assert_int_equal(mode_of(policy, "not-volatile.img"), CACHE_AUTO);
	assert_int_equal(mode_of(policy, "top.img"), CACHE_WRITETHROUGH);
	assert_int_equal(mode_of(policy, "sub/top.img"), CACHE_AUTO);
	assert_int_equal(mode_of(policy, "fast/deep/down.raw"), CACHE_DIRECTSYNC);
	assert_int_equal(policy_file_match(policy, "fast/x")->value[SETTING_CHECKSUM],
			 CHECKSUM_XXH3);
	assert_int_equal(mode_of(policy, "breakfast/x.raw"), CACHE_AUTO);
	assert_int_equal(mode_of(policy, "vm/disk3.raw"), CACHE_DONTCACHE);
	assert_null(policy_file_match(policy, "vm/diskx.raw"));
	assert_int_equal(mode_of(policy, "appvms/a-name-that-is-much-longer-than-libinih-takes-it/"
					 "root.img"),
			 CACHE_WRITEBACK);
	/* The first glob that matches decides, also about what it does not mention. */
	assert_int_equal(mode_of(policy, "vm/root.img"), CACHE_AUTO);
	assert_null(policy_file_match(policy, "notes.txt"));
	assert_null(policy_file_match(NULL, "root.img"));
	policy_file_free(policy);
}

/* Refused as a whole: the line, a part of the reason, and the policy in force stays. */
static void check_refused(const char *text, unsigned line, const char *reason)
{
	struct policy_file *policy = (struct policy_file *)text; /* must stay as it is */
	struct policy_error err = {0};

	assert_int_equal(load(text, &policy, &err), -EINVAL);
	assert_int_equal(err.line, line);
	if (!strstr(err.text, reason))
		fail_msg("\"%s\" does not say \"%s\"", err.text, reason);
	assert_ptr_equal(policy, text);
}

static void test_errors(void **state)
{
	struct policy_file *policy = NULL;
	struct policy_error err;
	char longline[1024];

	(void)state;
	check_refused("[*.img]\ncache=none\n\ncache=fast\n", 4, "good ones: none directsync");
	check_refused("[*.img]\ncache=none\ncash=none\n", 3, "unknown key \"cash\"");
	check_refused("[*.img]\nbroken\ncache=fast\n", 2, "neither [GLOB] nor KEY = VALUE");
	check_refused("[*.img]\ncache=fast\nbroken\n", 2, "good ones");
	check_refused("cache=none\n[*.img]\n", 1, "before the first");
	check_refused("[]\ncache=none\n", 1, "empty glob");
	check_refused("\n[*.img\ncache=none\n", 2, "alone on its line");
	check_refused("[*.img] cache=none\n", 1, "alone on its line");
	snprintf(longline, sizeof(longline), "[a]\ncache=%0900d\n", 0);
	check_refused(longline, 2, "too long");

	/* A glob may be as long as a path. */
	snprintf(longline, sizeof(longline), "[%0900d]\ncache=fast\n", 0);
	check_refused(longline, 2, "good ones");

	assert_int_equal(policy_file_load("/nonexistent/x.conf", &policy, &err), -ENOENT);
	assert_int_equal(policy_file_load("/tmp", &policy, &err), -EIO);
	assert_null(policy);

	/* Nothing in it is a policy, too. */
	assert_int_equal(load("", &policy, &err), 0);
	assert_null(policy_file_match(policy, "x.img"));
	policy_file_free(policy);
}

static void check_name(const char *path, const char *want)
{
	char name[256];

	assert_int_equal(unit_name_from_path(path, name, sizeof(name)), 0);
	assert_string_equal(name, want);
}

/* What the real systemd-escape says, where there is one. */
static void check_name_against_systemd(const char *path)
{
	char name[256], want[256] = "", cmd[512];
	FILE *p;

	snprintf(cmd, sizeof(cmd), "systemd-escape --path -- '%s'", path);
	p = popen(cmd, "r");
	assert_non_null(p);
	assert_non_null(fgets(want, sizeof(want), p));
	assert_int_equal(pclose(p), 0);
	want[strcspn(want, "\n")] = '\0';
	assert_int_equal(unit_name_from_path(path, name, sizeof(name)), 0);
	assert_string_equal(name, want);
}

static void test_names(void **state)
{
	static const char *const paths[] = {
		"/",
		"/var/lib/pool",
		"//var///lib/./pool/",
		"/var/lib-x/p_o:o.l",
		"/.hidden/.x",
		"/sp ace/ü",
		"/a\\b@c",
		"/-x/y-",
		"/...",
		"/a/..b",
	};
	char buf[PATH_MAX], small[8];

	(void)state;
	check_name("/var/lib/pool", "var-lib-pool");
	check_name("/", "-");
	check_name("/.a/b c", "\\x2ea-b\\x20c");
	assert_int_equal(unit_name_from_path("/a/../b", buf, sizeof(buf)), -EINVAL);
	assert_int_equal(unit_name_from_path("/1234567", small, sizeof(small)), 0);
	assert_int_equal(unit_name_from_path("/12345678", small, sizeof(small)), -ENAMETOOLONG);
	assert_int_equal(unit_name_from_path("/123456 8", small, sizeof(small)), -ENAMETOOLONG);
	assert_int_equal(policy_file_default("/var/lib/pool", buf), 0);
	assert_string_equal(buf, "/etc/bouncefs/var-lib-pool.conf");

	if (system("command -v systemd-escape >/dev/null")) {
		print_message("no systemd-escape here: not compared\n");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		check_name_against_systemd(paths[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_globs),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
