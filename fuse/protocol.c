// SPDX-License-Identifier: GPL-2.0-or-later
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cache/pool.h"
#include "policy/log.h"
#include "policy/util.h"

/* The protocol that our structures are written to; newer features are flags of their own. */
#define PROTOCOL_MINOR 38

/* Linux 6.1, Debian 12's kernel. */
#define MINOR_MIN 37

/* The number under which libfuse is told about FUSE_INIT. The kernel counts from 2 in steps of 2
 * and sets bit 63 in what it sends again, so it never has a request of this number. */
#define BOGUS_UNIQUE 0x7fffffffffffff01ull

/* What we ask for where the kernel offers it. Not among them, on purpose: WRITEBACK_CACHE and the
 * SPLICE_* family (they hand over page-cache pages by reference); POSIX_LOCKS and
 * FLOCK_LOCKS (locks stay in the kernel and outlive us); ATOMIC_O_TRUNC (a truncation is then a
 * SETATTR, which can be done twice). */
static const struct {
	uint64_t flag;
	const char *name;
} wanted[] = {
	{FUSE_ASYNC_READ, "async-read"},
	{FUSE_BIG_WRITES, "big-writes"},
	{FUSE_ASYNC_DIO, "async-dio"},
	{FUSE_MAX_PAGES, "max-pages"},
	{FUSE_DONT_MASK, "dont-mask"},
	{FUSE_AUTO_INVAL_DATA, "auto-inval-data"},
	{FUSE_HAS_IOCTL_DIR, "ioctl-dir"},
	{FUSE_DO_READDIRPLUS, "readdirplus"},
	{FUSE_READDIRPLUS_AUTO, "readdirplus-auto"},
	{FUSE_PARALLEL_DIROPS, "parallel-dirops"},
	{FUSE_HANDLE_KILLPRIV_V2, "killpriv-v2"},
	{FUSE_POSIX_ACL, "posix-acl"},
	{FUSE_SETXATTR_EXT, "setxattr-ext"},
	{FUSE_CACHE_SYMLINKS, "cache-symlinks"},
	{FUSE_INIT_EXT, "init-ext"},
	{FUSE_DIRECT_IO_ALLOW_MMAP, "direct-io-mmap"},
	{FUSE_HAS_RESEND, "resend"},
};

struct init_message {
	struct fuse_in_header header;
	struct fuse_init_in in;
};

static uint64_t offered(const struct protocol *protocol)
{
	uint64_t flags = protocol->in.flags;

	if (flags & FUSE_INIT_EXT)
		flags |= (uint64_t)protocol->in.flags2 << 32;
	return flags;
}

static void decide(struct protocol *protocol, uint64_t features)
{
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		features |= wanted[i].flag;
	features &= offered(protocol);
	protocol->out = (struct fuse_init_out){
		.major = FUSE_KERNEL_VERSION,
		.minor = MIN(protocol->in.minor, PROTOCOL_MINOR),
		.max_readahead = protocol->in.max_readahead,
		.flags = features,
		.flags2 = features >> 32,
		/* The kernel's defaults (12 and 9) would bound the queue depth of all images. */
		.max_background = 512,
		.congestion_threshold = 384,
		.max_write = PAYLOAD_MAX,
		.max_pages = PAYLOAD_MAX / SLOT_PAGE,
		.time_gran = 1,
	};
	/* Nothing that is stacked itself may lie below. */
	if (features & FUSE_PASSTHROUGH)
		init_out_set_stack_depth(&protocol->out, 1);
}

