// SPDX-License-Identifier: GPL-2.0-or-later
/* Names: create, link, rename, remove; what the new entries are and whom they belong to. */
#include "compare.h"

#include <limits.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

static void bind_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = MUST(socket(AF_UNIX, SOCK_STREAM, 0));

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	TRY(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	close(fd);
}

/* One of each kind, with a mode that the umask shows in. */
static void create_all(mode_t mode)
{
	MUST(close(OPEN(open("file", O_WRONLY | O_CREAT | O_EXCL, mode))));
	TRY(mkdir("directory", mode));
	TRY(symlink("some/where", "symlink"));
	TRY(mkfifo("fifo", mode));
	TRY(mknod("regular", S_IFREG | mode, 0));
	TRY(mknod("socket", S_IFSOCK | mode, 0));
	TRY(mknod("null", S_IFCHR | mode, makedev(1, 3)));
	TRY(mknod("big", S_IFBLK | mode, makedev(511, 70000)));
	bind_socket("bound");
}

static const char *const all_kinds[] = {"file",	  "directory", "symlink", "fifo", "regular",
					"socket", "null",      "big",	  "bound"};

static void show_all(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(all_kinds); i++)
		show(all_kinds[i]);
}

static void remove_all(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(all_kinds); i++)
		if (unlink(all_kinds[i]) < 0)
			rmdir(all_kinds[i]);
}

BEHAVIOUR(new_entries_belong_to_the_caller)
{
	static const mode_t masks[] = {0, 022, 077, 0277, 0777};
	static const mode_t create_modes[] = {0666, 0777, 0700, 0, 01755, 04755, 02755, 06777};

	for (size_t m = 0; m < ARRAY_SIZE(masks); m++) {
		umask(masks[m]);
		for (size_t i = 0; i < ARRAY_SIZE(create_modes); i++) {
			create_all(create_modes[i]);
			show_all();
			remove_all();
		}
	}
	EXPECT(access("file", F_OK) < 0);
}

static void group_directories(void)
{
	static const struct {
		const char *name;
		gid_t gid;
	} dirs[] = {{"own", 0}, {"second", SECOND_GROUP}, {"foreign", STRANGER}};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		MUST(mkdir(dirs[i].name, 0700));
		MUST(chown(dirs[i].name, 0, dirs[i].gid ?: group));
		MUST(chmod(dirs[i].name, 02777));
	}
}

BEHAVIOUR_AFTER(group_directories, setgid_directories_hand_on_their_group)
{
	static const char *const dirs[] = {"own", "second", "foreign"};
	static const mode_t create_modes[] = {0666, 0755, 02755, 02644, 06777};

	for (size_t d = 0; d < ARRAY_SIZE(dirs); d++) {
		MUST(chdir(dirs[d]));
		for (size_t i = 0; i < ARRAY_SIZE(create_modes); i++) {
			note("in %s with mode %o", dirs[d], create_modes[i]);
			create_all(create_modes[i]);
			show_all();
			remove_all();
		}
		MUST(chdir(".."));
	}
}

BEHAVIOUR(creating_reports_what_is_in_the_way)
{
	close(make_file("f", 10));
	MUST(mkdir("d", 0755));
	MUST(mkdir("full", 0755));
	close(make_file("full/x", 1));
	MUST(symlink("missing", "dangling"));
	MUST(symlink("loop", "loop"));

	TRY(mkdir("f", 0755));
	TRY(mkdir("d", 0755));
	TRY(mkdir("dangling", 0755));
	TRY(mkdir("missing/d", 0755));
	TRY(mkdir("f/d", 0755));
	TRY(mkdir("new/", 0755));
	TRY(mkdir(".", 0755));
	TRY(mknod("f", S_IFREG | 0644, 0));
	TRY(mknod("loop/x", S_IFREG | 0644, 0));
	TRY(mkfifo("d", 0644));
	TRY(symlink("x", "f"));
	TRY(symlink("", "empty"));
	TRY(symlink("x", "f/x"));
	OPEN(open("f", O_RDWR | O_CREAT | O_EXCL, 0644));
	OPEN(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0644));
	OPEN(open("d", O_RDWR | O_CREAT, 0644));
	OPEN(open("missing/f", O_RDWR | O_CREAT, 0644));
	OPEN(open("f/f", O_RDWR | O_CREAT, 0644));
	OPEN(open("new-file/", O_RDWR | O_CREAT, 0644));
	OPEN(open("dangling", O_RDWR | O_CREAT, 0644));
	show("missing");
	TRY(unlink("d"));
	TRY(unlink("absent"));
	TRY(unlink("f/"));
	TRY(rmdir("f"));
	TRY(rmdir("full"));
	TRY(rmdir("absent"));
	TRY(rmdir("."));
	TRY(rmdir("d/."));
	TRY(rmdir("d/.."));
	TRY(rmdir("dangling"));
	TRY(rmdir("d/"));
	TRY(unlink("full/x"));
	TRY(rmdir("full"));
	TRY(unlink("loop"));
	OPEN(open("loop", O_RDONLY));
}

