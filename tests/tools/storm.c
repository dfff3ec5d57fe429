// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * storm - names made, linked, moved and removed, by who knows what must come of it
 *
 *	storm DIRECTORY PROCESSES SECONDS
 *
 * The processes work in the same directories below DIRECTORY, which must be empty, each with names
 *of its own. Each keeps a model of what its names lead to, does random operations, and compares
 *their result and what is there afterwards with the model. Prints `operations N errors N` in the
 *end.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define NAMES 24
#define DIRECTORIES 3
#define XATTR "user.storm"

enum type { FREE, FILE_, DIRECTORY, SYMLINK };

static struct object {
	enum type type;
	ino_t ino;
	unsigned names;
	long content; /* of a file; a symlink's target */
	long xattr;   /* 0: none */
} objects[NAMES + 1]; /* one may have no name yet */

static struct object *model[NAMES]; /* what each name leads to, or NULL */
static char paths[NAMES][32];
static long last_content;
static struct {
	_Atomic long operations, errors;
} * shared;

/* ===== verdicts ===== */

static const char *name_of(int error)
{
	return error ? strerrorname_np(error) : "success";
}

static void complain(const char *what, int a, const char *got, const char *expected)
{
	shared->errors++;
	fprintf(stderr, "%s %s: %s, expected %s\n", what, paths[a], got, expected);
}

/* True if the operation succeeded, as it should. */
static bool expect(const char *what, int a, int rc, int expected)
{
	int error = rc < 0 ? errno : 0;

	shared->operations++;
	if (error != expected)
		complain(what, a, name_of(error), name_of(expected));
	return !error && !expected;
}

/* ===== the model ===== */

static struct object *new_object(enum type type)
{
	struct object *o = objects;

	while (o->type != FREE)
		o++;
	*o = (struct object){.type = type, .content = ++last_content};
	return o;
}

static void leads_to(int a, struct object *o)
{
	struct object *before = model[a];

	model[a] = o;
	if (o)
		o->names++;
	if (before && --before->names == 0)
		before->type = FREE;
}

/* Whether what NAME leads to is what the model says. */
static void check(int a)
{
	const struct object *o = model[a];
	char buf[32] = "", wanted[32];
	struct stat st;
	int fd;

	if (!expect("lstat", a, lstat(paths[a], &st), o ? 0 : ENOENT))
		return;
	snprintf(wanted, sizeof(wanted), "%ld", o->content);
	if (st.st_ino != o->ino)
		complain("inode of", a, "another", "the same");
	if (o->type != DIRECTORY && st.st_nlink != o->names)
		complain("links of", a, "another number", "the same");
	if (o->type == SYMLINK) {
		if (readlink(paths[a], buf, sizeof(buf) - 1) < 0 || strcmp(buf, wanted))
			complain("target of", a, buf, wanted);
	} else if (o->type == FILE_) {
		fd = open(paths[a], O_RDONLY);
		if (fd < 0 || read(fd, buf, sizeof(buf) - 1) < 0 || strcmp(buf, wanted))
			complain("content of", a, fd < 0 ? name_of(errno) : buf, wanted);
		close(fd);
	}
}

/* ===== operations on names A and B, which may be the same ===== */

/* NAME has been made, and leads to a new object. */
static void made(int a, enum type type)
{
	struct object *o = new_object(type);
	struct stat st;

	if (lstat(paths[a], &st))
		complain("lstat of new", a, name_of(errno), "success");
	o->ino = st.st_ino;
	leads_to(a, o);
}

static void fill(int a, int fd)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%ld", model[a]->content);

	if (write(fd, text, n) != n)
		complain("write of", a, name_of(errno), "success");
}

static void do_create(int a, int b)
{
	int exclusive = b % 2 ? O_EXCL : 0, expected = 0, fd;
	const struct object *o = model[a];

	if (o && exclusive)
		expected = EEXIST;
	else if (o)
		expected = o->type == DIRECTORY ? EISDIR : o->type == SYMLINK ? ELOOP : 0;
	fd = open(paths[a], O_WRONLY | O_CREAT | O_NOFOLLOW | exclusive, 0600);
	if (expect("create", a, fd, expected) && !o) {
		made(a, FILE_);
		fill(a, fd);
	}
	if (fd >= 0)
		close(fd);
}

static void do_mkdir(int a, int b)
{
	(void)b;
	if (expect("mkdir", a, mkdir(paths[a], 0700), model[a] ? EEXIST : 0))
		made(a, DIRECTORY);
}

static void do_symlink(int a, int b)
{
	char target[32];

	(void)b;
	snprintf(target, sizeof(target), "%ld", last_content + 1);
	if (expect("symlink", a, symlink(target, paths[a]), model[a] ? EEXIST : 0))
		made(a, SYMLINK);
}

static void do_link(int a, int b)
{
	int expected = 0;

	if (!model[a])
		expected = ENOENT;
	else if (model[b])
		expected = EEXIST;
	else if (model[a]->type == DIRECTORY)
		expected = EPERM;
	if (expect("link", b, link(paths[a], paths[b]), expected))
		leads_to(b, model[a]);
}

