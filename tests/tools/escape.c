// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * escape - tries to be led out of a pool
 *
 *	escape MOUNT POOL UID SECONDS
 *
 * In both there are a directory `d` and a symbolic link `s` to a directory that only root may
 *enter. One process exchanges the two, through MOUNT and behind it in POOL; another, as UID, does
 *everything that can be done to names in `d` through MOUNT. Prints how often each was done, and how
 *often a file was read that began with "outside".
 */
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static struct counts {
	_Atomic unsigned long exchanges, tries, outside;
} * counts;

static void read_it(const char *path)
{
	char text[8] = "";
	int fd = open(path, O_RDWR);

	if (fd < 0)
		fd = open(path, O_RDONLY);
	if (fd < 0)
		return;
	if (read(fd, text, 7) == 7 && !strcmp(text, "outside"))
		counts->outside++;
	close(fd);
}

static void attack(const char *mount)
{
	int fd, refused = 0; /* most are, and that is well */

	if (chdir(mount) < 0)
		err(1, "%s", mount);
	for (;; counts->tries++) {
		read_it("d/secret");
		refused += truncate("d/secret", 7);
		chmod("d/secret", 0666);
		setxattr("d/secret", "user.x", "x", 1, 0);
		fd = open("d/new", O_CREAT | O_RDWR, 0600);
		if (fd >= 0)
			close(fd);
		rename("d/new", "d/newer");
		refused += link("d/newer", "d/other");
		refused += symlink("x", "d/link");
		mkdir("d/dir", 0700);
		unlink("d/secret");
		unlink("d/newer");
		unlink("d/other");
		unlink("d/link");
		rmdir("d/dir");
		fd = open("d/secret", O_CREAT | O_WRONLY, 0666);
		if (fd >= 0 && write(fd, "inside.", 7) == 7)
			close(fd);
	}
}

static void exchange(const char *mount, const char *pool)
{
	int in[] = {open(mount, O_PATH), open(pool, O_PATH)};

	for (unsigned i = 0;; i++)
		if (renameat2(in[i / 3 % 2], "d", in[i / 3 % 2], "s", RENAME_EXCHANGE) == 0)
			counts->exchanges++;
}

static pid_t run_as(uid_t uid)
{
	pid_t pid = fork();

	if (pid == 0 && uid && (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
		err(1, "setresuid");
	return pid;
}

int main(int argc, char **argv)
{
	pid_t pid[2];

	if (argc != 5)
		errx(2, "usage: escape MOUNT POOL UID SECONDS");
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (counts == MAP_FAILED)
		err(1, "mmap");
	pid[0] = run_as(0);
	if (pid[0] == 0)
		exchange(argv[1], argv[2]);
	pid[1] = run_as(atoi(argv[3]));
	if (pid[1] == 0)
		attack(argv[1]);
	sleep(atoi(argv[4]));
	for (int i = 0; i < 2; i++) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
	printf("%lu %lu %lu\n", counts->exchanges, counts->tries, counts->outside);
	return 0;
}
