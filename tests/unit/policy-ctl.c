// SPDX-License-Identifier: GPL-2.0-or-later
/* What bouncectl does without a daemon: command line, xattrs of files, loop devices (as root). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "policy/util.h"

static char dir[] = "/var/tmp/policy-ctl.XXXXXX";
static char output[4096]; /* of the last command */

/* Runs a shell command in which $B is bouncectl; returns its exit status. */
static int run(const char *command)
{
	FILE *p = popen(command, "r");
	size_t n;

	assert_non_null(p);
	n = fread(output, 1, sizeof(output) - 1, p);
	output[n] = '\0';
	return WEXITSTATUS(pclose(p));
}

/* It must end with STATUS and print exactly WANT; stderr counts only where it is redirected. */
static void check(const char *command, int status, const char *want)
{
	int r = run(command);

	if (r != status || strcmp(output, want))
		fail_msg("%s: exit status %d, expected %d\ngot      %s\nexpected %s", command, r,
			 status, output, want);
}

/* Build directory and scratch directory; two files whose filesystem has xattrs. */
static int setup(void **state)
{
	char self[PATH_MAX] = "";
	_cleanup_close_ int fd = -1;

	(void)state;
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return -1;
	strcpy(strstr(self, "/tests/unit/"), "/bouncectl");
	setenv("B", self, 1);
	if (!mkdtemp(dir) || chdir(dir))
		return -1;
	fd = open("a.img", O_RDWR | O_CREAT | O_EXCL, 0644);
	return fd < 0 || ftruncate(fd, 8 << 20);
}

static int teardown(void **state)
{
	(void)state;
	return unlink("a.img") || chdir("/") || rmdir(dir);
}

static void test_usage(void **state)
{
	static const char *const wrong[] = {
		"",
		"colour",
		"get",
		"get a b c",
		"set a.img",
		"set a.img cache",
		"unset a.img",
		"attach",
		"attach -x a.img",
		"attach a b",
		"detach",
		"log-level",
		"log-level a b c",
		"top -d 0",
		"top -n x",
		"metrics --json",
	};
	char cmd[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		snprintf(cmd, sizeof(cmd), "\"$B\" %s 2>/dev/null", wrong[i]);
		check(cmd, 2, "");
	}
	check("$B get x 2>&1", 1, "bouncectl: x: No such file or directory\n");
	check("$B --help >/dev/full 2>/dev/null", 1, "");
}

static void test_settings(void **state)
{
	char value[16] = "";

	(void)state;
	if (setxattr("a.img", "user.probe", "", 0, 0) < 0) {
		print_message("no user xattrs in /var/tmp\n");
		skip();
	}
	check("$B get a.img cache 2>&1", 1, "bouncectl: a.img: cache is not set\n");
	check("$B get --json a.img", 0, "{}\n");
	check("$B set a.img cache=unsafe block-size=4K", 0, "");
	assert_int_equal(getxattr("a.img", "user.bouncefs.cache", value, sizeof(value)), 6);
	assert_string_equal(value, "unsafe");
	check("$B get a.img", 0, "cache=unsafe (file)\nblock-size=4K (file)\n");
	check("$B get a.img cache", 0, "unsafe\n");
	check("$B --json get a.img", 0,
	      "{\"cache\": {\"value\": \"unsafe\", \"from\": \"file\"}, "
	      "\"block-size\": {\"value\": \"4K\", \"from\": \"file\"}}\n");
	check("$B set a.img --json checksum=xxh3 dirty-limit=2M", 0,
	      "{\"checksum\": \"xxh3\", \"dirty-limit\": \"2M\"}\n");

	/* One bad value: none is set. */
	check("$B set a.img cache=none checksum=md5 2>&1", 1,
	      "bouncectl: bad value \"md5\" for checksum, good ones: off xxh3\n");
	check("$B get a.img cache", 0, "unsafe\n");
	check("$B unset a.img cache colour 2>&1", 1, "bouncectl: unknown key \"colour\"\n");
	check("$B get a.img cache", 0, "unsafe\n");

	check("$B unset a.img cache checksum dirty-limit", 0, "");
	check("$B unset a.img cache 2>&1", 1, "bouncectl: a.img: cache is not set\n");
}

static void test_mounts(void **state)
{
	(void)state;
	check("$B status . 2>&1", 1, "bouncectl: .: not on a bouncefs mount\n");
	check("$B log-level . debug 2>&1", 1, "bouncectl: .: not on a bouncefs mount\n");
	check("$B metrics / . 2>&1", 1, "bouncectl: /: not on a bouncefs mount\n");
	check("$B doctor nowhere 2>&1", 1, "bouncectl: nowhere: No such file or directory\n");
}

static void test_loop(void **state)
{
	char device[64], cmd[256], want[256];

	(void)state;
	if (geteuid() || access("/dev/loop-control", W_OK)) {
		print_message("needs root and loop devices\n");
		skip();
	}
	assert_int_equal(run("$B attach a.img"), 0);
	assert_int_equal(sscanf(output, "%63s", device), 1);
	snprintf(cmd, sizeof(cmd), "cd /sys/block/%s && cat queue/logical_block_size loop/dio ro",
		 device + strlen("/dev/"));
	/* With user xattrs there, the test before this one has left block-size=4K. */
	check(cmd, 0,
	      getxattr("a.img", "user.bouncefs.block-size", NULL, 0) < 0 ? "512\n1\n0\n"
									 : "4096\n1\n0\n");
	snprintf(want, sizeof(want), "bouncectl: a.img: already attached as %s\n", device);
	check("$B attach a.img 2>&1", 1, want);

	snprintf(cmd, sizeof(cmd), "exec 9<%s; $B detach a.img 2>&1 9<&-", device);
	snprintf(want, sizeof(want), "bouncectl: %s: in use, goes with its last user\n", device);
	check(cmd, 1, want);
	check("$B detach a.img 2>&1", 1, "bouncectl: a.img: not attached\n");

	removexattr("a.img", "user.bouncefs.block-size");
	assert_int_equal(run("$B attach --json -r a.img"), 0);
	assert_int_equal(sscanf(output, "{\"device\": \"%63[^\"]", device), 1);
	snprintf(want, sizeof(want),
		 "{\"device\": \"%s\", \"block-size\": 512, \"direct-io\": 1}\n", device);
	assert_string_equal(output, want);
	snprintf(cmd, sizeof(cmd), "cat /sys/block/%s/ro", device + strlen("/dev/"));
	check(cmd, 0, "1\n");
	snprintf(cmd, sizeof(cmd), "$B detach %s", device);
	check(cmd, 0, "");
	/* (not by its number, which may be somebody else's by now) */
	check("$B detach a.img 2>&1", 1, "bouncectl: a.img: not attached\n");
	check("$B attach . 2>&1", 1, "bouncectl: .: Is a directory\n");
}

/* Whatever failed above. */
static int detach(void **state)
{
	(void)state;
	run("d=$(losetup -j a.img -O NAME -n) && [ -z \"$d\" ] || losetup -d $d");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_mounts),
		cmocka_unit_test_teardown(test_loop, detach),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
