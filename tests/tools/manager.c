// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * manager - stands in for systemd: keeps a service's file descriptors and starts it again
 *
 *	manager COMMAND...
 *
 * Speaks to its child what sd_notify(3) and sd_pid_notify_with_fds(3) describe: READY, STOPPING,
 * WATCHDOG, FDSTORE, FDSTOREREMOVE, FDNAME, FDPOLL, BARRIER; it hands what it keeps to the next
 * child as LISTEN_FDS. A child that is killed or fails is started again, one that exits with 0 is
 * not (Restart=on-failure). SIGHUP is `systemctl restart`, SIGTERM `systemctl stop`: both send
 * SIGTERM; only a stop empties the store. Only the child and its descendants may notify
 * (NotifyAccess=all).
 *
 * Prints what happens, a line each: `started PID`, `ready`, `watchdog`, `kept N NAME`, `removed
 *NAME`, `ended STATUS` (128 + signal).
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define STORE_MAX 4096
#define LISTEN_FDS_START 3
#define WATCHDOG_USEC "1000000"

static struct {
	char name[256];
	int fd;
	bool poll; /* drop it when it polls as broken */
} store[STORE_MAX];
static int stored;
static pid_t child;
static bool stopping, restarting;
static int notify, signals;
static char address[128];

/* ===== the store ===== */

static void drop(int i)
{
	printf("removed %s\n", store[i].name);
	close(store[i].fd);
	store[i] = store[--stored];
}

static void drop_name(const char *name)
{
	for (int i = stored; i-- > 0;)
		if (!strcmp(store[i].name, name))
			drop(i);
}

static void drop_broken(void)
{
	for (int i = stored; i-- > 0;) {
		struct pollfd p = {.fd = store[i].fd};

		if (store[i].poll && poll(&p, 1, 0) > 0 && p.revents & (POLLERR | POLLHUP))
			drop(i);
	}
}

static void keep(const char *name, int fd, bool watched)
{
	if (stored == STORE_MAX) {
		close(fd);
		return;
	}
	snprintf(store[stored].name, sizeof(store[stored].name), "%s", name);
	store[stored].fd = fd;
	store[stored].poll = watched;
	stored++;
	printf("kept %d %s\n", stored, name);
}

/* ===== messages ===== */

/* The value of KEY in lines of KEY=VALUE; NULL if it is not there. */
static const char *value_of(const char *text, const char *key, char value[256])
{
	size_t n = strlen(key);

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (!strncmp(line, key, n) && line[n] == '=') {
			snprintf(value, 256, "%.*s", (int)strcspn(line + n + 1, "\n"),
				 line + n + 1);
			return value;
		}
	return NULL;
}

static bool says(const char *text, const char *key)
{
	char value[256];

	return value_of(text, key, value) && !strcmp(value, "1");
}

static void handle(const char *text, int *fds, int n)
{
	char name[256] = "stored", value[256];
	bool watched = !value_of(text, "FDPOLL", value) || strcmp(value, "0");

	value_of(text, "FDNAME", name);
	if (says(text, "READY"))
		printf("ready\n");
	if (says(text, "WATCHDOG"))
		printf("watchdog\n");
	if (says(text, "FDSTOREREMOVE"))
		drop_name(name);
	for (int i = 0; i < n; i++) {
		if (says(text, "FDSTORE"))
			keep(name, fds[i], watched);
		else
			close(fds[i]); /* BARRIER */
	}
}

static bool is_descendant(pid_t pid)
{
	char path[64], line[512];
	FILE *f;

	while (pid > 1 && pid != child) {
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		f = fopen(path, "r");
		if (!f || !fgets(line, sizeof(line), f))
			return false;
		fclose(f);
		pid = atoi(strrchr(line, ')') + 4);
	}
	return pid == child;
}

static void receive(void)
{
	char text[4096];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(16 * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = {text, sizeof(text) - 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(notify, &m, MSG_CMSG_CLOEXEC);
	int fds[16], nfds = 0;
	pid_t sender = 0;

	if (n < 0)
		return;
	text[n] = '\0';
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_type == SCM_RIGHTS) {
			nfds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(fds, CMSG_DATA(c), nfds * sizeof(int));
		} else if (c->cmsg_type == SCM_CREDENTIALS) {
			sender = ((struct ucred *)CMSG_DATA(c))->pid;
		}
	}
	if (is_descendant(sender)) {
		handle(text, fds, nfds);
		return;
	}
	printf("refused a message of process %d\n", sender);
	while (nfds)
		close(fds[--nfds]);
}

/* ===== the service ===== */

static void become_service(char **argv)
{
	char names[65536] = "", number[16];
	int base = LISTEN_FDS_START + stored;
	sigset_t none;

	for (int i = 0; i < stored; i++) {
		strcat(strcat(names, i ? ":" : ""), store[i].name);
		store[i].fd = fcntl(store[i].fd, F_DUPFD_CLOEXEC, base);
	}
	for (int i = 0; i < stored; i++)
		dup2(store[i].fd, LISTEN_FDS_START + i);
	if (stored) {
		snprintf(number, sizeof(number), "%d", stored);
		setenv("LISTEN_FDS", number, 1);
		setenv("LISTEN_FDNAMES", names, 1);
		snprintf(number, sizeof(number), "%d", getpid());
		setenv("LISTEN_PID", number, 1);
	}
	setenv("NOTIFY_SOCKET", address, 1);
	setenv("WATCHDOG_USEC", WATCHDOG_USEC, 1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(argv[0], argv);
	err(127, "%s", argv[0]);
}

static void start(char **argv)
{
	drop_broken();
	child = fork();
	if (child == 0)
		become_service(argv);
	printf("started %d\n", child);
}

/* False when the service is at its end. */
static bool reap(char **argv)
{
	int status;
	bool failed;

	if (waitpid(child, &status, WNOHANG) != child)
		return true;
	printf("ended %d\n", WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
	failed = WIFSIGNALED(status) || WEXITSTATUS(status);
	if (stopping || (!failed && !restarting))
		return false;
	restarting = false;
	start(argv);
	return true;
}

static void take_signal(void)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGCHLD)
		return;
	restarting = info.ssi_signo == SIGHUP;
	stopping = !restarting;
	kill(child, SIGTERM);
}

static void open_all(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	socklen_t length = sizeof(a);
	int on = 1;
	sigset_t set;

	notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (notify < 0 || bind(notify, (struct sockaddr *)&a, sizeof(sa_family_t)) ||
	    getsockname(notify, (struct sockaddr *)&a, &length) ||
	    setsockopt(notify, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)))
		err(1, "socket");
	snprintf(address, sizeof(address), "@%.*s",
		 (int)(length - offsetof(struct sockaddr_un, sun_path) - 1), a.sun_path + 1);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
}

int main(int argc, char **argv)
{
	struct pollfd p[2];
	bool running = true;

	if (argc < 2) {
		fprintf(stderr, "usage: manager COMMAND...\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	open_all();
	start(argv + 1);
	p[0] = (struct pollfd){.fd = notify, .events = POLLIN};
	p[1] = (struct pollfd){.fd = signals, .events = POLLIN};
	while (running) {
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents) {
			receive();
		} else if (p[1].revents) {
			take_signal();
			running = reap(argv + 1);
		}
	}
	printf("left %d descriptors\n", stored);
	return 0;
}
