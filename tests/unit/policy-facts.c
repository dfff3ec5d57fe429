// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What `auto` picks on real filesystems, and whether this kernel's Btrfs does what the version
 * table says: BdiDirtied counts what goes through the page cache. Needs root, loop devices, mkfs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "policy/facts.h"
#include "policy/util.h"

#define MIB (1 << 20)
#define IO_SIZE (32 * MIB)

static char dir[] = "/var/tmp/policy-facts.XXXXXX";

__attribute__((format(printf, 1, 2))) static int run(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	return system(cmd);
}

/* Mounts go when the last process of this mount namespace does, their loop devices with them. */
static int setup(void **state)
{
	(void)state;
	return !mkdtemp(dir) || chdir(dir) || unshare(CLONE_NEWNS) ||
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mkdir("m", 0755) ||
	       mkdir("debug", 0755) || mount("debugfs", "debug", "debugfs", 0, NULL);
}

static int teardown(void **state)
{
	(void)state;
	umount2("debug", MNT_DETACH);
	return chdir("/") || run("rm -rf %s", dir);
}

/* Loop devices are detached at once: they go with the last mount that uses them. */
static void mount_new(const char *mkfs, int disks, const char *options)
{
	int r = run("set -e; for i in $(seq %d); do rm -f disk$i; truncate -s 512M disk$i;"
		    "set -- \"$@\" $(losetup -f --show disk$i); done;"
		    "trap 'losetup -d \"$@\"' EXIT; %s \"$@\" >/dev/null 2>&1; mount -o %s $1 m",
		    disks, mkfs, options);

	assert_int_equal(r, 0);
}

/* Lazily: a test that failed has left its files open. */
static int unmount(void **state)
{
	(void)state;
	return umount2("m", MNT_DETACH);
}

/* Creates m/NAME with the inode flags (chattr) given. */
static int create(const char *name, int flags)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "m/%s", name);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
	assert_true(fd >= 0);
	if (flags)
		assert_int_equal(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
	return fd;
}

static void check(int fd, enum cache_mode mode, const char *reason)
{
	struct file_facts facts;
	unsigned pick;

	assert_int_equal(facts_gather(fd, &facts), 0);
	pick = auto_pick(&facts);
	assert_string_equal(auto_reason(pick), reason);
	assert_int_equal(auto_mode(pick), mode);
}

static void check_new_file(const char *name, int flags, enum cache_mode mode, const char *reason)
{
	_cleanup_close_ int fd = create(name, flags);

	check(fd, mode, reason);
}

static void test_xfs(void **state)
{
	(void)state;
	mount_new("mkfs.xfs -q", 1, "rw");
	check_new_file("a", 0, CACHE_NONE, "auto: xfs");
}

static void test_ext4(void **state)
{
	(void)state;
	mount_new("mkfs.ext4 -q", 1, "rw");
	check_new_file("a", 0, CACHE_NONE, "auto: ext4");
}

/* data=journal: ext4 takes O_DIRECT and buffers it, and says so through statx. */
static void test_ext4_journal(void **state)
{
	(void)state;
	mount_new("mkfs.ext4 -q", 1, "data=journal");
	check_new_file("a", 0, CACHE_WRITEBACK, "auto: no direct I/O on this file");
}

static void test_tmpfs(void **state)
{
	(void)state;
	assert_int_equal(mount("t", "m", "tmpfs", 0, NULL), 0);
	check_new_file("a", 0, CACHE_WRITEBACK, "auto: tmpfs");
}

/* What a checksummed file gets on this kernel. */
static void check_plain(int fd)
{
	struct utsname uts;

	uname(&uts);
	if (facts_btrfs_buffers(uts.release, false))
		check(fd, CACHE_DONTCACHE, "auto: btrfs, kernel buffers direct writes");
	else
		check(fd, CACHE_NONE, "auto: btrfs, kernel writes directly");
}

