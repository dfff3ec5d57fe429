// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * semantics [-v] BARE MNT UID [BEHAVIOUR...]: run behaviours in BARE and in MNT, which is a view of
 * the same directory, as user UID, and compare what they saw and what they left on the filesystem.
 * -v prints the transcripts in full.
 */
#include "compare.h"

#include <dirent.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#define TIME_LIMIT 120
#define LINES_SHOWN 40

int below;
bool through;
uid_t caller;
gid_t group;
const char *const file_kinds[] = {"plain", "disk.img", NULL};

static struct behaviour *behaviours, **behaviours_end = &behaviours;

void behaviour_register(struct behaviour *behaviour)
{
	*behaviours_end = behaviour;
	behaviours_end = &behaviour->next;
}

/* The transcript is stdout, written at once so that children's lines keep their order. */
void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vdprintf(STDOUT_FILENO, fmt, ap);
	va_end(ap);
	dprintf(STDOUT_FILENO, "\n");
}

long note_result(const char *call, long result)
{
	int saved = errno;

	if (result < 0)
		note("%s: %s", call, strerrorname_np(saved));
	else
		note("%s: %ld", call, result);
	errno = saved;
	return result;
}

int note_open(const char *call, int fd)
{
	int saved = errno;

	note("%s: %s", call, fd < 0 ? strerrorname_np(saved) : "opened");
	errno = saved;
	return fd;
}

long must_succeed(const char *call, long result)
{
	if (result < 0) {
		note("must succeed: %s: %s", call, strerrorname_np(errno));
		exit(1);
	}
	return result;
}

void must_hold(const char *condition, bool holds)
{
	if (!holds) {
		note("must hold: %s", condition);
		exit(1);
	}
}

uint64_t digest(int fd)
{
	static unsigned char buf[64 * KIB];
	uint64_t sum = 0xcbf29ce484222325;
	off_t off = 0;
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), off)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			sum = (sum ^ buf[i]) * 0x100000001b3;
		off += n;
	}
	return n < 0 ? (uint64_t)-errno : sum;
}

static void show_stat(const char *name, const struct stat *st)
{
	note("%s: mode %06o nlink %lu uid %u gid %u size %ld rdev %u:%u", name, st->st_mode,
	     (unsigned long)st->st_nlink, st->st_uid, st->st_gid,
	     S_ISDIR(st->st_mode) ? 0L : (long)st->st_size, major(st->st_rdev), minor(st->st_rdev));
}

static void show_digest(const char *name, int fd, const struct stat *st)
{
	if (S_ISREG(st->st_mode) && st->st_size <= 32 * MIB && fd >= 0)
		note("%s: contents %016llx", name, (unsigned long long)digest(fd));
}

void show(const char *path)
{
	char target[4096];
	struct stat st;
	ssize_t n;
	int fd;

	if (lstat(path, &st) < 0) {
		note("%s: %s", path, strerrorname_np(errno));
		return;
	}
	show_stat(path, &st);
	if (S_ISLNK(st.st_mode)) {
		n = readlink(path, target, sizeof(target));
		note("%s -> %.*s", path, (int)n, target);
	} else if (S_ISREG(st.st_mode) && (fd = open(path, O_RDONLY | O_CLOEXEC)) >= 0) {
		show_digest(path, fd, &st);
		close(fd);
	}
}

void show_fd(int fd)
{
	char self[64];
	struct stat st;
	int again;

	if (fstat(fd, &st) < 0) {
		note("descriptor: %s", strerrorname_np(errno));
		return;
	}
	show_stat("descriptor", &st);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	again = open(self, O_RDONLY | O_CLOEXEC);
	show_digest("descriptor", again, &st);
	if (again >= 0)
		close(again);
}