BEHAVIOUR(removed_directory_stays_usable_and_empty)
{
	int fd;

	MUST(mkdir("d", 0755));
	fd = MUST(open("d", O_RDONLY | O_DIRECTORY));
	MUST(rmdir("d"));
	show_fd(fd);
	OPEN(openat(fd, "f", O_RDWR | O_CREAT, 0644));
	TRY(mkdirat(fd, "e", 0755));
	TRY(symlinkat("x", fd, "s"));
	TRY(faccessat(fd, ".", F_OK, 0));
	TRY(fchmod(fd, 0700));
	TRY(fsync(fd));
}

BEHAVIOUR(directories_count_their_subdirectories)
{
	show(".");
	MUST(mkdir("a", 0755));
	show(".");
	MUST(mkdir("a/b", 0755));
	MUST(mkdir("a/c", 0755));
	show("a");
	TRY(rename("a/b", "b"));
	show("a");
	show(".");
	TRY(rmdir("a/c"));
	show("a");
}

/* ---- rename */

static void rename_setting(void)
{
	close(make_file("a", 100));
	close(make_file("b", 200));
	MUST(mkdir("d", 0755));
	MUST(mkdir("e", 0755));
	MUST(mkdir("full", 0755));
	close(make_file("full/x", 300));
	MUST(symlink("a", "link"));
	MUST(link("a", "a2"));
}

static void show_setting(void)
{
	static const char *const names[] = {"a",      "b",    "d",  "e",   "full",
					    "full/x", "link", "a2", "d/x", "new"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		show(names[i]);
}

static void remove_setting(void)
{
	MUST(system("rm -rf -- *"));
}

BEHAVIOUR(rename_by_the_rules)
{
	static const char *const pairs[][2] = {
		{"a", "new"},	   {"a", "b"},	  {"a", "a"},	      {"a", "a2"},
		{"a", "d"},	   {"d", "a"},	  {"d", "e"},	      {"d", "full"},
		{"full", "d"},	   {"d", "d/x"},  {"full", "full/x"}, {"full/x", "full"},
		{"a", "d/x"},	   {"link", "b"}, {"a", "link"},      {"absent", "a"},
		{"a", "absent/x"}, {"a", "b/x"},  {"d", "new/"},      {"a", "new/"},
		{".", "new"},	   {"a", ".."},	  {"full", "e/"},     {"full/x", "a2"},
	};
	static const unsigned int flags[] = {0, RENAME_NOREPLACE, RENAME_EXCHANGE,
					     RENAME_NOREPLACE | RENAME_EXCHANGE, 1 << 5};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(flags); j++) {
			const char *from = pairs[i][0], *to = pairs[i][1];

			rename_setting();
			show_setting();
			note("rename %s to %s with %u", from, to, flags[j]);
			TRY(renameat2(AT_FDCWD, from, AT_FDCWD, to, flags[j]));
			show_setting();
			remove_setting();
		}
	}
}

BEHAVIOUR(open_files_follow_a_rename)
{
	EACH_KIND (f) {
		int fd = make_file(f, 1000), target = make_file("target", 2000), dir;
		struct stat before, after;

		MUST(mkdir("d", 0755));
		MUST(mkdir("d/sub", 0755));
		dir = MUST(open("d/sub", O_RDONLY | O_DIRECTORY));
		MUST(fstat(fd, &before));
		TRY(rename(f, "target"));
		TRY(pwrite(fd, "renamed", 7, 990));
		show_fd(fd);
		show("target");
		show_fd(target);
		TRY(pwrite(target, "gone", 4, 5));
		show_fd(target);
		TRY(rename("target", "d/sub/moved"));
		TRY(rename("d", "elsewhere"));
		MUST(stat("elsewhere/sub/moved", &after));
		EXPECT(before.st_ino == after.st_ino);
		MUST(close(OPEN(openat(dir, "beside", O_WRONLY | O_CREAT, 0644))));
		show("elsewhere/sub/beside");
		MUST(fstatat(dir, "..", &before, 0));
		MUST(stat("elsewhere", &after));
		EXPECT(before.st_ino == after.st_ino);
		remove_setting();
	}
}

/* ---- links */

