/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which settings hold for a file. For each key the first of these that has it: the file's own
 * xattr, the nearest directory's xattr, the policy file, the mount options, the default; and what
 * `auto` means for the file that it is.
 */
#pragma once

#include <sys/types.h>

#include "auto.h"
#include "file.h"
#include "settings.h"

/* How a file and the directories above it are asked. DEPTH 0 is the file, 1 the directory that
 * holds it, and so on up to the pool's root. */
struct resolve_source {
	/* Length of the value; -ENODATA if not set; -ENOENT above the root. */
	ssize_t (*get)(void *ctx, unsigned depth, const char *xattr, char *buf, size_t size);
	int (*owner)(void *ctx, unsigned depth, uid_t *uid);
	void *ctx;
};

struct resolve_input {
	const char *path; /* in the pool; for globs and log lines */
	struct resolve_source source;
	const struct policy_file *policy; /* may be NULL */
	const struct settings *mount;	  /* mount options; may be NULL */
	const struct file_facts *facts;
};

/*
 * A directory's xattr counts only if the directory belongs to root or to the owner of the image:
 * others must not choose how safe somebody's data is. A bad value that was set behind the mount is
 * logged and passed over.
 */
void resolve(const struct resolve_input *in, struct settings *out);

/* What holds for a file that is no image. */
void resolve_ordinary(const struct settings *mount, struct settings *out);

/* Whether the file itself carries a setting, which makes an image of it whatever its name. */
bool resolve_is_marked(const struct resolve_source *source);

/* The usual source: the open file FD and the directories along PATH below ROOT_FD, symlinks not
 * followed. What cannot be opened has no settings. */
struct pool_file {
	int fd;
	int root_fd;
	const char *path;
};

struct resolve_source pool_file_source(struct pool_file *pf);

/* Where in the pool FD lies (O_PATH will do). -ESTALE if nobody knows: what was opened by handle
 * has no place until somebody looks its name up. */
int pool_path(int root_fd, int fd, char path[PATH_MAX]);
