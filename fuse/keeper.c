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
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mountpoint.h"
#include "notify.h"
#include "policy/log.h"
#include "policy/util.h"
#include "process.h"
#include "state.h"

#define KEPT_MAX 20000
#define MESSAGE_MAX 4096
#define FDS_MAX 8 /* in one message */

/* So many successors in a row may die before they are ready; the pause before each is doubled. */
#define TRIES_MAX 5
#define PAUSE_FIRST_MS 50

struct kept {
	char name[KEEPER_NAME_MAX];
	int fd;
};

static struct keeper {
	struct kept kept[KEPT_MAX];
	unsigned nkept;
	int socket;  /* ours: the worker's NOTIFY_SOCKET */
	int manager; /* connected to our own NOTIFY_SOCKET; -1: nobody is above us */
	int signals;
	int executable; /* of the next worker, open since the last one was started deliberately */
	int ready_fd;	/* who started us waits for it */
	pid_t worker;
	bool ready;	     /* this worker has been */
	bool mounted;	     /* one of them has been */
	bool incomplete;     /* something that should be kept is not */
	bool resend;	     /* the mount survives a worker's death */
	bool stopping;	     /* SIGTERM came */
	unsigned tries;	     /* workers in a row that were never ready */
	char **argv;	     /* of every worker */
	const char *program; /* path of the executable, for a deliberate restart */
	const char *mountpoint;
	char address[112], names[KEPT_MAX * KEEPER_NAME_MAX];
} keeper;

/* ===== the store ===== */

static void store(const char *name, int fd)
{
	struct kept *kept = &keeper.kept[keeper.nkept];

	if (keeper.nkept == KEPT_MAX) {
		log_err("keeper: too many descriptors to keep; '%s' is not", name);
		keeper.incomplete = true;
		close(fd);
		return;
	}
	snprintf(kept->name, sizeof(kept->name), "%s", name);
	kept->fd = fd;
	keeper.nkept++;
}

static bool has_prefix(const char *name, const char *prefix)
{
	return !strncmp(name, prefix, strlen(prefix));
}

static void drop_nth(unsigned i)
{
	close(keeper.kept[i].fd);
	keeper.kept[i] = keeper.kept[--keeper.nkept];
}

static void drop(const char *name)
{
	for (unsigned i = keeper.nkept; i-- > 0;)
		if (!strcmp(keeper.kept[i].name, name))
			drop_nth(i);
}

/* What a manager kept for us from an earlier life: ours died, and the worker with it. */
static void adopt_from_manager(void)
{
	char *names;
	int n = notify_passed(&names);

	for (int i = 0; i < n; i++) {
		const char *name = strsep(&names, ":") ?: "unknown";

		store(name, NOTIFY_FDS_START + i);
		keeper.mounted |= !strcmp(name, "state");
	}
	keeper.resend = keeper.mounted;
}

/* ===== messages ===== */

static const char *field(const char *message, const char *key)
{
	size_t n = strlen(key);

	for (const char *line = message; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, n))
			return line + n;
	}
	return NULL;
}

static void send_up(const struct msghdr *message, const char *text, size_t length)
{
	struct iovec iov = {(void *)text, length};
	struct msghdr up = *message;

	if (keeper.manager < 0)
		return;
	up.msg_name = NULL;
	up.msg_namelen = 0;
	up.msg_iov = &iov;
	up.msg_iovlen = 1;
	up.msg_flags = 0;
	if (sendmsg(keeper.manager, &up, MSG_NOSIGNAL) < 0)
		log_warn("keeper: the service manager: %s", strerror(errno));
}

/* The mount ends: a manager must not hand to our successor what is left of it. */
static void forget_nth(unsigned i)
{
	char text[KEEPER_NAME_MAX + 32];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", keeper.kept[i].name);
	send_up(&(struct msghdr){0}, text, strlen(text));
	drop_nth(i);
}

static void forget_all(void)
{
	while (keeper.nkept)
		forget_nth(keeper.nkept - 1);
}

/* All but what keeps the pool locked and what tells when no write of ours can land any more. */
static void drop_connection(void)
{
	for (unsigned i = keeper.nkept; i-- > 0;)
		if (strcmp(keeper.kept[i].name, "root") &&
		    !has_prefix(keeper.kept[i].name, "fence-") &&
		    !has_prefix(keeper.kept[i].name, "pid-"))
			forget_nth(i);
}

/* The pool stays locked until the dead workers' last I/O is done: a new mount would take newer
 * writes, and an older one land on top of them. */
static void wait_for_fences(void)
{
	for (unsigned i = 0; i < keeper.nkept; i++) {
		struct pollfd p = {.fd = keeper.kept[i].fd, .events = POLLIN};

		if (strcmp(keeper.kept[i].name, "root"))
			while (!(p.revents & (POLLIN | POLLHUP)) &&
			       (poll(&p, 1, -1) >= 0 || errno == EINTR))
				;
	}
}