BEHAVIOUR(hard_links_share_one_inode)
{
	EACH_KIND (f) {
		struct stat one, other;
		int fd = make_file(f, 1000);

		MUST(mkdir("d", 0755));
		TRY(link(f, "d/other"));
		show(f);
		show("d/other");
		show_fd(fd);
		MUST(stat(f, &one));
		MUST(stat("d/other", &other));
		EXPECT(one.st_ino == other.st_ino);
		TRY(pwrite(fd, "through one name", 16, 995));
		show("d/other");
		TRY(chmod("d/other", 0600));
		show(f);
		TRY(truncate("d/other", 50));
		show(f);
		show_fd(fd);
		TRY(rename("d/other", "third"));
		TRY(unlink(f));
		show("third");
		show_fd(fd);
		TRY(link("third", f));
		show("third");
		TRY(unlink("third"));
		show(f);
		MUST(unlink(f));
		show_fd(fd);
		MUST(rmdir("d"));
	}
}

BEHAVIOUR(link_by_the_rules)
{
	rename_setting();
	TRY(link("d", "new"));
	TRY(link("a", "b"));
	TRY(link("absent", "new"));
	TRY(link("a", "absent/new"));
	TRY(link("a", "b/new"));
	TRY(link("a", "/proc/new"));
	TRY(linkat(AT_FDCWD, "link", AT_FDCWD, "symlink", 0));
	show("symlink");
	TRY(linkat(AT_FDCWD, "link", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
	show("followed");
	MUST(mkfifo("fifo", 0600));
	TRY(link("fifo", "fifo2"));
	show("fifo2");
}

BEHAVIOUR(symlinks_hold_what_they_are_given)
{
	static const size_t sizes[] = {1, 59, 60, 255, 1023, 1024, 3000, 4000, 4094, 4095, 4096};
	char target[5000], back[5000];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		ssize_t n;

		memset(target, 'x', sizes[i]);
		target[sizes[i]] = '\0';
		note("%zu bytes", sizes[i]);
		if (TRY(symlink(target, "link")) < 0)
			continue;
		n = TRY(readlink("link", back, sizeof(back)));
		EXPECT(n == (ssize_t)sizes[i] && !memcmp(target, back, n));
		TRY(readlink("link", back, 1));
		OPEN(open("link", O_RDONLY));
		MUST(unlink("link"));
	}
	close(make_file("f", 10));
	TRY(readlink("f", back, sizeof(back)));
	TRY(symlink("/proc/self/exe", "out"));
	OPEN(open("out", O_RDONLY));
	OPEN(open("out", O_RDONLY | O_NOFOLLOW));
	TRY(symlink("../on-bare/f", "up"));
	TRY(symlink("./f", "here"));
	show("here");
	OPEN(open("here", O_RDONLY));
}

/* ---- O_TMPFILE and unlinked files */

static void link_descriptor(int fd, const char *name)
{
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	TRY(linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW));
}

BEHAVIOUR(tmpfile_has_no_name_until_linked)
{
	int fd;

	umask(027);
	fd = MUST(OPEN(open(".", O_TMPFILE | O_RDWR, 06666)));
	show_fd(fd);
	TRY(pwrite(fd, "nameless", 8, 5000));
	TRY(ftruncate(fd, 20000));
	TRY(fchmod(fd, 0640));
	show_fd(fd);
	TRY(fsync(fd));
	link_descriptor(fd, "named.img");
	show("named.img");
	show_fd(fd);
	TRY(pwrite(fd, "named", 5, 7000));
	show("named.img");
	link_descriptor(fd, "again");
	link_descriptor(fd, "again");
	show_fd(fd);
	close(fd);
	TRY(unlink("again"));
	show("named.img");

	fd = MUST(OPEN(open(".", O_TMPFILE | O_WRONLY, 0600)));
	TRY(pwrite(fd, "w", 1, 0));
	TRY(linkat(fd, "", AT_FDCWD, "by-descriptor", AT_EMPTY_PATH));
	show("by-descriptor");
	close(fd);
	fd = MUST(OPEN(open(".", O_TMPFILE | O_EXCL | O_RDWR, 0600)));
	link_descriptor(fd, "never");
	show_fd(fd);
	close(fd);
	OPEN(open(".", O_TMPFILE | O_RDONLY, 0600));
	OPEN(open("named.img", O_TMPFILE | O_RDWR, 0600));
	OPEN(open("absent", O_TMPFILE | O_RDWR, 0600));
}

BEHAVIOUR_AFTER(group_directories, tmpfile_in_setgid_directories)
{
	static const char *const dirs[] = {"own", "second", "foreign"};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		int fd = MUST(OPEN(open(dirs[i], O_TMPFILE | O_RDWR, 0666)));

		show_fd(fd);
		close(fd);
	}
}

