// SPDX-License-Identifier: GPL-2.0-or-later
/* readdir: complete, resumable, and right about what it lists. */
#include "compare.h"

#include <dirent.h>
#include <sys/wait.h>

#define MANY 10000

static void create_many(int dir, int count)
{
	char name[32];

	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "file-%d", i);
		MUST(close(MUST(openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644))));
	}
}

static DIR *open_many(int count)
{
	MUST(mkdir("many", 0755));
	create_many(MUST(open("many", O_RDONLY | O_DIRECTORY)), count);
	return opendir("many");
}

/* Every name exactly once; returns how many were seen. */
static int read_all(DIR *dir, unsigned char *seen)
{
	struct dirent *entry;
	int count = 0;

	memset(seen, 0, MANY);
	while ((entry = readdir(dir))) {
		int i;

		if (sscanf(entry->d_name, "file-%d", &i) != 1)
			continue;
		EXPECT(i >= 0 && i < MANY && !seen[i]++);
		EXPECT(entry->d_type == DT_REG);
		count++;
	}
	return count;
}

BEHAVIOUR(ten_thousand_files_are_created_listed_and_removed)
{
	static unsigned char seen[MANY];
	DIR *dir = open_many(MANY);
	struct dirent *entry;
	int removed = 0;

	note("%d files", read_all(dir, seen));
	rewinddir(dir);
	note("%d files after rewinddir", read_all(dir, seen));
	MUST(close(MUST(open("many/other", O_WRONLY | O_CREAT, 0644))));
	MUST(unlink("many/file-77"));
	rewinddir(dir);
	note("%d files after a change", read_all(dir, seen));
	EXPECT(!seen[77] && seen[78]);
	/* rm -r: remove while reading */
	rewinddir(dir);
	while ((entry = readdir(dir)))
		removed += unlinkat(dirfd(dir), entry->d_name, 0) == 0;
	note("%d removed", removed);
	TRY(rmdir("many"));
}

BEHAVIOUR(reading_resumes_at_any_offset)
{
	enum { COUNT = 600 };
	static char names[COUNT + 2][32];
	static long after[COUNT + 2];
	DIR *dir = open_many(COUNT);
	struct dirent *entry;
	int total = 0;

	while ((entry = readdir(dir))) {
		EXPECT(total < COUNT + 2);
		strcpy(names[total], entry->d_name);
		after[total] = telldir(dir);
		EXPECT(after[total] == entry->d_off);
		total++;
	}
	note("%d entries", total);
	for (int i = total - 1; i >= 0; i -= 7) {
		seekdir(dir, after[i]);
		entry = readdir(dir);
		if (i == total - 1)
			EXPECT(!entry);
		else
			EXPECT(entry && !strcmp(entry->d_name, names[i + 1]));
	}
	/* another open directory understands the same offsets */
	closedir(dir);
	dir = opendir("many");
	for (int i = 0; i < total - 1; i += 13) {
		seekdir(dir, after[i]);
		entry = readdir(dir);
		EXPECT(entry && !strcmp(entry->d_name, names[i + 1]));
	}
	/* removing what was read loses nothing of the rest */
	rewinddir(dir);
	for (int i = 0; i < total / 2; i++)
		EXPECT((entry = readdir(dir)) && !strcmp(entry->d_name, names[i]));
	for (int i = 0; i < total / 2; i++)
		unlinkat(dirfd(dir), names[i], 0);
	for (int i = total / 2; i < total; i++)
		EXPECT((entry = readdir(dir)) && !strcmp(entry->d_name, names[i]));
	EXPECT(!readdir(dir));
}

/* A renamed entry may be seen again, but not for ever. */
BEHAVIOUR(renaming_while_reading_comes_to_an_end)
{
	enum { COUNT = 1000 };
	DIR *dir = open_many(COUNT);
	struct dirent *entry;
	char name[32];
	int renamed = 0;

	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		EXPECT(renamed < 5 * COUNT);
		snprintf(name, sizeof(name), "moved-%d", renamed++);
		MUST(renameat(dirfd(dir), entry->d_name, dirfd(dir), name));
	}
	EXPECT(renamed >= COUNT);
	MUST(system("rm -rf -- *"));
}

BEHAVIOUR(entries_tell_type_and_inode)
{
	struct dirent **entries;
	int n;

	MUST(mkdir("d", 0755));
	close(make_file("f", 10));
	close(make_file("disk.img", 10));
	MUST(symlink("f", "s"));
	MUST(mkfifo("p", 0644));
	MUST(mknod("sock", S_IFSOCK | 0644, 0));
	n = MUST(scandir(".", &entries, NULL, alphasort));
	for (int i = 0; i < n; i++) {
		struct stat st;

		MUST(lstat(entries[i]->d_name, &st));
		note("%s: type %d, %s", entries[i]->d_name, entries[i]->d_type,
		     entries[i]->d_ino == st.st_ino ? "its inode" : "another inode");
	}
}

BEHAVIOUR(listing_sees_changes_at_once)
{
	for (int i = 0; i < 50; i++) {
		struct dirent **entries;
		char name[32];

		snprintf(name, sizeof(name), "f%d", i);
		MUST(close(MUST(open(name, O_WRONLY | O_CREAT, 0644))));
		if (i % 3 == 0)
			MUST(rename(name, "renamed"));
		else if (i % 3 == 1)
			MUST(unlink(name));
		note("%d entries", scandir(".", &entries, NULL, alphasort));
	}
}

static void closed_directories(void)
{
	static const mode_t modes[] = {0, 0100, 0200, 0300, 0400, 0500, 0700, 0007, 0005, 0070};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		char name[32];

		snprintf(name, sizeof(name), "mode-%04o", modes[i]);
		MUST(mkdir(name, 0700));
		MUST(chdir(name));
		close(make_file("inside", 10));
		MUST(chdir(".."));
		MUST(chown(name, caller, group));
		MUST(chmod(name, modes[i]));
	}
}

BEHAVIOUR_AFTER(closed_directories, directory_modes_hold)
{
	static const char *const names[] = {"mode-0000", "mode-0100", "mode-0200", "mode-0300",
					    "mode-0400", "mode-0500", "mode-0700", "mode-0007",
					    "mode-0005", "mode-0070"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char inside[64], new[64];

		snprintf(inside, sizeof(inside), "%s/inside", names[i]);
		snprintf(new, sizeof(new), "%s/new", names[i]);
		note("%s", names[i]);
		OPEN(open(names[i], O_RDONLY | O_DIRECTORY));
		TRY(chdir(names[i]) < 0 ? -1 : chdir(".."));
		TRY(access(inside, F_OK));
		OPEN(open(inside, O_RDONLY));
		OPEN(open(new, O_WRONLY | O_CREAT, 0644));
		TRY(rename(inside, new));
		TRY(unlink(new));
	}
}

BEHAVIOUR(directories_are_synced)
{
	int dir = MUST(open(".", O_RDONLY | O_DIRECTORY));

	TRY(fsync(dir));
	close(make_file("f", 100));
	TRY(fsync(dir));
	TRY(fdatasync(dir));
	TRY(rename("f", "g"));
	TRY(fsync(dir));
	TRY(syncfs(dir));
	TRY(read(dir, (char[10]){0}, 10));
	TRY(ftruncate(dir, 0));
	TRY(lseek(dir, 0, SEEK_END) >= 0);
}
