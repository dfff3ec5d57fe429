// SPDX-License-Identifier: GPL-2.0-or-later
/* getattr and setattr: mode, owner, size, times, and what a change of one does to the others. */
#include "compare.h"

#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <time.h>

static const int modes[] = {0644, 0600, 0, 0444, 0777, 04755, 02755, 06777, 01644, 07000};

BEHAVIOUR(chmod_sets_every_mode)
{
	int fd = make_file("f", 10);

	MUST(mkdir("d", 0755));
	MUST(symlink("f", "link"));
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		TRY(chmod("f", modes[i]));
		show("f");
		TRY(fchmod(fd, modes[i] ^ 0111));
		show("f");
		TRY(chmod("d", modes[i] | 0700));
		show("d");
		TRY(chmod("link", modes[i] | 0600));
		show("f");
		show("link");
	}
	TRY(chmod("missing", 0644));
	TRY(chmod("f/x", 0644));
}

static void files_of_others(void)
{
	close(make_file("foreign", 10));
	MUST(chown("foreign", STRANGER, STRANGER));
	close(make_file("foreign-group", 10));
	MUST(chown("foreign-group", caller, STRANGER));
	close(make_file("second-group", 10));
	MUST(chown("second-group", caller, SECOND_GROUP));
}

BEHAVIOUR_AFTER(files_of_others, chmod_of_what_is_not_ours)
{
	TRY(chmod("foreign", 0600));
	show("foreign");
	/* S_ISGID goes unless the caller is in the group or may keep it */
	TRY(chmod("foreign-group", 02755));
	show("foreign-group");
	TRY(chmod("second-group", 02755));
	show("second-group");
}

BEHAVIOUR_AFTER(files_of_others, chown_by_the_rules)
{
	int fd = make_file("f", 10);

	MUST(mkdir("d", 06755));
	MUST(symlink("missing", "link"));
	TRY(chmod("f", 06755));
	TRY(chown("f", -1, -1));
	show("f");
	TRY(chmod("f", 06755));
	TRY(chown("f", caller, group));
	show("f");
	TRY(chmod("f", 06755));
	TRY(chown("f", -1, SECOND_GROUP));
	show("f");
	TRY(chmod("f", 02745));
	TRY(fchown(fd, -1, group));
	show("f");
	TRY(lchown("link", -1, SECOND_GROUP));
	show("link");
	TRY(chown("link", -1, SECOND_GROUP));
	TRY(chown("d", -1, SECOND_GROUP));
	show("d");
	TRY(chown("f", -1, STRANGER));
	TRY(chown("f", STRANGER, -1));
	TRY(fchown(fd, STRANGER, STRANGER));
	show_fd(fd);
	TRY(chown("foreign", caller, -1));
	TRY(chown("foreign", -1, group));
	show("foreign");
}

BEHAVIOUR_AFTER(files_of_others, utimens_to_the_nanosecond)
{
	static const struct timespec times[][2] = {
		{{1, 123456789}, {2, 999999999}},
		{{1700000000, 1}, {1600000000, 100}},
		{{4102444800, 987654321}, {4102444801, 5}}, /* after 2038 */
		{{-86400, 0}, {-1, 500000000}},		    /* before 1970 */
		{{7, UTIME_OMIT}, {8, 8}},
		{{9, 9}, {8, UTIME_OMIT}},
		{{1, 1000000000}, {2, 0}},
		{{1, -5}, {2, 0}},
	};
	static const struct timespec now[] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
	struct stat st;
	int fd = make_file("f", 10);

	MUST(symlink("f", "link"));
	MUST(mkdir("d", 0755));
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		TRY(utimensat(AT_FDCWD, "f", times[i], 0));
		show_times("f");
		TRY(utimensat(AT_FDCWD, "link", times[i], AT_SYMLINK_NOFOLLOW));
		show_times("link");
		TRY(utimensat(AT_FDCWD, "d", times[i], 0));
		show_times("d");
		TRY(utimensat(AT_FDCWD, "foreign", times[i], 0));
	}
	TRY(futimens(fd, times[0]));
	show_times("f");
	TRY(utimensat(AT_FDCWD, "foreign", NULL, 0));
	TRY(utimensat(AT_FDCWD, "foreign", now, 0));
	TRY(futimens(fd, now));
	MUST(fstat(fd, &st));
	note("now is %s", time(NULL) - st.st_mtim.tv_sec < 60 ? "now" : "another time");
}