BEHAVIOUR(unlinked_files_live_until_the_last_close)
{
	EACH_KIND (f) {
		char self[64];
		int fd = make_file(f, 10000), again;

		TRY(unlink(f));
		show(f);
		show_fd(fd);
		TRY(pwrite(fd, "after", 5, 9998));
		TRY(ftruncate(fd, 12345));
		TRY(fchmod(fd, 0600));
		TRY(fchown(fd, -1, SECOND_GROUP));
		TRY(futimens(fd, NULL));
		TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
		TRY(fsync(fd));
		show_fd(fd);
		snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
		again = MUST(OPEN(open(self, O_RDWR)));
		TRY(pwrite(again, "again", 5, 20000));
		close(fd);
		show_fd(again);
		link_descriptor(again, "back");
		/* a new file of the same name is another one */
		close(make_file(f, 50));
		show(f);
		show_fd(again);
		close(again);
	}
}

/* ---- names */

BEHAVIOUR(names_of_any_255_bytes)
{
	static const char *const odd[] = {"with space", "new\nline", "\xff\xfe\x01",
					  "-rf",	"*",	     "\xc3\xa4\xe2\x82\xac",
					  ".hidden",	"...",	     "back\\slash",
					  "trailing ",	"a\tb",	     ".fuse_hidden1",
					  "Case",	"case"};
	char name[300];

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		MUST(close(OPEN(open(odd[i], O_WRONLY | O_CREAT | O_EXCL, 0644))));
		show(odd[i]);
	}
	for (size_t len = 254; len <= 257; len++) {
		memset(name, 'n', len);
		name[len] = '\0';
		note("%zu bytes", len);
		TRY(access(name, F_OK));
		TRY(mknod(name, S_IFREG | 0644, 0));
		TRY(mkdir(name, 0755));
		TRY(rename("case", name));
		TRY(rename(name, "case"));
		TRY(mkdir(name, 0755));
		TRY(symlink("x", name));
		TRY(link("Case", name));
		TRY(rmdir(name));
		TRY(unlink(name));
		OPEN(open(name, O_RDWR | O_CREAT, 0644));
	}
}

BEHAVIOUR(paths_up_to_path_max)
{
	char path[PATH_MAX + 10], component[202];
	size_t len = 0;

	memset(component, 'p', 200);
	strcpy(component + 200, "/");
	/* PATH_MAX counts the final NUL */
	while (len + 201 < PATH_MAX - 1) {
		strcpy(path + len, component);
		MUST(mkdir(path, 0755));
		len += 201;
	}
	memset(path + len, 'f', PATH_MAX + 5 - len);
	path[PATH_MAX - 1] = '\0';
	MUST(close(OPEN(open(path, O_WRONLY | O_CREAT | O_EXCL, 0644))));
	TRY(chmod(path, 0600));
	TRY(access(path, R_OK));
	TRY(unlink(path));
	path[PATH_MAX - 1] = 'f';
	path[PATH_MAX] = '\0';
	OPEN(open(path, O_WRONLY | O_CREAT | O_EXCL, 0644));
	TRY(mkdir(path, 0755));
}

BEHAVIOUR(trees_deeper_than_path_max)
{
	char name[202];
	int fd;

	memset(name, 'd', 200);
	name[200] = '\0';
	for (int i = 0; i < 60; i++) {
		MUST(mkdir(name, 0755));
		MUST(chdir(name));
	}
	fd = make_file("deep.img", 10000);
	show("deep.img");
	TRY(link("deep.img", "second"));
	TRY(rename("second", "third"));
	TRY(chmod("third", 0600));
	TRY(truncate("third", 20));
	TRY(symlink("x", "s"));
	show_fd(fd);
	TRY(unlink("deep.img"));
	show("third");
	/* the whole tree moves under a long name */
	for (int i = 0; i < 59; i++)
		MUST(chdir(".."));
	TRY(rename(name, "short"));
	TRY(pwrite(fd, "still here", 10, 0));
	show_fd(fd);
	TRY(rename("short", name));
}

BEHAVIOUR(fifos_and_sockets_work)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
	char buf[10] = "";
	int fd, status;
	pid_t pid;

	MUST(mkfifo("fifo", 0644));
	pid = MUST(fork());
	if (pid == 0)
		_exit(write(MUST(open("fifo", O_WRONLY)), "hello", 5) != 5);
	fd = MUST(open("fifo", O_RDONLY));
	TRY(read(fd, buf, sizeof(buf)));
	EXPECT(!strcmp(buf, "hello"));
	MUST(waitpid(pid, &status, 0));
	TRY(lseek(fd, 0, SEEK_SET));
	show("fifo");

	bind_socket("socket");
	fd = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	TRY(connect(fd, (struct sockaddr *)&address, sizeof(address)));
	OPEN(open("socket", O_RDONLY));
	show("socket");
}
