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

static struct {
	int socket; /* connected to the keeper */
	char **names;
	int *fds;
	unsigned n;
	int crash;
} keep = {.socket = -1};

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
	const char *crash = getenv(KEEPER_ENV_CRASH);
	int rc;

	keep.crash = crash ? atoi(crash) : 0;
	keep.socket = notify_connect();
	rc = keep.socket < 0 ? keep.socket : take_descriptors();
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
	return rc;
}

int keep_crash(void)
{
	return keep.crash;
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

/* The keeper and a manager above it need no more than their turn; a full queue makes us wait. */
static int send_message(const char *text, int fd)
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
	while (sendmsg(keep.socket, &message, MSG_NOSIGNAL) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* All that was sent before has been done when every copy of the pipe's end is closed. */
static int barrier(void)
{
	int pipe_fd[2];
	struct pollfd p;
	int rc;

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return -errno;
	rc = send_message("BARRIER=1", pipe_fd[1]);
	close(pipe_fd[1]);
	p = (struct pollfd){.fd = pipe_fd[0]};
	while (rc == 0 && poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			rc = -errno;
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
		rc = send_message(text, items[i].fd);
	}
	return rc < 0 ? rc : barrier();
}

int keep_store(const char *name, int fd)
{
	return keep_store_all(&(struct keep_item){name, fd}, 1);
}

void keep_remove(const char *name)
{
	char text[80];
	int rc;

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	rc = send_message(text, -1);
	if (rc < 0)
		log_err("keeper: %s", strerror(-rc));
}

void keep_notify(const char *state)
{
	int rc = send_message(state, -1);

	if (rc < 0)
		log_err("keeper: %s", strerror(-rc));
}
