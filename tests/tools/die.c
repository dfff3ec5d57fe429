// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * die - preloaded into bouncefs, kills it after its Nth library call
 *
 *	DIE=FILE LD_PRELOAD=libdie.so bouncefs ...
 *
 * Only calls that reach the kernel are counted, and only those of the threads that FILE (die.h)
 * names. So a test can try each moment of an operation, one after the other.
 */
#include "die.h"

#include <dlfcn.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct die *die;
static bool is_worker;
static __thread bool is_meta;

static int me(void)
{
	if (!is_worker)
		return DIE_KEEPER;
	if (gettid() == getpid())
		return DIE_MAIN;
	return is_meta ? DIE_META : 0;
}

static void step(const char *call)
{
	int saved = errno;

	if (die && die->steps > 0 && die->who == me() &&
	    (!*die->only || !strcmp(die->only, call)) && atomic_fetch_sub(&die->steps, 1) == 1) {
		snprintf(die->call, sizeof(die->call), "%s", call);
		die->deaths++;
		die->steps = die->more > 0 ? die->again : 0;
		die->more--;
		raise(SIGKILL);
		for (;;)
			pause();
	}
	errno = saved;
}

__attribute__((constructor)) static void prepare(int argc, char **argv)
{
	int fd = open(getenv("DIE"), O_RDWR | O_CLOEXEC);

	is_worker = argc > 1 && !strcmp(argv[1], "--worker");
	if (fd < 0)
		err(1, "DIE");
	die = mmap(NULL, sizeof(*die), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (die == MAP_FAILED)
		err(1, "DIE");
	close(fd);
}

/* Tells who a thread is. */
int pthread_setname_np(pthread_t thread, const char *name)
{
	int (*real)(pthread_t thread, const char *name) = dlsym(RTLD_NEXT, "pthread_setname_np");

	is_meta = !strcmp(name, "bouncefs/meta");
	return real(thread, name);
}

#define STEP(type, name, parameters, arguments)         \
	type name parameters                            \
	{                                               \
		static type(*real) parameters;          \
		type result;                            \
                                                        \
		if (!real)                              \
			real = dlsym(RTLD_NEXT, #name); \
		result = real arguments;                \
		step(#name);                            \
		return result;                          \
	}

/* The file's mode, or the argument of fcntl() and ioctl(), is passed on in any case. */
#define STEP_VARIADIC(name, last, parameters, arguments) \
	int name parameters                              \
	{                                                \
		static int(*real) parameters;            \
		va_list ap;                              \
		void *more;                              \
		int result;                              \
                                                         \
		if (!real)                               \
			real = dlsym(RTLD_NEXT, #name);  \
		va_start(ap, last);                      \
		more = va_arg(ap, void *);               \
		va_end(ap);                              \
		result = real arguments;                 \
		step(#name);                             \
		return result;                           \
	}

/* libfuse's, and a step before the answer is sent. */
int fuse_reply_buf(void *req, const char *buf, size_t n)
{
	int (*real)(void *req, const char *buf, size_t n) = dlsym(RTLD_NEXT, "fuse_reply_buf");

	step("fuse_reply_buf");
	return real(req, buf, n);
}

/* clang-format off */
STEP_VARIADIC(open, flags, (const char *path, int flags, ...), (path, flags, more))
STEP_VARIADIC(openat, flags, (int dir, const char *path, int flags, ...), (dir, path, flags, more))
STEP_VARIADIC(fcntl, cmd, (int fd, int cmd, ...), (fd, cmd, more))
STEP_VARIADIC(ioctl, cmd, (int fd, unsigned long cmd, ...), (fd, cmd, more))
STEP(int, close, (int fd), (fd))
STEP(int, dup3, (int from, int to, int flags), (from, to, flags))
STEP(int, dup2, (int from, int to), (from, to))
STEP(int, pipe2, (int fds[2], int flags), (fds, flags))
STEP(int, eventfd, (unsigned count, int flags), (count, flags))
STEP(int, memfd_create, (const char *name, unsigned flags), (name, flags))
STEP(void *, mmap, (void *at, size_t n, int prot, int flags, int fd, off_t off),
     (at, n, prot, flags, fd, off))
STEP(int, open_by_handle_at, (int fd, struct file_handle *h, int flags), (fd, h, flags))
STEP(int, name_to_handle_at, (int fd, const char *path, struct file_handle *h, int *id, int flags),
     (fd, path, h, id, flags))
STEP(int, fstat, (int fd, struct stat *st), (fd, st))
STEP(int, fstatat, (int dir, const char *path, struct stat *st, int flags), (dir, path, st, flags))
STEP(int, flock, (int fd, int operation), (fd, operation))
STEP(int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode))
STEP(int, mknodat, (int dir, const char *path, mode_t mode, dev_t dev), (dir, path, mode, dev))
STEP(int, symlinkat, (const char *target, int dir, const char *path), (target, dir, path))
STEP(int, linkat, (int from, const char *path, int to, const char *name, int flags),
     (from, path, to, name, flags))
STEP(int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags))
STEP(int, renameat2, (int from, const char *path, int to, const char *name, unsigned flags),
     (from, path, to, name, flags))
STEP(int, fchownat, (int dir, const char *path, uid_t uid, gid_t gid, int flags),
     (dir, path, uid, gid, flags))
STEP(int, chmod, (const char *path, mode_t mode), (path, mode))
STEP(int, utimensat, (int dir, const char *path, const struct timespec t[2], int flags),
     (dir, path, t, flags))
STEP(int, ftruncate, (int fd, off_t size), (fd, size))
STEP(int, fallocate, (int fd, int mode, off_t off, off_t n), (fd, mode, off, n))
STEP(ssize_t, copy_file_range, (int in, off_t *from, int out, off_t *to, size_t n, unsigned flags),
     (in, from, out, to, n, flags))
STEP(int, fsync, (int fd), (fd))
STEP(int, setxattr, (const char *path, const char *name, const void *value, size_t n, int flags),
     (path, name, value, n, flags))
STEP(ssize_t, getxattr, (const char *path, const char *name, void *value, size_t n),
     (path, name, value, n))
STEP(int, removexattr, (const char *path, const char *name), (path, name))
STEP(int, setfsuid, (uid_t uid), (uid))
STEP(ssize_t, read, (int fd, void *buf, size_t n), (fd, buf, n))
STEP(ssize_t, write, (int fd, const void *buf, size_t n), (fd, buf, n))
STEP(ssize_t, writev, (int fd, const struct iovec *iov, int n), (fd, iov, n))
STEP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
STEP(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
STEP(int, poll, (struct pollfd *p, nfds_t n, int timeout), (p, n, timeout))
STEP(int, mount, (const char *source, const char *target, const char *type, unsigned long flags,
		  const void *data), (source, target, type, flags, data))
STEP(int, umount2, (const char *target, int flags), (target, flags))
STEP(int, pthread_create, (pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
			   void *arg), (thread, attr, run, arg))
STEP(int, io_uring_queue_init, (unsigned entries, struct io_uring *ring, unsigned flags),
     (entries, ring, flags))
STEP(int, io_uring_register_files_update, (struct io_uring *ring, unsigned off, const int *files,
					   unsigned n), (ring, off, files, n))
/* clang-format on */
