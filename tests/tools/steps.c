// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * steps - each operation, with the daemon dying at each of its steps
 *
 *	steps DIRECTORY DIE-FILE STRIDE [OPERATION]
 *
 * DIRECTORY lies on a mount whose daemon has libdie.so in it (die.c). Each operation is done again
 * and again, while the daemon dies after its first, second, third... library call, and one time in
 * four once more somewhere in the next life. Whoever calls must see the operation's one true
 * result, and the filesystem what it does: once. With a STRIDE of N only each Nth step is tried,
 * beginning at random. Only OPERATION, if it is named; "seal", which takes a
 * filesystem with fs-verity, is done only then. Prints `deaths N errors N`.
 */
#include "die.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fsverity.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define STEPS_MAX 200

static struct die *die;
static int deaths, errors;
static const char *current;
static int step, second;

static void fail(const char *what, const char *got, const char *expected)
{
	errors++;
	fprintf(stderr, "%s, death at step %d%s (%s): %s: %s, expected %s\n", current, step,
		second ? " and again" : "", die->call, what, got, expected);
}

static const char *name_of(int error)
{
	return error ? strerrorname_np(error) : "success";
}

static void result(int rc, int expected)
{
	int error = rc < 0 ? errno : 0;

	if (error != expected)
		fail("result", name_of(error), name_of(expected));
}

static void check(const char *what, bool true_)
{
	if (!true_)
		fail(what, "no", "yes");
}

/* ===== what is there ===== */

static struct stat look(const char *name)
{
	struct stat st;

	if (lstat(name, &st))
		memset(&st, 0, sizeof(st));
	return st;
}

static bool is_there(const char *name)
{
	return look(name).st_ino;
}

static void make(const char *name, const char *content)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, content, strlen(content)) != (ssize_t)strlen(content))
		err(1, "%s", name);
	close(fd);
}

static bool holds(int fd, const char *content)
{
	char buf[32] = "";

	return pread(fd, buf, sizeof(buf) - 1, 0) >= 0 && !strcmp(buf, content);
}

/* ===== the operations: each begins in an empty directory, or with what its prepare_*() made ====
 */

static void make_a(void)
{
	make("a", "aaa");
}

static void make_both(void)
{
	make("a", "aaa");
	make("b", "bbb");
}

static void create_excl(void)
{
	int fd = open("new", O_RDWR | O_CREAT | O_EXCL, 0640);

	result(fd, 0);
	check("mode", (look("new").st_mode & 07777) == 0640);
	check("writes", write(fd, "x", 1) == 1 && holds(fd, "x"));
	close(fd);
}

