// SPDX-License-Identifier: GPL-2.0-or-later
/* The ioctls that are forwarded, and that no others are. */
#include "compare.h"

#include <linux/fs.h>
#include <linux/fsverity.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

/* The flags that a user may change, without the filesystem's own (extents, inline data). */
#define VISIBLE_FLAGS                                                                 \
	(FS_SYNC_FL | FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL | \
	 FS_DIRSYNC_FL | FS_NOCOW_FL | FS_COMPR_FL)

static void show_flags(const char *name, int fd)
{
	int flags = 0;

	TRY(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	note("%s: flags %#x", name, flags & VISIBLE_FLAGS);
}

static void set_flags(const char *name, int fd, int flags)
{
	int old = 0;

	ioctl(fd, FS_IOC_GETFLAGS, &old);
	flags |= old & ~VISIBLE_FLAGS;
	note("%s: set %#x", name, flags & VISIBLE_FLAGS);
	TRY(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	show_flags(name, fd);
}

static void flagged_files(void)
{
	close(make_file("foreign", 10));
	MUST(chmod("foreign", 0666));
	MUST(mkdir("d", 0755));
	MUST(chown("d", caller, group));
	EACH_KIND (f) {
		close(make_file(f, 0));
		MUST(chown(f, caller, group));
	}
}

BEHAVIOUR_AFTER(flagged_files, flags_are_read_and_set)
{
	static const int flags[] = {FS_NODUMP_FL,
				    FS_NOATIME_FL | FS_NODUMP_FL,
				    FS_SYNC_FL,
				    FS_NOCOW_FL,
				    FS_COMPR_FL,
				    FS_DIRSYNC_FL,
				    0};
	static const char *const names[] = {"plain", "disk.img", "d", "foreign"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int fd = MUST(open(names[i], O_RDONLY));

		show_flags(names[i], fd);
		for (size_t j = 0; j < ARRAY_SIZE(flags); j++)
			set_flags(names[i], fd, flags[j]);
		close(fd);
	}
	MUST(mkdir("d/new", 0755));
	show_flags("d/new", MUST(open("d/new", O_RDONLY)));
}

static void use_flagged(const char *f, int fd)
{
	char name[64];

	TRY(pwrite(fd, "x", 1, 0));
	OPEN(open(f, O_WRONLY));
	OPEN(open(f, O_WRONLY | O_APPEND));
	TRY(truncate(f, 0));
	TRY(chmod(f, 0600));
	TRY(chown(f, -1, SECOND_GROUP));
	TRY(utimensat(AT_FDCWD, f, NULL, 0));
	TRY(setxattr(f, "user.a", "1", 1, 0));
	TRY(rename(f, "renamed"));
	TRY(link(f, "linked"));
	TRY(unlink(f));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	OPEN(open(name, O_WRONLY));
}

BEHAVIOUR_AFTER(flagged_files, immutable_and_append_only_hold)
{
	int dir = MUST(open("d", O_RDONLY));

	EACH_KIND (f) {
		int fd = MUST(open(f, O_RDWR));

		set_flags(f, fd, FS_APPEND_FL);
		if (caller == 0)
			use_flagged(f, fd);
		show(f);
		set_flags(f, fd, FS_IMMUTABLE_FL);
		if (caller == 0)
			use_flagged(f, fd);
		show(f);
		set_flags(f, fd, 0);
		close(fd);
	}
	set_flags("d", dir, FS_IMMUTABLE_FL);
	OPEN(open("d/f", O_WRONLY | O_CREAT, 0644));
	TRY(mkdir("d/sub", 0755));
	TRY(rmdir("d"));
	set_flags("d", dir, 0);
}

static void show_attributes(const char *name, int fd)
{
	struct fsxattr x = {0};

	TRY(ioctl(fd, FS_IOC_FSGETXATTR, &x));
	note("%s: xflags %#x extsize %u project %u", name, x.fsx_xflags & ~FS_XFLAG_HASATTR,
	     x.fsx_extsize, x.fsx_projid);
}

BEHAVIOUR_AFTER(flagged_files, extended_flags_are_read_and_set)
{
	static const struct fsxattr wanted[] = {
		{.fsx_xflags = FS_XFLAG_NODUMP},
		{.fsx_xflags = FS_XFLAG_EXTSIZE, .fsx_extsize = 65536},
		{.fsx_projid = 1234},
		{.fsx_xflags = FS_XFLAG_APPEND},
		{.fsx_xflags = 0x40000000},
		{0},
	};
	static const char *const names[] = {"plain", "disk.img", "d", "foreign"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int fd = MUST(open(names[i], O_RDONLY));

		show_attributes(names[i], fd);
		for (size_t j = 0; j < ARRAY_SIZE(wanted); j++) {
			note("%s: wanted set %zu", names[i], j);
			TRY(ioctl(fd, FS_IOC_FSSETXATTR, &wanted[j]));
			show_attributes(names[i], fd);
		}
		close(fd);
	}
}

/* Where the kernel has no fs-verity it says so itself. */
BEHAVIOUR_AFTER(flagged_files, verity_ioctls_are_forwarded)
{
	EACH_KIND (f) {
		struct fsverity_enable_arg enable = {.version = 1, .hash_algorithm = 99};
		struct fsverity_digest digest_of_file = {0};
		int fd = MUST(open(f, O_RDONLY));

		TRY(ioctl(fd, FS_IOC_MEASURE_VERITY, &digest_of_file));
		TRY(ioctl(fd, FS_IOC_ENABLE_VERITY, &enable));
	}
}

/* With the daemon's rights these would be dangerous in anybody's hands. */
BEHAVIOUR(other_ioctls_are_refused)
{
	static const struct {
		const char *name;
		unsigned long command;
	} others[] = {
		{"FITRIM", FITRIM},
		{"FS_IOC_GETVERSION", FS_IOC_GETVERSION},
		{"FS_IOC_SETVERSION", FS_IOC_SETVERSION},
		{"FS_IOC_SETFSLABEL", FS_IOC_SETFSLABEL},
		{"BTRFS_IOC_SYNC", _IO(0x94, 8)},
		{"BTRFS_IOC_START_SYNC", _IOR(0x94, 24, uint64_t)},
		{"BTRFS_IOC_INO_LOOKUP", _IOWR(0x94, 18, char[4096])},
		{"BTRFS_IOC_DEFAULT_SUBVOL", _IOW(0x94, 19, uint64_t)},
		{"XFS_IOC_GOINGDOWN", _IOR('X', 125, uint32_t)},
		{"EXT4_IOC_SHUTDOWN", _IOR('X', 125, uint32_t)},
		{"unknown", _IO(0xbf, 200)},
	};
	const char *const names[] = {"plain", "disk.img", "."};

	EACH_KIND (f)
		close(make_file(f, 10000));
	for (size_t i = 0; i < ARRAY_SIZE(names) && through; i++) {
		int fd = MUST(open(names[i], O_RDONLY));

		for (size_t j = 0; j < ARRAY_SIZE(others); j++) {
			static char argument[4096];
			int result = ioctl(fd, others[j].command, argument);

			if (result == -1 && errno == ENOTTY)
				continue;
			note("%s of %s: %d, %s", others[j].name, names[i], result,
			     result < 0 ? strerrorname_np(errno) : "");
		}
		close(fd);
	}
}

BEHAVIOUR(generic_ioctls_work)
{
	EACH_KIND (f) {
		int fd = make_file(f, 10000), n = -1;

		TRY(lseek(fd, 1000, SEEK_SET));
		TRY(ioctl(fd, FIONREAD, &n));
		note("%d to read", n);
		TRY(ioctl(fd, FIOCLEX));
		TRY(ioctl(fd, FIGETBSZ, &n));
		note("blocks of %d", n);
	}
}
