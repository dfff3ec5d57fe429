// SPDX-License-Identifier: GPL-2.0-or-later
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/log.h"
#include "policy/util.h"

#define DESCRIPTORS_WANTED 65536

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

void process_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (limit.rlim_max < DESCRIPTORS_WANTED) {
		struct rlimit more = {DESCRIPTORS_WANTED, DESCRIPTORS_WANTED};

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return;
	}
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int process_signals(void)
{
	static const int handled[] = {SIGCHLD, SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGHUP, SIGQUIT};
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(handled); i++)
		sigaddset(&set, handled[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

unsigned process_descriptors(void)
{
	struct rlimit limit = {1024, 1024};

	getrlimit(RLIMIT_NOFILE, &limit);
	return MIN(limit.rlim_cur, (rlim_t)DESCRIPTORS_WANTED);
}

void process_prepare(void)
{
	/* The malloc of a few threads that handle metadata needs no heap for each. */
	mallopt(M_ARENA_MAX, 2);
	process_raise_descriptors();
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0)
		log_info("PR_SET_IO_FLUSHER: %s", strerror(errno));
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		log_warn("mlockall: %s", strerror(errno));
	/* So that taking the caller's fsuid for a creation does not take our capabilities. */
	if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0)
		log_warn("PR_SET_SECUREBITS: %s", strerror(errno));
	umask(0);
}

static void wait_for_daemon(int fd, pid_t pid)
{
	char ready;
	ssize_t n;

	do {
		n = read(fd, &ready, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(0);
	waitpid(pid, NULL, 0); /* it has said why */
	_exit(1);
}

int process_daemonize(void)
{
	int pipe_fd[2];
	pid_t pid;

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid > 0) {
		close(pipe_fd[1]);
		wait_for_daemon(pipe_fd[0], pid);
	}
	close(pipe_fd[0]);
	setsid();
	if (chdir("/") < 0)
		return -errno;
	return pipe_fd[1];
}

void process_detach(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	for (int std = 0; std <= STDERR_FILENO; std++)
		dup2(null, std);
	close(null);
}

void process_ready(int fd)
{
	process_detach();
	if (write(fd, "", 1) < 0)
		log_warn("nobody waits for the mount to be live: %s", strerror(errno));
	close(fd);
}
