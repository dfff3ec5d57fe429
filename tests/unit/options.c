// SPDX-License-Identifier: GPL-2.0-or-later
/* The command line: keys, words of mount(8), operands, and what is said of what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include "fuse/options.h"
#include "fuse/state.h"
#include "policy/log.h"
#include "policy/util.h"

/* Options belong to the program's lifetime, and this program has many. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static struct options o;
static char said[8192]; /* by the last call, on stderr */

static enum options_result parse(char **argv)
{
	int file = memfd_create("stderr", MFD_CLOEXEC), saved = dup(2), argc = 0;
	enum options_result result;
	ssize_t n;

	while (argv[argc])
		argc++;
	assert_true(file >= 0 && saved >= 0);
	fflush(stderr);
	dup2(file, 2);
	result = options_parse(&o, argc, argv);
	fflush(stderr);
	dup2(saved, 2);
	n = pread(file, said, sizeof(said) - 1, 0);
	said[MAX(n, 0)] = 0;
	close(file);
	close(saved);
	return result;
}

#define PARSE(...) parse((char *[]){"bouncefs", __VA_ARGS__, NULL})

static void good(const char *list)
{
	if (PARSE("-o", (char *)list, "/", "/dev") != OPTIONS_RUN || *said)
		fail_msg("-o %s: refused: %s", list, said);
}

/* One line, which has WORD in it. */
static void check_said(const char *word)
{
	char *end = strchr(said, '\n');

	if (!end || end[1] || strncmp(said, "bouncefs: ", 10) || !strstr(said, word))
		fail_msg("not one line with '%s': %s", word, said);
}

static void bad(const char *list, const char *word)
{
	if (PARSE("-o", (char *)list, "/", "/dev") != OPTIONS_BAD)
		fail_msg("-o %s: not refused", list);
	check_said(word);
}

static void test_defaults(void **state)
{
	(void)state;
	assert_int_equal(PARSE("/", "/dev"), OPTIONS_RUN);
	assert_string_equal(said, "");
	assert_string_equal(o.source, "/");
	assert_string_equal(o.mountpoint, "/dev");
	assert_string_equal(o.images, "*.img:*.raw:*.qcow2");
	assert_int_equal(o.memory, 48);
	assert_int_equal(o.threads, 0);
	assert_int_equal(o.log_level, LOG_LEVEL_INFO);
	assert_int_equal(o.mount_flags, 0);
	assert_false(o.foreground || o.worker || o.remount || o.passthrough);
	assert_null(o.policy);
	assert_null(o.log_file);
	assert_null(o.list);
	for (int key = 0; key < SETTINGS; key++)
		assert_int_equal(o.settings.from[key], FROM_UNSET);
}

static void check_setting(const char *list, enum setting key, uint64_t value)
{
	good(list);
	assert_int_equal(o.settings.from[key], FROM_MOUNT);
	assert_int_equal(o.settings.value[key], value);
}

static void test_settings(void **state)
{
	(void)state;
	check_setting("cache=none", SETTING_CACHE, CACHE_NONE);
	check_setting("cache=directsync", SETTING_CACHE, CACHE_DIRECTSYNC);
	check_setting("cache=writeback", SETTING_CACHE, CACHE_WRITEBACK);
	check_setting("cache=dontcache", SETTING_CACHE, CACHE_DONTCACHE);
	check_setting("cache=writethrough", SETTING_CACHE, CACHE_WRITETHROUGH);
	check_setting("cache=unsafe", SETTING_CACHE, CACHE_UNSAFE);
	check_setting("cache=auto", SETTING_CACHE, CACHE_AUTO);
	check_setting("dirty-limit=2M", SETTING_DIRTY_LIMIT, 2 << 20);
	check_setting("block-size=4096", SETTING_BLOCK_SIZE, 4096);
	check_setting("detect-zeroes=unmap", SETTING_DETECT_ZEROES, ZEROES_UNMAP);
	check_setting("cache=none,cache=unsafe", SETTING_CACHE, CACHE_UNSAFE); /* the last one */
}

static void test_keys(void **state)
{
	(void)state;
	good("threads=1");
	assert_int_equal(o.threads, 1);
	good("threads=64");
	assert_int_equal(o.threads, 64);
	good("memory=8");
	assert_int_equal(o.memory, 8);
	good("memory=4096");
	assert_int_equal(o.memory, 4096);
	good("images=*.vdi:*.vhd");
	assert_string_equal(o.images, "*.vdi:*.vhd");
	good("log=/tmp/l");
	assert_string_equal(o.log_file, "/tmp/l");
	good("policy=/tmp/p");
	assert_string_equal(o.policy, "/tmp/p");
	good("passthrough=ro,ro");
	assert_true(o.passthrough);
	good("log-level=error");
	assert_int_equal(o.log_level, LOG_LEVEL_ERROR);
	good("log-level=trace");
	assert_int_equal(o.log_level, LOG_LEVEL_TRACE);
}

/* Who gives a bad value is told the good ones. */
static void test_bad_values(void **state)
{
	(void)state;
	bad("cache=fast", "'fast' is not");
	bad("cache=fast", "writethrough");
	bad("cache=", "dontcache");
	bad("cache", "dontcache");
	bad("cache=None", "none");
	bad("threads=0", "from 1 to 64");
	bad("threads=65", "from 1 to 64");
	bad("threads=-1", "from 1 to 64");
	bad("threads=+1", "from 1 to 64");
	bad("threads= 1", "from 1 to 64");
	bad("threads=1x", "from 1 to 64");
	bad("threads=", "from 1 to 64");
	bad("threads=18446744073709551617", "from 1 to 64");
	bad("memory=7", "from 8 to 4096");
	bad("memory=4097", "from 8 to 4096");
	bad("images=", "patterns");
	bad("log=here", "absolute path");
	bad("policy=", "absolute path");
	bad("passthrough=rw,ro", "ro");
	bad("passthrough=ro", "read-only mount");
	bad("log-level=loud", "error, warning, info, debug or trace");
	bad("dirty-limit=lots", "dirty-limit");
	bad("block-size=513", "512");
	bad("detect-zeroes=maybe", "unmap");
	bad("colour=red", "unknown option 'colour'");
	bad("colour", "cache=");
	bad("colour", " noatime");
	bad("threads=2,colour,memory=9", "unknown option 'colour'");
	bad("ro=1", "unknown option 'ro'");
}