BEHAVIOUR_AFTER(files_of_others, truncate_by_name_and_descriptor)
{
	static const off_t sizes[] = {10000,	   9999, 4096, 1,	    0,
				      5 * MIB + 1, 777,	 8192, 5 * GIB + 3, 100000};

	EACH_KIND (f) {
		int fd = make_file(f, 10000);
		int reader = MUST(open(f, O_RDONLY));

		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			TRY(truncate(f, sizes[i]));
			show(f);
			show_fd(reader);
			TRY(ftruncate(fd, sizes[i] / 2));
			show(f);
			TRY(ftruncate(fd, sizes[i]));
			show_fd(fd);
			EXPECT(pwrite(fd, "mark", 4, sizes[i] / 3) == 4);
		}
		TRY(truncate(f, -1));
		TRY(ftruncate(fd, -1));
		TRY(ftruncate(reader, 5));
		/* a descriptor keeps its right, a name does not */
		TRY(fchmod(fd, 0400));
		TRY(truncate(f, 50));
		TRY(ftruncate(fd, 60));
		show(f);
	}
	TRY(truncate("foreign", 0));
	TRY(truncate(".", 0));
	TRY(truncate("missing", 0));
}

BEHAVIOUR(getattr_reports_the_inode_below)
{
	struct stat here, there;
	struct timespec changed;
	const char *const names[] = {"plain", "disk.img", "d", "fifo", "link", "."};

	MUST(mkdir("d", 0755));
	MUST(mkfifo("fifo", 0644));
	MUST(symlink("plain", "link"));
	EACH_KIND (f) {
		int fd = make_file(f, 100000);

		TRY(fsync(fd));
		close(fd);
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		MUST(fstatat(AT_FDCWD, names[i], &here, AT_SYMLINK_NOFOLLOW));
		MUST(fstatat(below, names[i], &there, AT_SYMLINK_NOFOLLOW));
		note("%s: inode number %s, %s blocks, block size %ld", names[i],
		     here.st_ino == there.st_ino ? "as below" : "differs",
		     here.st_blocks == there.st_blocks ? "same" : "other", (long)here.st_blksize);
		changed = here.st_ctim;
		note("%s: %s times", names[i],
		     !memcmp(&changed, &there.st_ctim, sizeof(changed)) &&
				     !memcmp(&here.st_mtim, &there.st_mtim, sizeof(changed))
			     ? "same"
			     : "other");
	}
}

BEHAVIOUR(statfs_reports_the_pool_below)
{
	struct statvfs here, there;

	MUST(statvfs(".", &here));
	MUST(fstatvfs(below, &there));
	note("block size %lu, fragment size %lu, longest name %lu", here.f_bsize, here.f_frsize,
	     here.f_namemax);
	note("%s size, %s number of inodes", here.f_blocks == there.f_blocks ? "same" : "other",
	     here.f_files == there.f_files ? "same" : "other");
	/* others may write at the same time */
	note("free space is %s",
	     labs((long)(here.f_bfree - there.f_bfree)) < 4096 ? "that below" : "other");
	close(make_file("f", 10));
	MUST(statvfs("f", &here));
	note("of a file: block size %lu", here.f_bsize);
}

/* Which of (mtime, ctime) of a path moved since the last call. */
static void moved(const char *what, const char *path, struct stat *last)
{
	struct stat st;

	MUST(lstat(path, &st));
	note("%s: mtime of %s %s, ctime %s", what, path,
	     memcmp(&st.st_mtim, &last->st_mtim, sizeof(st.st_mtim)) ? "moved" : "stays",
	     memcmp(&st.st_ctim, &last->st_ctim, sizeof(st.st_ctim)) ? "moved" : "stays");
	*last = st;
	usleep(20000);
}