static void note_ready(void)
{
	keeper.ready = keeper.mounted = true;
	keeper.tries = 0;
	if (keeper.ready_fd >= 0)
		process_ready(keeper.ready_fd);
	keeper.ready_fd = -1;
}

/* Whether the program that is FD takes over a state of our version. */
static bool accepts_state(int fd)
{
	char *argv[] = {"bouncefs", "--accepts-state", STATE_VERSION_TEXT, NULL};
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

/* The program on disk may be a new one. It is asked before the old one goes. */
static void restart_deliberately(void)
{
	int fd = open(keeper.program, O_PATH | O_CLOEXEC);

	if (fd < 0 || !accepts_state(fd)) {
		log_err("keeper: %s: %s; the old program goes on", keeper.program,
			fd < 0 ? strerror(errno) : "does not take over this version's state");
		if (fd >= 0)
			close(fd);
		return;
	}
	close(keeper.executable);
	keeper.executable = fd;
	kill(keeper.worker, SIGQUIT);
}

/* FDS belong to this function. */
static void handle_message(const char *text, const int *fds, int nfds)
{
	char name[KEEPER_NAME_MAX] = "stored";
	const char *given = field(text, "FDNAME="), *resend = field(text, "X_BOUNCEFS_RESEND=");
	bool keep = field(text, "FDSTORE=1");

	if (given)
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(given, "\n"), given);
	if (field(text, "FDSTOREREMOVE=1"))
		drop(name);
	for (int i = 0; i < nfds; i++) {
		if (keep)
			store(name, fds[i]);
		else
			close(fds[i]); /* BARRIER=1: all that came before has been done */
	}
	if (resend)
		keeper.resend = *resend == '1';
	if (field(text, "READY=1"))
		note_ready();
	if (field(text, "X_BOUNCEFS_RESTART=1"))
		restart_deliberately();
}

static void receive_message(void)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
	} control;
	char text[MESSAGE_MAX + 1];
	struct iovec iov = {text, MESSAGE_MAX};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(keeper.socket, &message, MSG_CMSG_CLOEXEC);
	int fds[FDS_MAX], nfds = 0;
	pid_t sender = 0;

	if (n < 0)
		return;
	text[n] = 0;
	if (message.msg_flags & MSG_CTRUNC) {
		log_err("keeper: no room for a descriptor");
		keeper.incomplete = true;
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		if (c->cmsg_type == SCM_RIGHTS) {
			nfds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(fds, CMSG_DATA(c), nfds * sizeof(int));
		} else if (c->cmsg_type == SCM_CREDENTIALS) {
			sender = ((struct ucred *)CMSG_DATA(c))->pid;
		}
	}
	/* The address is no secret. */
	if (sender != keeper.worker) {
		for (int i = 0; i < nfds; i++)
			close(fds[i]);
		return;
	}
	/* Passed on with descriptors, but as from us. */
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
		if (c->cmsg_type == SCM_CREDENTIALS)
			((struct ucred *)CMSG_DATA(c))->pid = getpid();
	send_up(&message, text, n);
	handle_message(text, fds, nfds);
}

/* ===== workers ===== */

/* In the child: the kept descriptors become 3, 4, 5... */
static bool place_descriptors(void)
{
	/* First out of the way of the numbers that are to be taken. */
	int base = NOTIFY_FDS_START + keeper.nkept;

	keeper.executable = fcntl(keeper.executable, F_DUPFD_CLOEXEC, base);
	if (keeper.executable < 0)
		return false;
	for (unsigned i = 0; i < keeper.nkept; i++) {
		keeper.kept[i].fd = fcntl(keeper.kept[i].fd, F_DUPFD_CLOEXEC, base);
		if (keeper.kept[i].fd < 0)
			return false;
	}
	for (unsigned i = 0; i < keeper.nkept; i++)
		if (dup2(keeper.kept[i].fd, NOTIFY_FDS_START + i) < 0)
			return false;
	return true;
}

static void list_names(void)
{
	size_t n = 0;

	keeper.names[0] = 0;
	for (unsigned i = 0; i < keeper.nkept; i++)
		n += snprintf(keeper.names + n, sizeof(keeper.names) - n, "%s%s", i ? ":" : "",
			      keeper.kept[i].name);
}

static void become_worker(int crash_signal)
{
	char count[16], pid[16], crash[16];
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(count, sizeof(count), "%u", keeper.nkept);
	snprintf(pid, sizeof(pid), "%d", getpid());
	snprintf(crash, sizeof(crash), "%d", crash_signal);
	list_names();
	if (keeper.manager >= 0)
		setenv(KEEPER_ENV_MANAGED, "1", 1);
	setenv("LISTEN_FDS", count, 1);
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDNAMES", keeper.names, 1);
	setenv("NOTIFY_SOCKET", keeper.address, 1);
	setenv(KEEPER_ENV_CRASH, crash, 1);
	if (place_descriptors())
		syscall(SYS_execveat, keeper.executable, "", keeper.argv, environ, AT_EMPTY_PATH);
	log_err("keeper: the next worker cannot be started: %s", strerror(errno));
	_exit(127);
}