static void check_flags(const char *list, unsigned long flags)
{
	good(list);
	assert_int_equal(o.mount_flags, flags);
}

/* mount(8) passes everything that it does not use itself. */
static void test_mount_words(void **state)
{
	static const char *const ignored[] = {
		"defaults",
		"auto",
		"noauto",
		"user",
		"nouser",
		"users",
		"owner",
		"group",
		"_netdev",
		"nofail",
		"silent",
		"loud",
		"mand",
		"nomand",
		"lazytime",
		"nolazytime",
		"allow_other",
		"default_permissions",
		"nonempty",
		"user_id=0",
		"group_id=0",
		"rootmode=40000",
		"fd=3",
		"helper=fuse",
		"uhelper=udisks2",
		"max_read=131072",
		"blksize=4096",
		"x-systemd.automount",
		"X-mount.mkdir",
		"comment=a",
		"rw",
		"suid",
		"dev",
		"exec",
		"async",
		"atime",
		"diratime",
		"norelatime",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		check_flags(ignored[i], 0);
	check_flags("ro", MS_RDONLY);
	check_flags("ro,rw", 0);
	check_flags("nosuid,nodev,noexec", MS_NOSUID | MS_NODEV | MS_NOEXEC);
	check_flags("nosuid,nodev,noexec,suid,dev,exec", 0);
	check_flags("sync,dirsync", MS_SYNCHRONOUS | MS_DIRSYNC);
	check_flags("sync,async", 0);
	check_flags("noatime,nodiratime", MS_NOATIME | MS_NODIRATIME);
	check_flags("noatime,atime,nodiratime,diratime", 0);
	check_flags("relatime", MS_RELATIME);
	check_flags("relatime,norelatime,strictatime", MS_STRICTATIME);
	assert_false(o.remount);
	check_flags("remount,ro", MS_RDONLY);
	assert_true(o.remount);
}

static void test_lists(void **state)
{
	(void)state;
	good(",,threads=3,,memory=16,");
	assert_int_equal(o.threads, 3);
	assert_int_equal(o.memory, 16);
	good("");
	assert_int_equal(PARSE("-othreads=2", "/", "-o", "memory=9,ro", "/dev", "-f"), OPTIONS_RUN);
	assert_int_equal(o.threads, 2);
	assert_int_equal(o.memory, 9);
	assert_int_equal(o.mount_flags, MS_RDONLY);
	assert_true(o.foreground);
	assert_string_equal(o.list, "threads=2,memory=9,ro"); /* for a worker */
}

static void test_operands(void **state)
{
	(void)state;
	assert_int_equal(PARSE("-f", "/dev/..", "/dev/../dev"), OPTIONS_RUN);
	assert_string_equal(o.source, "/");
	assert_string_equal(o.mountpoint, "/dev");
	assert_int_equal(PARSE("/", "-o", "ro", "/dev", "--foreground"), OPTIONS_RUN);
	assert_true(o.foreground);

	assert_int_equal(parse((char *[]){"bouncefs", NULL}), OPTIONS_BAD);
	check_said("needs SOURCE and MOUNTPOINT");
	assert_int_equal(PARSE("/"), OPTIONS_BAD);
	check_said("--help");
	assert_int_equal(PARSE("/", "/dev", "/proc"), OPTIONS_BAD);
	check_said("'/proc'");
	assert_int_equal(PARSE("/", "/nonexistent/x"), OPTIONS_BAD);
	check_said("/nonexistent/x: No such file or directory");
	assert_int_equal(PARSE("/", "/dev", "-x"), OPTIONS_BAD);
	check_said("unknown option '-x'");
	assert_int_equal(PARSE("/", "/dev", "-o"), OPTIONS_BAD);
	check_said("-o needs");
	assert_int_equal(PARSE("/", "-"), OPTIONS_BAD); /* an operand */
	check_said("-: No such file");
}

/* A worker must not look at the mount point, which nobody serves meanwhile. */
static void test_worker(void **state)
{
	char source[] = "/nonexistent/source", mountpoint[] = "/nonexistent/mnt";

	(void)state;
	assert_int_equal(PARSE("--worker", "-o", "cache=none", source, mountpoint), OPTIONS_RUN);
	assert_true(o.worker);
	assert_ptr_equal(o.source, source);
	assert_ptr_equal(o.mountpoint, mountpoint);
}

static void test_accepts_state(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--accepts-state", STATE_VERSION_TEXT), OPTIONS_EXIT);
	assert_int_equal(PARSE("--accepts-state", "0"), OPTIONS_BAD);
	assert_int_equal(PARSE("--accepts-state", STATE_VERSION_TEXT "0"), OPTIONS_BAD);
	assert_int_equal(PARSE("--accepts-state"), OPTIONS_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),      cmocka_unit_test(test_settings),
		cmocka_unit_test(test_keys),	      cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_mount_words),   cmocka_unit_test(test_lists),
		cmocka_unit_test(test_operands),      cmocka_unit_test(test_worker),
		cmocka_unit_test(test_accepts_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
