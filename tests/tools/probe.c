// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * probe - preloaded into bouncefs, tries out what its worker may do
 *
 *	PROBE=FILE LD_PRELOAD=libprobe.so bouncefs ...
 *
 * In the first worker thread that runs its ring, with everything in force, and writes to FILE, a
 *line each: the system calls that are not refused, then some whose arguments decide, then what the
 *ring may be asked for (operations, registrations, flags of operations), by number.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <liburing.h>
#include <sched.h>
#include <seccomp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CALLS 600
#define NOTHING (-1L)

static FILE *out;

__attribute__((constructor)) static void prepare(int argc, char **argv)
{
	const char *file = getenv("PROBE");

	if (argc < 2 || strcmp(argv[1], "--worker") || !file)
		return;
	out = fopen(file, "we");
	if (!out)
		err(1, "%s", file);
}

/* ===== system calls ===== */

/* In a child, which it may end, with arguments that no call can take. wait4 is refused: the pipe's
 * end tells that the child is gone. */
static bool refused(const long call[7])
{
	int p[2], error = 0;

	if (pipe2(p, O_CLOEXEC) < 0)
		return false;
	if (fork() == 0) {
		errno = 0;
		syscall(call[0], call[1], call[2], call[3], call[4], call[5], call[6]);
		error = errno;
		_exit(write(p[1], &error, sizeof(error)) < 0);
	}
	close(p[1]);
	if (read(p[0], &error, sizeof(error)) < 0)
		error = 0;
	close(p[0]);
	/* clone3's way of being refused, and an answer of futex */
	return error == EPERM || (error == ENOSYS && call[0] == SYS_clone3);
}

static void probe_calls(void)
{
	fprintf(out, "calls");
	/* Without a filter they would be done. */
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0) {
		fprintf(out, " all\n");
		return;
	}
	for (long n = 0; n < CALLS; n++) {
		const long call[] = {n, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING};
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, n);

		/* uretprobe and uprobe: seccomp lets them through, whatever the filter says */
		if (n != 335 && n != 336 && !refused(call))
			name ? fprintf(out, " %s", name) : fprintf(out, " %ld", n);
		free(name);
	}
	fprintf(out, "\n");
}

static void probe_arguments(void)
{
	static const struct {
		const char *what;
		long call[7];
	} tried[] = {
		{"socket-unix", {SYS_socket, AF_UNIX, SOCK_DGRAM, 0}},
		{"socket-inet", {SYS_socket, AF_INET, SOCK_STREAM, 0}},
		{"socket-netlink", {SYS_socket, AF_NETLINK, SOCK_RAW, 0}},
		{"socket-packet", {SYS_socket, AF_PACKET, SOCK_RAW, 0}},
		{"socket-vsock", {SYS_socket, AF_VSOCK, SOCK_STREAM, 0}},
		{"clone-user", {SYS_clone, CLONE_NEWUSER, 0, 0, 0, 0}},
		{"clone-mount", {SYS_clone, CLONE_NEWNS, 0, 0, 0, 0}},
		{"unshare-fs", {SYS_unshare, CLONE_FS}},
		{"unshare-user", {SYS_unshare, CLONE_NEWUSER}},
		{"unshare-mount", {SYS_unshare, CLONE_NEWNS}},
		{"ioctl-getflags", {SYS_ioctl, -1, FS_IOC_GETFLAGS, 0}},
		{"ioctl-freeze", {SYS_ioctl, -1, FIFREEZE, 0}},
		{"ioctl-trim", {SYS_ioctl, -1, FITRIM, 0}},
		{"ioctl-tty", {SYS_ioctl, 0, TIOCSTI, 0}},
		{"prctl-name", {SYS_prctl, PR_SET_NAME, (long)"probe"}},
		{"prctl-securebits", {SYS_prctl, PR_SET_SECUREBITS, 0}},
		{"prctl-seccomp", {SYS_prctl, PR_SET_SECCOMP, 0}},
		{"prctl-dumpable", {SYS_prctl, PR_SET_DUMPABLE, 1}},
	};

	fprintf(out, "arguments");
	for (size_t i = 0; i < sizeof(tried) / sizeof(*tried); i++)
		if (!refused(tried[i].call))
			fprintf(out, " %s", tried[i].what);
	fprintf(out, "\n");
}

/* ===== the ring ===== */

/* On no file: what is not refused fails with another error. */
static int ask(struct io_uring *ring, unsigned opcode, unsigned flags)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	int res;

	if (!sqe)
		return 0;
	*sqe = (struct io_uring_sqe){.opcode = opcode, .fd = -1, .flags = flags};
	io_uring_submit_and_wait(ring, 1);
	if (io_uring_peek_cqe(ring, &cqe) < 0)
		return 0;
	res = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return res;
}

static void print_allowed(const char *what, const int *result, int n)
{
	/* what this kernel does not know */
	while (n > 0 && result[n - 1] == -EINVAL)
		n--;
	fprintf(out, "%s", what);
	for (int i = 0; i < n; i++)
		if (result[i] != -EACCES)
			fprintf(out, " %d", i);
	fprintf(out, "\n");
}

static void probe_ring(struct io_uring *ring)
{
	int operation[256], registration[64], flag[8];

	for (int i = 0; i < 256; i++)
		operation[i] = ask(ring, i, 0);
	for (int i = 0; i < 64; i++)
		registration[i] =
			syscall(SYS_io_uring_register, ring->ring_fd, i, NULL, 0) < 0 ? -errno : 0;
	for (int i = 0; i < 8; i++)
		flag[i] = ask(ring, IORING_OP_READ, 1 << i);
	print_allowed("operations", operation, 256);
	print_allowed("registrations", registration, 64);
	print_allowed("flags", flag, 8);
}

/* Called once by each worker's thread, right after its ring was enabled. */
int io_uring_register_ring_fd(struct io_uring *ring)
{
	static atomic_bool begun;

	if (out && !atomic_exchange(&begun, true)) {
		probe_calls();
		probe_arguments();
		probe_ring(ring);
		fprintf(out, "end\n");
		fclose(out);
	}
	return 1;
}
