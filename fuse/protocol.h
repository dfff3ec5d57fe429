/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The start of a FUSE connection: FUSE_INIT is read and answered by us, because libfuse knows fewer
 * features than the kernel. libfuse is then told the same message under a number that the kernel
 * does not know (it answers ENOENT to libfuse's reply, which libfuse ignores), and has a live
 * session.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi.h"

struct fuse_session;
struct fuse_lowlevel_ops;

struct protocol {
	struct fuse_init_in in; /* what the kernel said */
	struct fuse_init_out out;
};

/* Reads FUSE_INIT from DEVICE_FD and answers it. EXTRA are features (FUSE_*) asked for beyond the
 * usual ones. -errno; -EPROTO for a kernel that is too old. */
int protocol_negotiate(struct protocol *protocol, int device_fd, uint64_t extra);

/* A libfuse session that answers on DEVICE_FD, which it owns from now on. NULL on failure. */
struct fuse_session *protocol_session(const struct protocol *protocol, int device_fd,
				      const struct fuse_lowlevel_ops *ops, size_t ops_size,
				      void *userdata);

/* The features that we ask for and HAVE, or have not; names separated by blanks. */
#define PROTOCOL_NAMES_MAX 512
void protocol_features_named(const struct protocol *protocol, bool have,
			     char names[PROTOCOL_NAMES_MAX]);

/* The transport in force, as in the option of this name. */
const char *protocol_transport(const struct protocol *protocol);

/* One log line: kernel, protocol, transport, features in force and missing. */
void protocol_log(const struct protocol *protocol);

/* The features that both sides agreed on (FUSE_*). */
static inline uint64_t protocol_features(const struct protocol *protocol)
{
	return protocol->out.flags | (uint64_t)protocol->out.flags2 << 32;
}

/* Whether requests come through rings (transport-uring.h) and not by reading the device. */
static inline bool protocol_has_uring(const struct protocol *protocol)
{
	return protocol_features(protocol) & FUSE_OVER_IO_URING;
}

/* Whether a successor is sent what a process that died had not answered. The kernel does not do so
 * for what it handed over through a ring. */
static inline bool protocol_survives(const struct protocol *protocol)
{
	return protocol_features(protocol) & FUSE_HAS_RESEND && !protocol_has_uring(protocol);
}

/*
 * Answers request UNIQUE, which was read from DEVICE_FD, with ERROR (-errno) or with DATA. If that
 * cannot be written, an EIO is. -ENOENT: nobody waits for it any more (not logged); -errno.
 */
int protocol_reply(int device_fd, uint64_t unique, int error, const void *data, size_t length);

/* Whether request UNIQUE, read from DEVICE_FD by a predecessor, still waits for its answer. */
bool protocol_waits(int device_fd, uint64_t unique);

/* What the running kernel speaks, found by asking it (needs root). Protocol 7.minor; -errno. */
int protocol_kernel_minor(void);