static int read_init(struct protocol *protocol, int device_fd, uint64_t *unique)
{
	char buf[FUSE_MIN_READ_BUFFER];
	struct init_message *message = (struct init_message *)buf;
	ssize_t n;

	do {
		n = read(device_fd, buf, sizeof(buf));
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	if (n < 0)
		return -errno;
	/* Kernels before 7.36 send a shorter fuse_init_in: its end then reads as 0. */
	if (n < (ssize_t)(sizeof(message->header) + 8) || message->header.opcode != FUSE_INIT)
		return -EPROTO;
	memset(&protocol->in, 0, sizeof(protocol->in));
	memcpy(&protocol->in, &message->in, MIN(sizeof(protocol->in), n - sizeof(message->header)));
	*unique = message->header.unique;
	return 0;
}

int protocol_negotiate(struct protocol *protocol, int device_fd, uint64_t extra)
{
	struct fuse_out_header header = {.len = sizeof(header) + sizeof(protocol->out)};
	struct iovec reply[] = {
		{&header, sizeof(header)},
		{&protocol->out, sizeof(protocol->out)},
	};
	int rc = read_init(protocol, device_fd, &header.unique);

	if (rc < 0)
		return rc;
	if (protocol->in.major != FUSE_KERNEL_VERSION || protocol->in.minor < MINOR_MIN)
		return -EPROTO;
	decide(protocol, extra);
	return writev(device_fd, reply, ARRAY_SIZE(reply)) < 0 ? -errno : 0;
}

struct fuse_session *protocol_session(const struct protocol *protocol, int device_fd,
				      const struct fuse_lowlevel_ops *ops, size_t ops_size,
				      void *userdata)
{
	char *argv[] = {"bouncefs", NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct init_message message = {
		.header =
			{
				.len = sizeof(message),
				.opcode = FUSE_INIT,
				.unique = BOGUS_UNIQUE,
			},
		.in = protocol->in,
	};
	struct fuse_buf buf = {.mem = &message, .size = sizeof(message)};
	struct fuse_session *session;
	char mountpoint[32];

	session = fuse_session_new(&args, ops, ops_size, userdata);
	fuse_opt_free_args(&args);
	if (!session)
		return NULL;
	snprintf(mountpoint, sizeof(mountpoint), "/dev/fd/%d", device_fd);
	if (fuse_session_mount(session, mountpoint) < 0) {
		fuse_session_destroy(session);
		return NULL;
	}
	fuse_session_process_buf(session, &buf);
	return session;
}

void protocol_features_named(const struct protocol *protocol, bool have,
			     char names[PROTOCOL_NAMES_MAX])
{
	size_t n = 0;

	*names = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (!(protocol_features(protocol) & wanted[i].flag) == !have)
			n += snprintf(names + n, PROTOCOL_NAMES_MAX - n, "%s%s", n ? " " : "",
				      wanted[i].name);
}

const char *protocol_transport(const struct protocol *protocol)
{
	return protocol_has_uring(protocol) ? "io_uring" : "dev";
}

void protocol_log(const struct protocol *protocol)
{
	char in_force[PROTOCOL_NAMES_MAX], missing[PROTOCOL_NAMES_MAX];
	struct utsname uts;

	protocol_features_named(protocol, true, in_force);
	protocol_features_named(protocol, false, missing);
	uname(&uts);
	log_info("Linux %s, FUSE 7.%u, transport %s, features %s; missing %s", uts.release,
		 protocol->in.minor, protocol_transport(protocol), in_force,
		 *missing ? missing : "none");
}

int protocol_reply(int device_fd, uint64_t unique, int error, const void *data, size_t length)
{
	struct fuse_out_header header = {
		.len = sizeof(header) + length,
		.error = error,
		.unique = unique,
	};
	struct iovec iov[] = {{&header, sizeof(header)}, {(void *)data, length}};
	int rc;

	if (writev(device_fd, iov, length ? 2 : 1) >= 0)
		return 0;
	rc = -errno;
	if (rc == -ENOENT || rc == -ENODEV)
		return rc;
	log_err("reply: %s", strerror(-rc));
	if (length)
		protocol_reply(device_fd, unique, -EIO, NULL, 0);
	return rc;
}

bool protocol_waits(int device_fd, uint64_t unique)
{
	/* The answer to an interrupt of it, saying that there is nothing to say. */
	struct fuse_out_header header = {.len = sizeof(header), .unique = unique | 1};

	return write(device_fd, &header, sizeof(header)) == sizeof(header);
}

static int fs_option(int fs, const char *key, const char *value)
{
	/* FSCONFIG_SET_STRING */
	return syscall(SYS_fsconfig, fs, 1, key, value, 0);
}

int protocol_kernel_minor(void)
{
	_cleanup_close_ int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	_cleanup_close_ int fs = syscall(SYS_fsopen, "fuse", 1 /* FSOPEN_CLOEXEC */);
	struct protocol protocol;
	uint64_t unique;
	char number[16];
	int rc;

	if (device < 0 || fs < 0)
		return -errno;
	/* A superblock that is mounted nowhere: its INIT tells, and closing everything ends it. */
	snprintf(number, sizeof(number), "%d", device);
	if (fs_option(fs, "fd", number) < 0 || fs_option(fs, "rootmode", "40000") < 0 ||
	    fs_option(fs, "user_id", "0") < 0 || fs_option(fs, "group_id", "0") < 0 ||
	    syscall(SYS_fsconfig, fs, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0) < 0)
		return -errno;
	rc = read_init(&protocol, device, &unique);
	return rc < 0 ? rc : (int)protocol.in.minor;
}
