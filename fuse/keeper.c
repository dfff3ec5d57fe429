// SPDX-License-Identifier: GPL-2.0-or-later
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mountpoint.h"
#include "notify.h"
#include "policy/log.h"
#include "policy/util.h"
#include "process.h"
#include "state.h"

#define KEPT_MAX 20000
#define MESSAGE_MAX 512

/* So many successors in a row may die before they are ready; the pause before each is doubled. */
#define TRIES_MAX 5
#define PAUSE_FIRST_MS 50

static struct keeper {
	struct kept {
		char name[KEEPER_NAME_MAX];
		int fd;
	} kept[KEPT_MAX];
	unsigned nkept;
	int socket;  /* what the workers say; their end is kept like everything else */
	int manager; /* a service manager that keeps the same; -1: none */
	int signals;
	int ready_fd; /* who started us waits for it */
	pid_t worker;
	int executable; /* of the next worker */
	int proven; /* that of the last one that was ready: the same, or what it falls back to */
	/* A program that has been asked whether it takes over the state of ours. */
	struct {
		pid_t pid;
		int executable, answer; /* a pipe: closed for yes */
	} asked;
	bool ready;	     /* this worker has been */
	bool mounted;	     /* one of them has been */
	bool incomplete;     /* something that should be kept is not */
	bool resend;	     /* the mount survives a worker's death */
	bool stopping;	     /* SIGTERM came, and a manager keeps the same as we do */
	unsigned tries;	     /* workers in a row that were never ready */
	char **argv;	     /* of every worker */
	const char *program; /* path of the executable, for a deliberate restart */
	const char *mountpoint;
	char names[KEPT_MAX * KEEPER_NAME_MAX];
} keeper;

/* ===== the store ===== */

static void keep(const char *name, int fd)
{
	struct kept *kept = &keeper.kept[keeper.nkept];

	if (keeper.nkept == KEPT_MAX) {
		keeper.incomplete = true;
		close(fd);
		return;
	}
	snprintf(kept->name, sizeof(kept->name), "%s", name);
	kept->fd = fd;
	keeper.nkept++;
}

static void drop(unsigned i)
{
	close(keeper.kept[i].fd);
	keeper.kept[i] = keeper.kept[--keeper.nkept];
}

static void drop_name(const char *name)
{
	for (unsigned i = keeper.nkept; i-- > 0;)
		if (!strcmp(keeper.kept[i].name, name))
			drop(i);
}

/* What a manager kept from an earlier life: ours ended, and the worker with it. */
static void adopt_from_manager(void)
{
	char *names;
	int n = notify_passed(&names);

	for (int i = 0; i < n; i++) {
		const char *name = strsep(&names, ":") ?: "unknown";

		keep(name, NOTIFY_FDS_START + i);
		keeper.mounted |= !strcmp(name, "state");
	}
	keeper.resend = keeper.mounted;
}

/* ===== workers ===== */

/* In the child: the kept descriptors become 3, 4, 5..., first out of the way of these numbers. */
static bool pass_descriptors(void)
{
	int base = NOTIFY_FDS_START + keeper.nkept;
	size_t n = 0;

	keeper.executable = fcntl(keeper.executable, F_DUPFD_CLOEXEC, base);
	for (unsigned i = 0; i < keeper.nkept; i++)
		keeper.kept[i].fd = fcntl(keeper.kept[i].fd, F_DUPFD_CLOEXEC, base);
	for (unsigned i = 0; i < keeper.nkept; i++) {
		n += snprintf(keeper.names + n, sizeof(keeper.names) - n, "%s%s", i ? ":" : "",
			      keeper.kept[i].name);
		if (dup2(keeper.kept[i].fd, NOTIFY_FDS_START + i) < 0)
			return false;
	}
	return true;
}

static void set_number(const char *variable, int value)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", value);
	setenv(variable, text, 1);
}

static void become_worker(int death, long pause_ms)
{
	const struct timespec pause = {.tv_nsec = pause_ms * 1000000};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	nanosleep(&pause, NULL);
	set_number("LISTEN_FDS", keeper.nkept);
	set_number("LISTEN_PID", getpid());
	set_number(KEEPER_ENV_DEATH, death);
	if (pass_descriptors() && setenv("LISTEN_FDNAMES", keeper.names, 1) == 0)
		syscall(SYS_execveat, keeper.executable, "", keeper.argv, environ, AT_EMPTY_PATH);
	log_err("keeper: the next worker cannot be started: %s", strerror(errno));
	_exit(127);
}