static bool start_worker(int crash_signal)
{
	keeper.ready = false;
	keeper.worker = fork();
	if (keeper.worker == 0)
		become_worker(crash_signal);
	if (keeper.worker < 0)
		log_err("keeper: fork: %s", strerror(errno));
	return keeper.worker > 0;
}

/* Signals that a program brings upon itself: what was in execution then may be the reason. */
static int crash_signal(int status)
{
	if (!WIFSIGNALED(status))
		return 0;
	switch (WTERMSIG(status)) {
	case SIGSEGV:
	case SIGBUS:
	case SIGILL:
	case SIGFPE:
	case SIGABRT:
	case SIGSYS:
		return WTERMSIG(status);
	default:
		return 0;
	}
}

static void describe_death(int status)
{
	if (WIFSIGNALED(status))
		log_warn("worker %d was killed by signal %d (%s)", keeper.worker, WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != KEEPER_EXIT_HANDOVER)
		log_warn("worker %d ended with status %d", keeper.worker, WEXITSTATUS(status));
}

/* The connection ends with its last descriptor: everything that waits gets an error. */
static int give_up(const char *why)
{
	log_err("%s: %s: the mount is given up", keeper.mountpoint, why);
	drop_connection();
	mountpoint_abort(keeper.mountpoint);
	wait_for_fences();
	forget_all();
	return 1;
}

/* The first worker was killed before it was ready, perhaps with the mount already made. */
static int give_up_start(int status)
{
	describe_death(status);
	forget_all();
	if (mountpoint_is_dead(keeper.mountpoint))
		mountpoint_unmount(keeper.mountpoint, true);
	return 1;
}

/* What to do about a worker's end: -1 a successor runs, else the keeper's own exit status. */
static int handle_death(int status)
{
	const struct timespec pause = {.tv_nsec = (PAUSE_FIRST_MS << keeper.tries) * 1000000l};

	if (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || !keeper.mounted)) {
		forget_all(); /* unmounted, or it has said why there is no mount */
		return WEXITSTATUS(status);
	}
	if (!keeper.mounted)
		return give_up_start(status);
	describe_death(status);
	if (keeper.stopping)
		return 0; /* the manager's store has it all, for our successor */
	if (keeper.incomplete)
		return give_up("not all descriptors could be kept");
	if (!keeper.resend)
		return give_up("requests that were under way cannot be sent again");
	if (!keeper.ready) {
		if (++keeper.tries == TRIES_MAX)
			return give_up("too many workers died before they were ready");
		nanosleep(&pause, NULL);
	}
	return start_worker(crash_signal(status)) ? -1 : give_up("no successor");
}

/* ===== the loop ===== */

static void handle_signal(int signal)
{
	if (signal == SIGTERM || signal == SIGINT)
		keeper.stopping = keeper.manager >= 0;
	if (signal != SIGCHLD)
		kill(keeper.worker, signal);
}

static int reap(void)
{
	int status;

	while (waitpid(-1, &status, WNOHANG) == keeper.worker) {
		/* What it had sent before its end counts. */
		int rc = handle_death(status);

		if (rc >= 0)
			return rc;
	}
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
		if (p[0].revents & POLLIN) {
			receive_message();
			continue; /* all messages before any death */
		}
		if ((p[1].revents & POLLIN) && read(keeper.signals, &info, sizeof(info)) > 0) {
			handle_signal(info.ssi_signo);
			rc = reap();
		}
	}
	return rc;
}

/* ===== starting ===== */

/* An address that the kernel picks, in the abstract namespace. */
static int open_socket(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t length = sizeof(address);
	int on = 1, size = 1 << 20;

	keeper.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (keeper.socket < 0 ||
	    bind(keeper.socket, (struct sockaddr *)&address, sizeof(sa_family_t)) < 0 ||
	    getsockname(keeper.socket, (struct sockaddr *)&address, &length) < 0 ||
	    setsockopt(keeper.socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return -errno;
	setsockopt(keeper.socket, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	snprintf(keeper.address, sizeof(keeper.address), "@%s", address.sun_path + 1);
	return 0;
}

int keeper_run(const char *program, char **argv, const char *mountpoint, int ready_fd)
{
	int rc;

	process_raise_descriptors();
	keeper.program = program;
	keeper.argv = argv;
	keeper.mountpoint = mountpoint;
	keeper.ready_fd = ready_fd;
	keeper.executable = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	rc = keeper.executable < 0 ? -errno : open_socket();
	keeper.manager = notify_connect();
	if (rc == 0 && keeper.manager < 0 && keeper.manager != -ENOENT)
		rc = keeper.manager;
	if (rc == 0)
		rc = keeper.signals = process_signals();
	if (rc < 0) {
		log_complain("keeper: %s", strerror(-rc));
		return 1;
	}
	adopt_from_manager();
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		log_warn("keeper: mlockall: %s", strerror(errno));
	if (!start_worker(0))
		return 1;
	return loop();
}
