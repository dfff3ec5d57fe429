/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy file: sections are globs over the path in the pool, keys those of the xattrs.
 *
 *	[volatile.img]		a glob without '/' is matched against the last component
 *	cache = unsafe
 *
 *	[appvms/work-*]		one with '/' against the whole path; '*' matches any '/' too
 *	checksum = xxh3
 *
 * The first section that matches decides; those after it are not looked at.
 */
#pragma once

#include <limits.h>

#include "settings.h"

struct policy_file;

struct policy_error {
	unsigned line; /* 0: not about a line */
	char text[256];
};

/* In one line, with the PATH of the file. Returns BUF. */
#define POLICY_ERROR_MAX (PATH_MAX + 300)
const char *policy_error_line(const struct policy_error *err, const char *path,
			      char buf[POLICY_ERROR_MAX]);

/* A new policy, all or nothing: a broken file gives -EINVAL, ERR, and leaves *OUT alone. */
int policy_file_load(const char *path, struct policy_file **out, struct policy_error *err);
void policy_file_free(struct policy_file *policy);

/* What the policy says about PATH (relative to the pool's root); NULL if nothing. */
const struct settings *policy_file_match(const struct policy_file *policy, const char *path);

/* /etc/bouncefs/NAME.conf, NAME being what systemd-escape --path makes of the absolute PATH. */
int policy_file_default(const char *path, char buf[PATH_MAX]);
int unit_name_from_path(const char *path, char *buf, size_t size);