/* DEATH: how the last one ended, as in wait(2). */
static bool start_worker(int death, long pause_ms)
{
	keeper.ready = false;
	keeper.worker = fork();
	if (keeper.worker == 0)
		become_worker(death, pause_ms);
	return keeper.worker > 0;
}

/* ===== a deliberate restart ===== */

/* The errno goes to who waits at the other end. */
static void refuse(char error)
{
	if (write(keeper.asked.answer, &error, 1) < 0) {
		/* Nobody waits any more. */
	}
	close(keeper.asked.answer);
	if (keeper.asked.executable >= 0)
		close(keeper.asked.executable);
	keeper.asked.pid = 0;
}

/* The program on disk may be a new one. It is asked before the old one goes. */
static void ask(int answer_fd)
{
	char *argv[] = {"bouncefs", "--accepts-state", STATE_VERSION_TEXT, NULL};

	if (keeper.asked.pid > 0) {
		kill(keeper.asked.pid, SIGKILL);
		refuse(ECANCELED);
	}
	keeper.asked.answer = answer_fd;
	keeper.asked.executable = open(keeper.program, O_PATH | O_CLOEXEC);
	keeper.asked.pid = keeper.asked.executable < 0 ? -1 : fork();
	if (keeper.asked.pid == 0) {
		syscall(SYS_execveat, keeper.asked.executable, "", argv, environ, AT_EMPTY_PATH);
		_exit(127);
	}
	if (keeper.asked.pid < 0)
		refuse(errno);
}

static void set_executable(int fd)
{
	if (keeper.executable != keeper.proven)
		close(keeper.executable);
	keeper.executable = fd;
}

static void handle_answer(int status)
{
	struct pollfd waits = {.fd = keeper.asked.answer};

	/* Nobody gets a restart any more who was told that there was none. */
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || poll(&waits, 1, 0) != 0) {
		refuse(EPROTO);
		return;
	}
	set_executable(keeper.asked.executable);
	close(keeper.asked.answer);
	keeper.asked.pid = 0;
	kill(keeper.worker, SIGQUIT);
}

/* ===== messages ===== */

static void note_ready(void)
{
	keeper.ready = keeper.mounted = true;
	keeper.tries = 0;
	if (keeper.proven != keeper.executable)
		close(keeper.proven);
	keeper.proven = keeper.executable;
	if (keeper.ready_fd >= 0)
		process_ready(keeper.ready_fd);
	keeper.ready_fd = -1;
}

static const char *field(const char *message, const char *key)
{
	for (const char *line = message; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, strlen(key)))
			return line + strlen(key);
	}
	return NULL;
}

/* FD, or -1, belongs to this function. */
static void handle_message(const char *text, int fd)
{
	char name[KEEPER_NAME_MAX] = "";
	const char *given = field(text, "FDNAME="), *resend = field(text, "X_BOUNCEFS_RESEND=");

	if (given)
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(given, "\n"), given);
	if (field(text, "FDSTOREREMOVE=1"))
		drop_name(name);
	if (resend)
		keeper.resend = *resend == '1';
	if (field(text, "READY=1"))
		note_ready();
	if (fd < 0)
		return;
	if (field(text, "FDSTORE=1"))
		keep(name, fd);
	else if (field(text, "X_BOUNCEFS_RESTART=1"))
		ask(fd);
	else
		close(fd); /* BARRIER=1: all that came before has been done */
}

static bool receive_message(void)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char text[MESSAGE_MAX + 1];
	struct iovec iov = {text, MESSAGE_MAX};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(keeper.socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	int fd = -1;

	if (n < 0)
		return false;
	text[n] = 0;
	keeper.incomplete |= message.msg_flags & MSG_CTRUNC; /* no room for a descriptor */
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	handle_message(text, fd);
	return true;
}

/* ===== the end of a mount ===== */

/* A manager must not hand it to our successor, nor keep the connection alive. */
static void forget(unsigned i)
{
	char text[KEEPER_NAME_MAX + 32];
	int n = snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", keeper.kept[i].name);

	if (keeper.manager >= 0 && send(keeper.manager, text, n, MSG_NOSIGNAL) < 0)
		log_warn("keeper: the service manager: %s", strerror(errno));
	drop(i);
}

static int end(int status)
{
	while (keeper.nkept)
		forget(keeper.nkept - 1);
	return status;
}