static void test_btrfs_files(void **state)
{
	_cleanup_close_ int plain = -1, property = -1, below = -1;

	(void)state;
	mount_new("mkfs.btrfs -q", 1, "rw");
	plain = create("plain", 0);
	check_plain(plain);
	check_new_file("nocow", FS_NOCOW_FL, CACHE_NONE, "auto: btrfs nodatasum");
	check_new_file("compressed", FS_COMPR_FL, CACHE_DONTCACHE, "auto: btrfs compression");

	property = create("property", 0);
	assert_int_equal(run("btrfs property set m/property compression zstd"), 0);
	check(property, CACHE_DONTCACHE, "auto: btrfs compression");
	assert_int_equal(run("btrfs property set m/property compression none"), 0);
	check_plain(property);

	/* A subvolume has an st_dev of its own, which no line of mountinfo has. */
	assert_int_equal(run("btrfs -q subvolume create m/sv && mount -o remount,compress=lzo m"),
			 0);
	below = create("sv/below", 0);
	check(below, CACHE_DONTCACHE, "auto: btrfs compression");
	check(plain, CACHE_DONTCACHE, "auto: btrfs compression");
	check_plain(property);
}

static void test_btrfs_nodatasum(void **state)
{
	(void)state;
	mount_new("mkfs.btrfs -q", 1, "nodatasum");
	check_new_file("a", 0, CACHE_NONE, "auto: btrfs nodatasum");
}

/* Bytes that a direct write of IO_SIZE brings into the page cache. */
static long dirtied_by_direct_write(const char *name)
{
	char path[64], cmd[512];
	long before, after;
	FILE *p;

	snprintf(path, sizeof(path), "m/%s", name);
	snprintf(cmd, sizeof(cmd),
		 "bdi=$(readlink -f /sys/fs/btrfs/$(blkid -o value -s UUID disk1)/bdi);"
		 "d() { awk '/BdiDirtied/ {print $2}' debug/bdi/${bdi##*/}/stats; };"
		 "sync -f m; d; dd if=/dev/zero of=%s bs=1M count=%d oflag=direct conv=notrunc "
		 "2>/dev/null; d",
		 path, IO_SIZE / MIB);
	p = popen(cmd, "r");
	assert_non_null(p);
	assert_int_equal(fscanf(p, "%ld %ld", &before, &after), 2);
	assert_int_equal(pclose(p), 0);
	return (after - before) * 1024;
}

static void check_buffers(const char *name, bool want)
{
	long dirtied = dirtied_by_direct_write(name);

	print_message("%s: a direct write of %d dirtied %ld bytes\n", name, IO_SIZE, dirtied);
	assert_int_equal(dirtied > IO_SIZE / 2, want);
}

static void test_btrfs_kernel(void **state)
{
	_cleanup_close_ int plain = -1, nocow = -1;
	struct utsname uts;

	(void)state;
	uname(&uts);
	mount_new("mkfs.btrfs -q", 1, "rw");
	plain = create("plain", 0);
	nocow = create("nocow", FS_NOCOW_FL);
	check_buffers("plain", facts_btrfs_buffers(uts.release, false));
	check_buffers("nocow", false);
}

static void test_btrfs_raid1(void **state)
{
	_cleanup_close_ int nocow = -1;
	struct utsname uts;
	bool buffers;

	(void)state;
	uname(&uts);
	buffers = facts_btrfs_buffers(uts.release, true);
	mount_new("mkfs.btrfs -q -d raid1 -m raid1", 2, "rw");
	nocow = create("nocow", FS_NOCOW_FL);
	check_buffers("nocow", buffers);
	if (buffers)
		check(nocow, CACHE_DONTCACHE, "auto: btrfs, kernel buffers direct writes");
	else
		check(nocow, CACHE_NONE, "auto: btrfs nodatasum");
}

#define on_mount(test) cmocka_unit_test_teardown(test, unmount)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_mount(test_xfs),	     on_mount(test_ext4),
		on_mount(test_ext4_journal), on_mount(test_tmpfs),
		on_mount(test_btrfs_files),  on_mount(test_btrfs_nodatasum),
		on_mount(test_btrfs_kernel), on_mount(test_btrfs_raid1),
	};

	if (geteuid() || access("/dev/loop-control", W_OK)) {
		print_message("needs root and loop devices\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