static void create_there(void)
{
	result(open("a", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
}

static void create_image(void)
{
	int fd = open("new.img", O_RDWR | O_CREAT | O_EXCL, 0600);

	result(fd, 0);
	check("writes", write(fd, "x", 1) == 1 && holds(fd, "x"));
	close(fd);
}

static void make_directory(void)
{
	result(mkdir("new", 0700), 0);
	check("directory", S_ISDIR(look("new").st_mode));
}

static void make_fifo(void)
{
	result(mknod("new", S_IFIFO | 0600, 0), 0);
	check("fifo", S_ISFIFO(look("new").st_mode));
}

static void make_symlink(void)
{
	char target[16] = "";

	result(symlink("target", "new"), 0);
	check("target", readlink("new", target, sizeof(target)) == 6 && !strcmp(target, "target"));
}

static void make_link(void)
{
	result(link("a", "new"), 0);
	check("links", look("a").st_nlink == 2 && look("new").st_ino == look("a").st_ino);
}

static void link_there(void)
{
	result(link("a", "b"), EEXIST);
}

static void remove_name(void)
{
	result(unlink("a"), 0);
	check("gone", !is_there("a"));
}

static void remove_linked(void)
{
	if (link("a", "b"))
		err(1, "link");
	remove_name();
	check("links", look("b").st_nlink == 1);
}

static void remove_missing(void)
{
	result(unlink("missing"), ENOENT);
}

static void remove_open(void)
{
	int fd = open("a", O_RDWR);

	result(fd, 0);
	remove_name();
	check("still readable", holds(fd, "aaa"));
	check("still writable", pwrite(fd, "AAA", 3, 0) == 3 && holds(fd, "AAA"));
	close(fd);
}

static void make_images(void)
{
	make("a.img", "aaa");
	make("b.img", "bbb");
}

static void remove_open_image(void)
{
	int fd = open("a.img", O_RDWR);

	result(fd, 0);
	result(unlink("a.img"), 0);
	check("still readable", holds(fd, "aaa"));
	check("still writable", pwrite(fd, "AAA", 3, 0) == 3 && holds(fd, "AAA"));
	close(fd);
}

static void make_subdirectory(void)
{
	if (mkdir("d", 0700))
		err(1, "mkdir");
}

static void remove_directory(void)
{
	result(rmdir("d"), 0);
	check("gone", !is_there("d"));
}

static void make_tree(void)
{
	make_subdirectory();
	make("d/a", "aaa");
	make("a", "AAA");
}

static void remove_full(void)
{
	result(rmdir("d"), ENOTEMPTY);
}

static void do_rename(const char *from, const char *to, unsigned flags, int expected)
{
	struct stat a = look(from), b = look(to);

	result(renameat2(AT_FDCWD, from, AT_FDCWD, to, flags), expected);
	if (expected) {
		check("nothing moved",
		      look(from).st_ino == a.st_ino && look(to).st_ino == b.st_ino);
	} else {
		check("target", look(to).st_ino == a.st_ino);
		check("source", look(from).st_ino == (flags & RENAME_EXCHANGE ? b.st_ino : 0));
	}
}

static void rename_new(void)
{
	do_rename("a", "new", 0, 0);
}

static void rename_over(void)
{
	do_rename("a", "b", 0, 0);
}

static void rename_noreplace(void)
{
	do_rename("a", "new", RENAME_NOREPLACE, 0);
}

static void rename_noreplace_there(void)
{
	do_rename("a", "b", RENAME_NOREPLACE, EEXIST);
}

static void rename_exchange(void)
{
	do_rename("a", "b", RENAME_EXCHANGE, 0);
}

static void rename_exchange_away(void)
{
	do_rename("d/a", "a", RENAME_EXCHANGE, 0);
}

static void rename_directory(void)
{
	do_rename("d", "e", 0, 0);
	check("its file", is_there("e/a"));
}

static void rename_same_inode(void)
{
	if (link("a", "b"))
		err(1, "link");
	result(rename("a", "b"), 0);
	check("both names", look("a").st_nlink == 2 && look("b").st_ino == look("a").st_ino);
}

static void rename_over_open(void)
{
	int fd = open("b.img", O_RDWR);

	result(fd, 0);
	do_rename("a.img", "b.img", 0, 0);
	check("still readable", holds(fd, "bbb"));
	check("still writable", pwrite(fd, "BBB", 3, 0) == 3 && holds(fd, "BBB"));
	close(fd);
}

static void make_attribute(void)
{
	make_a();
	if (setxattr("a", "user.x", "old", 3, 0))
		err(1, "setxattr");
}

static bool attribute_is(const char *value)
{
	char buf[16] = "";

	return getxattr("a", "user.x", buf, sizeof(buf)) == (ssize_t)strlen(value) &&
	       !strcmp(buf, value);
}

static void set_new(void)
{
	result(setxattr("a", "user.x", "new", 3, XATTR_CREATE), 0);
	check("value", attribute_is("new"));
}

static void set_new_there(void)
{
	result(setxattr("a", "user.x", "new", 3, XATTR_CREATE), EEXIST);
	check("value", attribute_is("old"));
}

static void set_again(void)
{
	result(setxattr("a", "user.x", "new", 3, XATTR_REPLACE), 0);
	check("value", attribute_is("new"));
}

static void set_again_missing(void)
{
	result(setxattr("a", "user.x", "new", 3, XATTR_REPLACE), ENODATA);
}

static void remove_attribute(void)
{
	result(removexattr("a", "user.x"), 0);
	check("gone", getxattr("a", "user.x", NULL, 0) < 0 && errno == ENODATA);
}

static void remove_attribute_missing(void)
{
	result(removexattr("a", "user.x"), ENODATA);
}

static void temporary(void)
{
	char path[32];
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);

	result(fd, 0);
	check("writes", write(fd, "tmp", 3) == 3 && holds(fd, "tmp"));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	result(linkat(AT_FDCWD, path, AT_FDCWD, "new", AT_SYMLINK_FOLLOW), 0);
	check("links", look("new").st_nlink == 1 && look("new").st_size == 3);
	close(fd);
}

static void open_and_close(void)
{
	int fd = open("a", O_RDONLY);

	result(fd, 0);
	check("content", holds(fd, "aaa"));
	close(fd);
	fd = open("a", O_WRONLY);
	result(fd, 0);
	check("writes", write(fd, "AAA", 3) == 3);
	result(close(fd), 0);
}

static void open_image(void)
{
	int fd = open("a.img", O_RDWR);

	result(fd, 0);
	check("content", holds(fd, "aaa"));
	check("writes", pwrite(fd, "AAA", 3, 0) == 3);
	result(fsync(fd), 0);
	result(close(fd), 0);
}

static void attributes(void)
{
	struct timespec t[2] = {{1, 0}, {2, 0}};

	result(chmod("a", 0444), 0);
	result(chown("a", 1, 2), 0);
	result(truncate("a", 1), 0);
	result(utimensat(AT_FDCWD, "a", t, 0), 0);
	check("attributes", look("a").st_mode == (S_IFREG | 0444) && look("a").st_uid == 1 &&
				    look("a").st_gid == 2 && look("a").st_size == 1 &&
				    look("a").st_mtime == 2);
}

static void space(void)
{
	int fd = open("a.img", O_RDWR), other = open("b.img", O_RDWR);

	result(fallocate(fd, 0, 0, 8192), 0);
	result(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
	result(copy_file_range(other, &(off_t){0}, fd, &(off_t){0}, 3, 0) - 3, 0);
	check("copy", look("a.img").st_size == 8192 && holds(fd, "bbb"));
	close(fd);
	close(other);
}

static void list(void)
{
	DIR *dir = opendir(".");
	int n = 0;

	while (dir && readdir(dir))
		n++;
	check("names", n == 4);
	closedir(dir);
}

/* The mode that the image is in now, and its data, are what the switch was to leave. */
static void switch_mode(void)
{
	static const char *const modes[] = {"writeback", "none", "dontcache"};
	int fd = open("a.img", O_RDWR);
	char effective[128] = "", expected[32];

	result(fd, 0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		check("writes", pwrite(fd, modes[i], 4, 0) == 4);
		result(setxattr("a.img", "user.bouncefs.cache", modes[i], strlen(modes[i]), 0), 0);
		getxattr("a.img", "user.bouncefs.effective", effective, sizeof(effective) - 1);
		snprintf(expected, sizeof(expected), "cache=%s (file)", modes[i]);
		if (strncmp(effective, expected, strlen(expected)))
			fail("effective", effective, expected);
		snprintf(expected, sizeof(expected), "%.4s", modes[i]);
		check("content", holds(fd, expected));
	}
	result(fsync(fd), 0);
	close(fd);
}

static void seal(void)
{
	struct fsverity_enable_arg arg = {
		.version = 1,
		.hash_algorithm = FS_VERITY_HASH_ALG_SHA256,
		.block_size = 4096,
	};
	int fd = open("a.img", O_RDONLY);

	result(fd, 0);
	result(ioctl(fd, FS_IOC_ENABLE_VERITY, &arg), 0);
	result(ioctl(fd, FS_IOC_ENABLE_VERITY, &arg), EEXIST);
	check("content", holds(fd, "aaa"));
	result(open("a.img", O_RDWR), EPERM);
	close(fd);
}

static const struct {
	const char *name;
	void (*prepare)(void), (*run)(void);
} operations[] = {
	{"create", NULL, create_excl},
	{"create an image", NULL, create_image},
	{"create what is there", make_a, create_there},
	{"mkdir", NULL, make_directory},
	{"mknod", NULL, make_fifo},
	{"symlink", NULL, make_symlink},
	{"link", make_a, make_link},
	{"link to what is there", make_both, link_there},
	{"unlink", make_a, remove_name},
	{"unlink one of two names", make_a, remove_linked},
	{"unlink what is missing", NULL, remove_missing},
	{"unlink an open file", make_a, remove_open},
	{"unlink an open image", make_images, remove_open_image},
	{"rmdir", make_subdirectory, remove_directory},
	{"rmdir of a full directory", make_tree, remove_full},
	{"rename", make_a, rename_new},
	{"rename over a file", make_both, rename_over},
	{"rename over an open image", make_images, rename_over_open},
	{"rename without replacement", make_a, rename_noreplace},
	{"rename without replacement, but it is there", make_both, rename_noreplace_there},
	{"exchange", make_both, rename_exchange},
	{"exchange between directories", make_tree, rename_exchange_away},
	{"rename of a directory", make_tree, rename_directory},
	{"rename between two names of one file", make_a, rename_same_inode},
	{"setxattr, new", make_a, set_new},
	{"setxattr, new, but it is there", make_attribute, set_new_there},
	{"setxattr, again", make_attribute, set_again},
	{"setxattr, again, but it is missing", make_a, set_again_missing},
	{"removexattr", make_attribute, remove_attribute},
	{"removexattr of what is missing", make_a, remove_attribute_missing},
	{"O_TMPFILE and linkat", NULL, temporary},
	{"open and close", make_a, open_and_close},
	{"open and close an image", make_images, open_image},
	{"setattr", make_a, attributes},
	{"fallocate and copy_file_range", make_images, space},
	{"readdir", make_both, list},
	{"switch", make_images, switch_mode},
	{"seal", make_images, seal},
};

/* ===== all of them ===== */

static void empty(void)
{
	static const char *const names[] = {"a",     "b",	"new", "a.img",
					    "b.img", "new.img", "d/a", "e/a"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unlink(names[i]);
	rmdir("new");
	rmdir("d");
	rmdir("e");
}

/* False if the daemon was not killed: the operation has fewer steps. */
static bool attempt(void (*prepare)(void), void (*run)(void))
{
	int before = die->deaths;

	empty();
	if (prepare)
		prepare();
	die->who = DIE_META;
	die->again = second;
	die->more = second != 0;
	die->steps = step;
	run();
	die->more = die->steps = 0;
	deaths += die->deaths - before;
	return die->deaths > before;
}

static void every_step(void (*prepare)(void), void (*run)(void), int stride)
{
	for (step = 1 + rand() % stride; step < STEPS_MAX; step += stride) {
		second = rand() % 4 ? 0 : 1 + rand() % 40;
		if (!attempt(prepare, run))
			return;
	}
	fail("steps", "too many", "an end");
}

int main(int argc, char **argv)
{
	int fd;

	if (argc < 4 || argc > 5) {
		fprintf(stderr, "usage: steps DIRECTORY DIE-FILE STRIDE [OPERATION]\n");
		return 2;
	}
	fd = open(argv[2], O_RDWR);
	if (fd < 0 || chdir(argv[1]))
		err(1, "%s, %s", argv[2], argv[1]);
	die = mmap(NULL, sizeof(*die), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (die == MAP_FAILED)
		err(1, "mmap");
	umask(0);
	srand(getpid());
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++) {
		current = operations[i].name;
		if (argc == 5 ? strcmp(current, argv[4]) : operations[i].run == seal)
			continue;
		every_step(operations[i].prepare, operations[i].run, atoi(argv[3]));
	}
	empty();
	printf("deaths %d errors %d\n", deaths, errors);
	return errors != 0;
}