/* The connection ends: everything that waits gets an error, even while a ring of the dead one that
 * waits for a disk holds a descriptor. The pool stays locked until the dead workers' last I/O is
 * done: a new mount would take newer writes, and an older one land on top of them. */
static int give_up(const char *why)
{
	log_err("%s: %s: the mount is given up", keeper.mountpoint, why);
	for (unsigned i = keeper.nkept; i-- > 0;)
		if (strcmp(keeper.kept[i].name, "root") && !keeper_is_fence(keeper.kept[i].name))
			forget(i);
	mountpoint_abort(keeper.mountpoint);
	for (unsigned i = 0; i < keeper.nkept; i++) {
		struct pollfd p = {.fd = keeper.kept[i].fd, .events = POLLIN};

		while (keeper_is_fence(keeper.kept[i].name) && !(p.revents & (POLLIN | POLLHUP)))
			poll(&p, 1, -1);
	}
	return end(1);
}

/* The first worker ended before it was ready: it has said why there is no mount, or it was killed,
 * perhaps with the mount already made. */
static int give_up_start(int status)
{
	end(0);
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	log_err("%s: killed by signal %d before it was ready", keeper.mountpoint, WTERMSIG(status));
	if (mountpoint_is_dead(keeper.mountpoint))
		mountpoint_unmount(keeper.mountpoint, true);
	return 1;
}

/* What to do about a worker's end: -1 a successor runs, else the keeper's own exit status. */
static int handle_death(int status)
{
	long pause_ms = 0;

	if (!keeper.mounted)
		return give_up_start(status);
	if (keeper.ready && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return end(0); /* unmounted */
	if (keeper.stopping)
		return 0; /* the manager's store has it all, for our successor */
	if (keeper.incomplete)
		return give_up("not all descriptors could be kept");
	if (!keeper.resend)
		return give_up("a daemon has died whose requests the kernel cannot send again");
	if (!keeper.ready) {
		set_executable(keeper.proven);
		pause_ms = PAUSE_FIRST_MS << keeper.tries++;
		if (keeper.tries == TRIES_MAX)
			return give_up("too many workers died before they were ready");
	}
	return start_worker(status, pause_ms) ? -1 : give_up("no successor");
}

/* ===== the loop ===== */

static int reap(void)
{
	int rc = -1, status;
	pid_t pid;

	while (rc < 0 && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == keeper.asked.pid)
			handle_answer(status);
		else if (pid == keeper.worker)
			rc = handle_death(status);
	}
	return rc;
}

static int handle_signal(int signal)
{
	if (signal == SIGCHLD)
		return reap();
	if (signal == SIGTERM || signal == SIGINT)
		keeper.stopping = keeper.manager >= 0;
	kill(keeper.worker, signal);
	return -1;
}

static int loop(void)
{
	struct pollfd p[] = {{.fd = keeper.socket, .events = POLLIN},
			     {.fd = keeper.signals, .events = POLLIN}};
	struct signalfd_siginfo info;
	int rc = -1;

	while (rc < 0) {
		if (poll(p, ARRAY_SIZE(p), -1) < 0)
			continue;
		/* All that a worker had said counts before its death, also what it said while we
		 * looked for it: poll() sees one descriptor after the other. */
		while (receive_message())
			;
		if (p[1].revents & POLLIN && read(keeper.signals, &info, sizeof(info)) > 0)
			rc = handle_signal(info.ssi_signo);
	}
	return rc;
}

static int prepare(void)
{
	int sockets[2];

	keeper.executable = keeper.proven = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (keeper.executable < 0 || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	keeper.socket = sockets[0];
	keep(KEEPER_SOCKET, sockets[1]);
	keeper.manager = notify_connect();
	if (keeper.manager < 0 && keeper.manager != -ENOENT)
		return keeper.manager;
	keeper.signals = process_signals();
	return MIN(keeper.signals, 0);
}

int keeper_run(const char *program, char **argv, const char *mountpoint, int ready_fd)
{
	int rc;

	keeper.program = program;
	keeper.argv = argv;
	keeper.mountpoint = mountpoint;
	keeper.ready_fd = ready_fd;
	process_raise_descriptors();
	adopt_from_manager();
	rc = prepare();
	if (rc < 0) {
		log_complain("keeper: %s", strerror(-rc));
		return 1;
	}
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		log_warn("keeper: mlockall: %s", strerror(errno));
	return start_worker(0, 0) ? loop() : 1;
}
