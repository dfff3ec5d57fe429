// SPDX-License-Identifier: GPL-2.0-or-later
/* Who may do what: modes, groups, sticky directories. */
#include "compare.h"

static const mode_t modes[] = {0,    0400, 0200, 0600, 0040, 0020, 0060, 0004, 0002,
			       0006, 0444, 0222, 0100, 0010, 0001, 0755, 0777, 0070};

static const struct {
	const char *name;
	bool owner;
	gid_t gid;
} owners[] = {{"own", true, STRANGER}, {"second", false, SECOND_GROUP}, {"other", false, STRANGER}};

static void name_of(char *name, size_t owner, size_t mode, const char *kind)
{
	sprintf(name, "%s-%04o-%s", owners[owner].name, modes[mode], kind);
}

static void files_of_all_modes(void)
{
	char name[300];

	for (size_t o = 0; o < ARRAY_SIZE(owners); o++) {
		for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
			EACH_KIND (kind) {
				name_of(name, o, m, kind);
				close(make_file(name, 10));
				MUST(chown(name, owners[o].owner ? caller : STRANGER,
					   owners[o].gid));
				MUST(chmod(name, modes[m]));
			}
		}
	}
}

BEHAVIOUR_AFTER(files_of_all_modes, file_modes_hold)
{
	static const int flags[] = {O_RDONLY,
				    O_WRONLY,
				    O_RDWR,
				    O_WRONLY | O_APPEND,
				    O_RDWR | O_TRUNC,
				    O_RDONLY | O_CREAT,
				    O_RDONLY | O_NOATIME};
	char name[300];

	for (size_t o = 0; o < ARRAY_SIZE(owners); o++) {
		for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
			EACH_KIND (kind) {
				name_of(name, o, m, kind);
				note("%s", name);
				for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
					note("flags %#x", flags[i]);
					close(OPEN(open(name, flags[i], 0644)));
				}
				for (int right = F_OK; right <= (R_OK | W_OK | X_OK); right++)
					TRY(access(name, right));
				TRY(truncate(name, 5));
				TRY(utimensat(AT_FDCWD, name, NULL, 0));
			}
		}
	}
}

BEHAVIOUR(descriptors_keep_their_rights)
{
	EACH_KIND (f) {
		char buf[10];
		int fd = MUST(OPEN(open(f, O_RDWR | O_CREAT | O_EXCL, 0000)));

		/* made without any right, and open with all */
		TRY(write(fd, "0123456789", 10));
		TRY(pread(fd, buf, 10, 0));
		TRY(fsync(fd));
		TRY(ftruncate(fd, 5));
		TRY(fallocate(fd, 0, 0, 10000));
		OPEN(open(f, O_RDONLY));
		TRY(fchmod(fd, 0444));
		TRY(pwrite(fd, "abc", 3, 9999));
		OPEN(open(f, O_WRONLY));
		show(f);
		close(fd);
	}
}

static void sticky_directory(void)
{
	static const char *const names[] = {"sticky/own", "sticky/foreign", "sticky/link"};

	MUST(mkdir("sticky", 0700));
	MUST(chmod("sticky", 01777));
	close(make_file(names[0], 10));
	close(make_file(names[1], 10));
	MUST(symlink("own", names[2]));
	MUST(lchown(names[0], caller, group));
	MUST(lchown(names[1], STRANGER, STRANGER));
	MUST(lchown(names[2], STRANGER, STRANGER));
	MUST(mkdir("sticky/dir", 0777));
	MUST(chown("sticky/dir", STRANGER, STRANGER));
}

BEHAVIOUR_AFTER(sticky_directory, sticky_directories_protect_what_others_own)
{
	TRY(rename("sticky/foreign", "sticky/x"));
	TRY(rename("sticky/own", "sticky/foreign"));
	TRY(rename("sticky/own", "sticky/mine"));
	TRY(renameat2(AT_FDCWD, "sticky/mine", AT_FDCWD, "sticky/x", RENAME_EXCHANGE));
	TRY(unlink("sticky/foreign"));
	TRY(unlink("sticky/link"));
	TRY(rmdir("sticky/dir"));
	TRY(unlink("sticky/mine"));
	TRY(mkdir("sticky/own-dir", 0755));
	TRY(rmdir("sticky/own-dir"));
}

static void foreign_directory(void)
{
	MUST(mkdir("closed", 0755));
	close(make_file("closed/f", 10));
	MUST(mkdir("closed/d", 0755));
	MUST(symlink("f", "closed/link"));
}

BEHAVIOUR_AFTER(foreign_directory, directories_of_others_are_not_ours_to_change)
{
	close(make_file("f", 10));
	OPEN(open("closed/f", O_RDONLY));
	OPEN(open("closed/f", O_WRONLY));
	OPEN(open("closed/new", O_WRONLY | O_CREAT, 0644));
	OPEN(open("closed", O_TMPFILE | O_RDWR, 0644));
	TRY(mkdir("closed/new", 0755));
	TRY(mkdir("closed/d", 0755));
	TRY(mkfifo("closed/new", 0644));
	TRY(symlink("x", "closed/new"));
	TRY(link("f", "closed/new"));
	TRY(link("closed/f", "new"));
	TRY(rename("f", "closed/new"));
	TRY(rename("closed/f", "new"));
	TRY(unlink("closed/f"));
	TRY(unlink("closed/link"));
	TRY(rmdir("closed/d"));
	TRY(chmod("closed", 0777));
	TRY(lchown("closed/link", caller, group));
}
