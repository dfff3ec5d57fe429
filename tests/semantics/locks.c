// SPDX-License-Identifier: GPL-2.0-or-later
/* flock, POSIX and open-file-description locks between processes. */
#include "compare.h"

#include <sys/file.h>
#include <sys/wait.h>

static struct flock range(short type, off_t start, off_t len)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
}

static int lock(int fd, int command, short type, off_t start, off_t len)
{
	struct flock fl = range(type, start, len);

	return fcntl(fd, command, &fl);
}

static const char *path;

static void other_flocks(void)
{
	int fd = MUST(open(path, O_RDWR));

	TRY(flock(fd, LOCK_SH | LOCK_NB));
	TRY(flock(fd, LOCK_EX | LOCK_NB));
}

static void other_locks(void)
{
	int fd = MUST(open(path, O_RDWR));
	struct flock fl = range(F_WRLCK, 0, 0);

	TRY(fcntl(fd, F_GETLK, &fl));
	note("type %d at %ld, %ld long, by %s", fl.l_type, (long)fl.l_start, (long)fl.l_len,
	     fl.l_type == F_UNLCK    ? "nobody"
	     : fl.l_pid == getppid() ? "the parent"
	     : fl.l_pid == -1	     ? "a description"
				     : "another");
	TRY(lock(fd, F_SETLK, F_RDLCK, 0, 10));
	TRY(lock(fd, F_SETLK, F_WRLCK, 0, 10));
	TRY(lock(fd, F_SETLK, F_WRLCK, 10, 10));
	TRY(lock(fd, F_SETLK, F_RDLCK, 100, 0));
	TRY(lock(fd, F_OFD_SETLK, F_WRLCK, 5, 1));
}

BEHAVIOUR(flock_excludes_other_descriptions)
{
	EACH_KIND (f) {
		int fd = make_file(f, 100), same = dup(fd);

		path = f;
		TRY(flock(fd, LOCK_SH));
		in_child(other_flocks);
		TRY(flock(fd, LOCK_EX | LOCK_NB));
		in_child(other_flocks);
		close(fd);
		in_child(other_flocks);
		TRY(flock(same, LOCK_UN));
		in_child(other_flocks);
		close(same);
	}
}

BEHAVIOUR(posix_locks_exclude_other_processes)
{
	EACH_KIND (f) {
		int fd = make_file(f, 100);

		path = f;
		in_child(other_locks);
		TRY(lock(fd, F_SETLK, F_WRLCK, 0, 10));
		in_child(other_locks);
		TRY(lock(fd, F_SETLK, F_RDLCK, 5, 5));
		in_child(other_locks);
		TRY(lock(fd, F_SETLK, F_RDLCK, 100, 0));
		TRY(lock(fd, F_SETLK, F_UNLCK, 0, 10));
		in_child(other_locks);
		/* closing any descriptor of the file drops them all */
		close(MUST(open(f, O_RDONLY)));
		in_child(other_locks);
		TRY(lock(MUST(open(f, O_RDONLY)), F_SETLK, F_WRLCK, 0, 1));
		close(fd);
	}
}

BEHAVIOUR(description_locks_stay_with_their_description)
{
	EACH_KIND (f) {
		int fd = make_file(f, 100), other = MUST(open(f, O_RDWR));

		path = f;
		TRY(lock(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
		TRY(lock(other, F_OFD_SETLK, F_WRLCK, 5, 10));
		in_child(other_locks);
		close(other);
		in_child(other_locks);
		close(fd);
		in_child(other_locks);
	}
}

/* A waiter gets the lock when the holder lets go, and two that wait for each other are told. */
BEHAVIOUR(waiting_for_a_lock)
{
	EACH_KIND (f) {
		int fd = make_file(f, 100), ready[2], status;
		char byte;
		pid_t pid;

		MUST(pipe(ready));
		TRY(lock(fd, F_SETLK, F_WRLCK, 0, 1));
		pid = MUST(fork());
		if (pid == 0) {
			int own = open(f, O_RDWR);

			if (lock(own, F_SETLK, F_WRLCK, 1, 1) || write(ready[1], "", 1) != 1)
				_exit(1);
			_exit(lock(own, F_SETLKW, F_WRLCK, 0, 1) ? 1 : 42);
		}
		MUST(read(ready[0], &byte, 1));
		usleep(100000);
		EXPECT(waitpid(pid, &status, WNOHANG) == 0);
		TRY(lock(fd, F_SETLKW, F_WRLCK, 1, 1));
		TRY(lock(fd, F_SETLK, F_UNLCK, 0, 1));
		MUST(waitpid(pid, &status, 0));
		note("the waiter ended with %d", WEXITSTATUS(status));
		close(fd);
	}
}