void show_times(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		note("%s: %s", path, strerrorname_np(errno));
	else
		note("%s: atime %lld.%09ld mtime %lld.%09ld", path, (long long)st.st_atim.tv_sec,
		     st.st_atim.tv_nsec, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

void fill(void *buf, size_t len, unsigned int seed)
{
	uint32_t x = seed * 2654435761U + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		((unsigned char *)buf)[i] = x >> 24;
	}
}

int make_file(const char *path, size_t size)
{
	int fd = MUST(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
	char *buf = malloc(size + 1);

	fill(buf, size, size);
	EXPECT(pwrite(fd, buf, size, 0) == (ssize_t)size);
	free(buf);
	return fd;
}

void become_caller(void)
{
	gid_t groups[] = {group, SECOND_GROUP};

	MUST(setgroups(ARRAY_SIZE(groups), groups));
	MUST(setresgid(group, group, group));
	MUST(setresuid(caller, caller, caller));
}

void in_child(void (*run)(void))
{
	int status;
	pid_t pid = MUST(fork());

	if (pid == 0) {
		run();
		exit(0);
	}
	MUST(waitpid(pid, &status, 0));
	EXPECT(status == 0);
}

static void describe_xattrs(const char *path)
{
	static char names[64 * KIB], value[64 * KIB];
	ssize_t n = llistxattr(path, names, sizeof(names));

	for (const char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
		ssize_t size = lgetxattr(path, name, value, sizeof(value));
		uint64_t sum = 0;

		for (ssize_t i = 0; i < size; i++)
			sum = sum * 31 + (unsigned char)value[i];
		note("left: %s: xattr %s size %zd sum %llx", path, name, size,
		     (unsigned long long)sum);
	}
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* What a behaviour left below; wide directories and deep trees are its own to check. */
static void describe_tree(const char *dir, int depth)
{
	struct dirent **entries;
	int n = scandir(dir, &entries, NULL, by_name);

	for (int i = 0; i < n; i++) {
		char path[4096];
		struct stat st;

		snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
		if (n < 1000 && depth < 8 && strcmp(entries[i]->d_name, ".") &&
		    strcmp(entries[i]->d_name, "..") && lstat(path, &st) == 0) {
			note("left:");
			show(path);
			describe_xattrs(path);
			if (S_ISDIR(st.st_mode))
				describe_tree(path, depth + 1);
		}
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

/* By descriptors, since a tree may be deeper than PATH_MAX. */
static void remove_tree(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (unlinkat(fd, entry->d_name, 0) < 0)
			remove_tree(fd, entry->d_name);
	}
	if (dir)
		closedir(dir);
	if (unlinkat(parent, name, AT_REMOVEDIR) < 0)
		note("cannot remove %s: %s", name, strerrorname_np(errno));
}

static void run_in(const struct behaviour *behaviour, int dir)
{
	alarm(TIME_LIMIT);
	if (fchdir(dir) < 0)
		exit(1);
	umask(022);
	if (behaviour->setup)
		behaviour->setup();
	if (behaviour->run) {
		become_caller();
		behaviour->run();
	}
}

/* Returns false if the behaviour failed by itself; the transcript goes to stdout. */
static bool run_side(const struct behaviour *behaviour, int bare, int side, const char *name)
{
	int dir, status;
	pid_t pid;

	MUST(mkdirat(side, name, 0755));
	MUST(fchownat(side, name, caller, group, 0));
	dir = MUST(openat(side, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	below = MUST(openat(bare, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	pid = MUST(fork());
	if (pid == 0) {
		run_in(behaviour, dir);
		exit(0);
	}
	MUST(waitpid(pid, &status, 0));
	if (WIFSIGNALED(status))
		note("killed by SIG%s", sigabbrev_np(WTERMSIG(status)));

	MUST(fchdir(below));
	describe_tree(".", 0);
	MUST(fchdir(side));
	close(dir);
	close(below);
	remove_tree(side, name);
	note("directory is %s", faccessat(bare, name, F_OK, 0) < 0 ? "gone" : "still there");
	return status == 0;
}

/* Returns a descriptor of what the behaviour wrote. */
static int transcript(const struct behaviour *behaviour, int bare, int side, const char *name,
		      bool *good)
{
	int memory = MUST(memfd_create("transcript", 0));
	int status;
	pid_t pid = MUST(fork());

	if (pid == 0) {
		through = side != bare;
		dup2(memory, STDOUT_FILENO);
		exit(run_side(behaviour, bare, side, name) ? 0 : 1);
	}
	MUST(waitpid(pid, &status, 0));
	*good = status == 0;
	return memory;
}

static bool equal(int a, int b)
{
	struct stat a_st, b_st;

	MUST(fstat(a, &a_st));
	MUST(fstat(b, &b_st));
	return a_st.st_size == b_st.st_size && digest(a) == digest(b);
}

static void print_transcripts(int bare, int mount, bool same, int limit)
{
	char command[256];

	fflush(stdout);
	if (same)
		snprintf(command, sizeof(command), "head -n %d /dev/fd/%d", limit, bare);
	else
		snprintf(command, sizeof(command),
			 "diff -U 1 --label bare --label mount /dev/fd/%d /dev/fd/%d | head -n %d",
			 bare, mount, limit);
	MUST(system(command));
}

static bool check(const struct behaviour *behaviour, int bare, int mount, bool verbose)
{
	bool bare_good, mount_good, same;
	int a, b;

	fflush(stdout);
	a = transcript(behaviour, bare, bare, "on-bare", &bare_good);
	b = transcript(behaviour, bare, mount, "by-mount", &mount_good);
	same = equal(a, b);
	if (verbose || !same || !bare_good || !mount_good)
		print_transcripts(a, b, same, verbose ? INT_MAX : LINES_SHOWN);
	close(a);
	close(b);
	if (same && bare_good && mount_good)
		return true;
	printf("FAILED as user %u: %s%s%s\n", caller, behaviour->name,
	       bare_good ? "" : " (already on the bare directory)", same ? "" : " (differs)");
	return false;
}

static bool chosen(const struct behaviour *behaviour, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (!strcmp(*names, behaviour->name))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	int bare, mount, run = 0, failed = 0;
	bool verbose = argc > 1 && !strcmp(argv[1], "-v");

	argv += verbose;
	argc -= verbose;
	if (argc < 4) {
		fprintf(stderr, "usage: semantics [-v] BARE MNT UID [BEHAVIOUR...]\n");
		return 2;
	}
	bare = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mount = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (bare < 0 || mount < 0) {
		perror("semantics");
		return 2;
	}
	caller = group = strtoul(argv[3], NULL, 10);
	for (struct behaviour *b = behaviours; b; b = b->next) {
		if (!chosen(b, argv + 4))
			continue;
		run++;
		failed += !check(b, bare, mount, verbose);
	}
	printf("%d behaviours as user %u, %d failed\n", run, caller, failed);
	return run == 0 || failed ? 1 : 0;
}
