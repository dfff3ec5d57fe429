/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a metadata request must look like before anybody believes it: libfuse trusts lengths. */
#pragma once

#include <stddef.h>

struct fuse_in_header;

/*
 * Whether a message of LENGTH bytes has all that its opcode promises: the arguments, terminated
 * strings, names that are one component of a path. 0; -EINVAL; -ENOSYS for what nobody here serves.
 */
int message_check(const struct fuse_in_header *header, size_t length);

/* The name of a request, for log lines. */
const char *message_opcode(unsigned opcode);