static void do_tmpfile(int a, int b)
{
	struct object *o = new_object(FILE_);
	int fd = open("0", O_TMPFILE | O_WRONLY, 0600), rc;
	char text[32], proc[32];
	struct stat st;

	(void)b;
	if (!expect("O_TMPFILE", a, fd, 0)) {
		o->type = FREE;
		return;
	}
	snprintf(text, sizeof(text), "%ld", o->content);
	if (write(fd, text, strlen(text)) < 0 || fstat(fd, &st))
		complain("O_TMPFILE", a, name_of(errno), "success");
	o->ino = st.st_ino;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	rc = linkat(AT_FDCWD, proc, AT_FDCWD, paths[a], AT_SYMLINK_FOLLOW);
	if (expect("linkat", a, rc, model[a] ? EEXIST : 0))
		leads_to(a, o);
	else
		o->type = FREE;
	close(fd);
}

static void do_unlink(int a, int b)
{
	int expected = !model[a] ? ENOENT : model[a]->type == DIRECTORY ? EISDIR : 0;

	(void)b;
	if (expect("unlink", a, unlink(paths[a]), expected))
		leads_to(a, NULL);
}

static void do_rmdir(int a, int b)
{
	int expected = !model[a] ? ENOENT : model[a]->type != DIRECTORY ? ENOTDIR : 0;

	(void)b;
	if (expect("rmdir", a, rmdir(paths[a]), expected))
		leads_to(a, NULL);
}

static void do_rename(int a, int b)
{
	const struct object *from = model[a], *to = model[b];
	int expected = 0;

	if (!from)
		expected = ENOENT;
	else if (to && from->type == DIRECTORY && to->type != DIRECTORY)
		expected = ENOTDIR;
	else if (to && from->type != DIRECTORY && to->type == DIRECTORY)
		expected = EISDIR;
	/* of two names of one file nothing moves */
	if (expect("rename", a, rename(paths[a], paths[b]), expected) && from != to) {
		leads_to(b, model[a]);
		leads_to(a, NULL);
	}
}

static void do_rename_noreplace(int a, int b)
{
	int rc = renameat2(AT_FDCWD, paths[a], AT_FDCWD, paths[b], RENAME_NOREPLACE);

	if (expect("rename without replacement", a, rc,
		   !model[a]  ? ENOENT
		   : model[b] ? EEXIST
			      : 0)) {
		leads_to(b, model[a]);
		leads_to(a, NULL);
	}
}

static void do_exchange(int a, int b)
{
	int rc = renameat2(AT_FDCWD, paths[a], AT_FDCWD, paths[b], RENAME_EXCHANGE);
	struct object *before = model[a];

	if (expect("exchange", a, rc, !model[a] || !model[b] ? ENOENT : 0)) {
		model[a] = model[b];
		model[b] = before;
	}
}

static void do_setxattr(int a, int b)
{
	int flags = b % 2 ? XATTR_CREATE : XATTR_REPLACE, expected = 0;
	struct object *o = model[a];
	long value = ++last_content;

	if (o && o->type == SYMLINK)
		return;
	if (!o)
		expected = ENOENT;
	else if (flags == XATTR_CREATE && o->xattr)
		expected = EEXIST;
	else if (flags == XATTR_REPLACE && !o->xattr)
		expected = ENODATA;
	if (expect("setxattr", a, setxattr(paths[a], XATTR, &value, sizeof(value), flags),
		   expected))
		o->xattr = value;
}

static void do_removexattr(int a, int b)
{
	struct object *o = model[a];
	long value = 0;

	(void)b;
	if (o && o->type == SYMLINK)
		return;
	if (o && o->xattr &&
	    (getxattr(paths[a], XATTR, &value, sizeof(value)) < 0 || value != o->xattr))
		complain("attribute of", a, "another value", "the same");
	if (expect("removexattr", a, removexattr(paths[a], XATTR),
		   !o	       ? ENOENT
		   : !o->xattr ? ENODATA
			       : 0))
		o->xattr = 0;
}

static void (*const operations[])(int a, int b) = {
	do_create,	     do_create,	  do_mkdir,    do_symlink,     do_link,
	do_tmpfile,	     do_unlink,	  do_rmdir,    do_rename,      do_rename,
	do_rename_noreplace, do_exchange, do_setxattr, do_removexattr,
};

static void storm(int process, time_t end)
{
	srand(process);
	for (int i = 0; i < NAMES; i++)
		snprintf(paths[i], sizeof(paths[i]), "%d/%d-%d", i % DIRECTORIES, process, i);
	while (time(NULL) < end) {
		int a = rand() % NAMES, b = rand() % NAMES;

		operations[rand() % (sizeof(operations) / sizeof(*operations))](a, b);
		check(a);
		check(b);
	}
	for (int i = 0; i < NAMES; i++)
		check(i);
}

int main(int argc, char **argv)
{
	int processes;
	time_t end;

	if (argc != 4) {
		fprintf(stderr, "usage: storm DIRECTORY PROCESSES SECONDS\n");
		return 2;
	}
	processes = atoi(argv[2]);
	end = time(NULL) + atoi(argv[3]);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED || chdir(argv[1]))
		err(1, "%s", argv[1]);
	for (int i = 0; i < DIRECTORIES; i++)
		if (mkdir((char[]){'0' + i, '\0'}, 0700))
			err(1, "mkdir");
	for (int i = 0; i < processes; i++)
		if (fork() == 0) {
			storm(i, end);
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	printf("operations %ld errors %ld\n", shared->operations, shared->errors);
	return shared->errors != 0;
}
