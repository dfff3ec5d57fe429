// SPDX-License-Identifier: GPL-2.0-or-later
#include "keep.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keeper.h"
#include "notify.h"
#include "policy/log.h"
#include "policy/util.h"

/* How long a new program may take to say whether it takes over. */
#define RESTART_PATIENCE_MS 10000

static struct {
	int keeper;  /* a socket */
	int manager; /* the same; -1: there is none */
	char **names;
	int *fds;
	unsigned n;
	int death;
} keep;

static int take_descriptors(void)
{
	char *names;
	int n = notify_passed(&names);

	if (!n)
		return 0;
	keep.names = calloc(n, sizeof(*keep.names));
	keep.fds = calloc(n, sizeof(*keep.fds));
	names = strdup(names); /* the environment's goes */
	if (!keep.names || !keep.fds || !names)
		return -ENOMEM;
	for (; keep.n < (unsigned)n; keep.n++) {
		keep.names[keep.n] = strsep(&names, ":") ?: "";
		keep.fds[keep.n] = NOTIFY_FDS_START + keep.n;
	}
	return 0;
}

int keep_init(void)
{
	const char *death = getenv(KEEPER_ENV_DEATH);
	int rc = take_descriptors();

	if (rc < 0)
		return rc;
	keep.death = death ? atoi(death) : 0;
	keep.keeper = keep_get(KEEPER_SOCKET);
	keep.manager = notify_connect();
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
	if (keep.keeper < 0)
		return -ENOTCONN;
	return keep.manager < 0 && keep.manager != -ENOENT ? keep.manager : 0;
}

bool keep_is_managed(void)
{
	return keep.manager >= 0;
}

int keep_death(void)
{
	return keep.death;
}

const char *keep_name(unsigned index)
{
	return index < keep.n ? keep.names[index] : NULL;
}

int keep_get(const char *name)
{
	for (unsigned i = 0; i < keep.n; i++)
		if (!strcmp(keep.names[i], name))
			return keep.fds[i];
	return -1;
}

/* A queue that is full makes us wait. */
static int send_to(int socket, const char *text, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)text, strlen(text)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

static int send_to_both(const char *text, int fd)
{
	int rc = send_to(keep.keeper, text, fd);

	return rc < 0 || keep.manager < 0 ? rc : send_to(keep.manager, text, fd);
}

/* Sends TEXT with the end of a pipe, and waits until the receivers have closed it: they have then
 * done all that was sent before. SEND: to whom. -ETIMEDOUT after so many ms (-1: never); else what
 * they wrote into it (an errno) is the error. */
static int ask(int (*send)(const char *text, int fd), const char *text, int timeout_ms)
{
	struct pollfd p;
	int pipe_fd[2], rc, n;
	char error = 0;

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return -errno;
	rc = send(text, pipe_fd[1]);
	close(pipe_fd[1]);
	p = (struct pollfd){.fd = pipe_fd[0], .events = POLLIN};
	while (rc == 0 && (n = poll(&p, 1, timeout_ms)) <= 0)
		rc = n == 0 ? -ETIMEDOUT : errno == EINTR ? 0 : -errno;
	if (rc == 0 && p.revents & POLLIN && read(pipe_fd[0], &error, 1) == 1)
		rc = -error;
	close(pipe_fd[0]);
	return rc;
}

int keep_store_all(const struct keep_item *items, unsigned n)
{
	char text[80];
	int rc = 0;

	for (unsigned i = 0; i < n && rc == 0; i++) {
		/* FDPOLL=0: a /dev/fuse descriptor polls as broken before the mount. */
		snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", items[i].name);
		rc = send_to_both(text, items[i].fd);
	}
	return rc < 0 ? rc : ask(send_to_both, "BARRIER=1", -1);
}

int keep_store(const char *name, int fd)
{
	return keep_store_all(&(struct keep_item){name, fd}, 1);
}

void keep_notify(const char *state)
{
	int rc = send_to_both(state, -1);

	if (rc < 0)
		log_err("keeper: %s", strerror(-rc));
}

void keep_remove(const char *name)
{
	char text[80];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	keep_notify(text);
}

static int send_to_keeper(const char *text, int fd)
{
	return send_to(keep.keeper, text, fd);
}

int keep_restart(void)
{
	return ask(send_to_keeper, "X_BOUNCEFS_RESTART=1", RESTART_PATIENCE_MS);
}
