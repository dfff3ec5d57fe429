// SPDX-License-Identifier: GPL-2.0-or-later
#include "takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keep.h"
#include "keeper.h"
#include "mount.h"
#include "policy/log.h"
#include "policy/util.h"

/* How long a wait for a predecessor's I/O may take until a line says so. */
#define PATIENCE_MS 2000

bool takeover_due(void)
{
	return keep_get("state") >= 0;
}

/* ===== witnesses ===== */

const char *image_witness_name(char *name, unsigned index, unsigned witness)
{
	snprintf(name, KEEPER_NAME_MAX, "image-%u-%u", index, witness);
	return name;
}

static int keep_witnesses(unsigned index, unsigned first, const int *witnesses, unsigned n)
{
	char names[IMAGE_WITNESSES][KEEPER_NAME_MAX];
	struct keep_item items[IMAGE_WITNESSES];

	for (unsigned i = 0; i < n; i++)
		items[i] = (struct keep_item){image_witness_name(names[i], index, first + i),
					      witnesses[i]};
	return keep_store_all(items, n);
}

static void forget_witness(unsigned index, unsigned witness)
{
	char name[KEEPER_NAME_MAX];

	keep_remove(image_witness_name(name, index, witness));
}

static void image_ended(void *context, struct image_record *record)
{
	const struct mount *mount = context;
	int32_t backing = atomic_exchange(&record->backing, 0);

	if (backing && ioctl(mount->device_fd, FUSE_DEV_IOC_BACKING_CLOSE, &backing) < 0)
		log_warn("passthrough: %s", strerror(errno));
}

void takeover_image_keeper(struct mount *mount, struct image_keeper *keeper)
{
	*keeper = (struct image_keeper){
		.context = mount,
		.keep = keep_witnesses,
		.forget = forget_witness,
		.ended = image_ended,
	};
}

/* ===== the fence ===== */

/* Until FD, a fence or a pidfd, tells. */
static int wait_for(int fd, int watchdog_ms)
{
	/* A pidfd becomes readable, a pipe without writers is hung up. */
	struct pollfd p = {.fd = fd, .events = POLLIN};
	bool said = false;

	while (!(p.revents & (POLLIN | POLLHUP))) {
		int n = poll(&p, 1, watchdog_ms > 0 ? watchdog_ms : PATIENCE_MS);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n != 0)
			continue;
		if (!said)
			log_warn("a predecessor's I/O is still under way: waiting for it");
		said = true;
		if (watchdog_ms > 0)
			keep_notify("WATCHDOG=1"); /* it is the disk that hangs */
	}
	return 0;
}

int takeover_wait(int watchdog_ms)
{
	const char *name;
	int rc = 0;

	for (unsigned i = 0; (name = keep_name(i)) && rc == 0; i++)
		if (keeper_is_fence(name))
			rc = wait_for(keep_get(name), watchdog_ms);
	return rc;
}

int takeover_fence(struct mount *mount, int *fd)
{
	uint64_t life = atomic_fetch_add(&mount->state.header->lives, 1) + 1;
	char fence[KEEPER_NAME_MAX], pid[KEEPER_NAME_MAX];
	_cleanup_close_ int pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	int pipe_fd[2], rc;

	if (pidfd < 0 || pipe2(pipe_fd, O_CLOEXEC) < 0)
		return -errno;
	snprintf(fence, sizeof(fence), "fence-%lu", (unsigned long)life);
	snprintf(pid, sizeof(pid), "pid-%lu", (unsigned long)life);
	rc = keep_store_all((struct keep_item[]){{fence, pipe_fd[0]}, {pid, pidfd}}, 2);
	close(pipe_fd[0]);
	if (rc < 0)
		close(pipe_fd[1]);
	else
		*fd = pipe_fd[1];
	return rc;
}

/* ===== what is not needed any more ===== */

static bool is_stale_witness(const struct mount *mount, const char *name)
{
	unsigned index, witness;

	return sscanf(name, "image-%u-%u", &index, &witness) == 2 &&
	       (index >= mount->images.size || !image_at(&mount->images, index));
}

void takeover_forget(struct mount *mount)
{
	const char *name;

	for (unsigned i = 0; (name = keep_name(i)); i++) {
		if (!keeper_is_fence(name) && !is_stale_witness(mount, name))
			continue;
		close(keep_get(name));
		keep_remove(name);
	}
}

/* ===== poison ===== */

static struct suspect *suspect_of(struct state_header *header, uint64_t unique)
{
	struct suspect *unused = NULL;

	for (unsigned i = 0; i < SUSPECTS_MAX; i++) {
		struct suspect *s = &header->suspects[i];

		if (s->unique == unique)
			return s;
		/* The oldest makes room: requests are numbered upwards. */
		if (!unused || s->unique < unused->unique)
			unused = s;
	}
	*unused = (struct suspect){.unique = unique};
	return unused;
}

/* Signals that a program brings upon itself: what was in execution then may be the reason. */
static bool is_crash(int death)
{
	switch (WIFSIGNALED(death) ? WTERMSIG(death) : 0) {
	case SIGSEGV:
	case SIGBUS:
	case SIGILL:
	case SIGFPE:
	case SIGABRT:
	case SIGSYS:
		return true;
	default:
		return false;
	}
}

static void describe(int death)
{
	if (WIFSIGNALED(death))
		log_warn("the last worker was killed by signal %d (%s)", WTERMSIG(death),
			 strsignal(WTERMSIG(death)));
	else if (WEXITSTATUS(death) && WEXITSTATUS(death) != KEEPER_EXIT_HANDOVER)
		log_warn("the last worker ended with status %d", WEXITSTATUS(death));
}

void takeover_note_death(struct mount *mount)
{
	describe(keep_death());
	/* Begun to be written, for an operation that was not begun. */
	for (unsigned i = 0; i < INTENTS_MAX; i++)
		if (atomic_load(&mount->state.intents[i].unique) == INTENT_RESERVED)
			atomic_store(&mount->state.intents[i].unique, 0);
	for (unsigned i = 0; i < EXECUTING_MAX; i++) {
		uint64_t unique = atomic_exchange(&mount->state.executing[i], 0);

		if (unique && is_crash(keep_death()))
			suspect_of(mount->state.header, unique)->crashes++;
	}
}

bool takeover_is_poison(const struct mount *mount, uint64_t unique)
{
	for (unsigned i = 0; i < SUSPECTS_MAX; i++) {
		const struct suspect *s = &mount->state.header->suspects[i];

		if (s->unique == (unique & ~FUSE_UNIQUE_RESEND))
			return s->crashes >= 2;
	}
	return false;
}

/* ===== resend ===== */

int takeover_resend(struct mount *mount)
{
	struct fuse_out_header message = {.len = sizeof(message), .error = FUSE_NOTIFY_RESEND};

	if (write(mount->device_fd, &message, sizeof(message)) < 0)
		return -errno;
	return 0;
}