BEHAVIOUR(operations_move_the_times_they_should)
{
	EACH_KIND (f) {
		struct stat st = {0}, dir = {0};
		char buf[100];
		int fd = make_file(f, 5000);

		moved("create", f, &st);
		moved("create", ".", &dir);
		MUST(chmod(f, 0640));
		moved("chmod", f, &st);
		MUST(pwrite(fd, "x", 1, 0));
		moved("write", f, &st);
		MUST(pread(fd, buf, sizeof(buf), 0));
		moved("read", f, &st);
		MUST(ftruncate(fd, 5000));
		moved("ftruncate to the same size", f, &st);
		MUST(truncate(f, 4000));
		moved("truncate", f, &st);
		moved("nothing", ".", &dir);
		MUST(link(f, "second"));
		moved("link", f, &st);
		moved("link", ".", &dir);
		MUST(setxattr(f, "user.a", "b", 1, 0));
		moved("setxattr", f, &st);
		MUST(rename("second", "third"));
		moved("rename", f, &st);
		moved("rename", ".", &dir);
		MUST(unlink("third"));
		moved("unlink", f, &st);
		moved("unlink", ".", &dir);
		MUST(fallocate(fd, 0, 0, 10000));
		moved("fallocate", f, &st);
		close(fd);
	}
}

/* A file that everybody may write, with set-id bits or, if it has none, with a capability. */
static const char privileged[] = "privileged.img";
static mode_t privileged_mode;

static void make_privileged(uid_t owner, gid_t owner_group)
{
	/* cap_net_raw+ep */
	static const unsigned char capability[20] = {1, 0, 0, 2, 0, 0x20};
	int fd = make_file(privileged, 10000);

	MUST(fchown(fd, owner, owner_group));
	if (!(privileged_mode & (S_ISUID | S_ISGID)))
		MUST(fsetxattr(fd, "security.capability", capability, sizeof(capability), 0));
	MUST(fchmod(fd, privileged_mode));
	close(fd);
}

static void write_privileged(void)
{
	TRY(pwrite(MUST(open(privileged, O_WRONLY)), "new", 3, 5));
}

static void truncate_privileged(void)
{
	TRY(truncate(privileged, 5000));
}

static void ftruncate_privileged(void)
{
	TRY(ftruncate(MUST(open(privileged, O_RDWR)), 5000));
}

static void open_truncating_privileged(void)
{
	OPEN(open(privileged, O_WRONLY | O_TRUNC));
}

static void fallocate_privileged(void)
{
	TRY(fallocate(MUST(open(privileged, O_WRONLY)), 0, 0, 20000));
}

static void chown_privileged(void)
{
	TRY(chown(privileged, -1, SECOND_GROUP));
}

static void copy_to_privileged(void)
{
	int from = MUST(open("source", O_RDONLY));
	int to = MUST(open(privileged, O_WRONLY));

	TRY(copy_file_range(from, NULL, to, NULL, 4096, 0));
}

static void chmod_privileged(void)
{
	TRY(chmod(privileged, privileged_mode));
}

static void (*const changes[])(void) = {
	write_privileged,     truncate_privileged, ftruncate_privileged, open_truncating_privileged,
	fallocate_privileged, chown_privileged,	   copy_to_privileged,	 chmod_privileged,
};

static void (*change)(void);

static void change_as_caller(void)
{
	become_caller();
	change();
}

static void privileges_go(uid_t owner, gid_t owner_group)
{
	static const mode_t set_ids[] = {06777, 04766, 02776, 0777};
	char value[64];

	close(make_file("source", 8192));
	for (size_t m = 0; m < ARRAY_SIZE(set_ids); m++) {
		privileged_mode = set_ids[m];
		for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
			make_privileged(owner, owner_group);
			change = changes[i];
			in_child(change_as_caller);
			show(privileged);
			TRY(getxattr(privileged, "security.capability", value, sizeof(value)));
			MUST(unlink(privileged));
		}
	}
}

ROOT_BEHAVIOUR(owner_clears_set_id_bits)
{
	privileges_go(caller, group);
}

ROOT_BEHAVIOUR(writer_clears_set_id_bits)
{
	privileges_go(STRANGER, STRANGER);
}
