// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/xattr.h>

#include "ctl.h"
#include "settings.h"
#include "util.h"

#define NAME_SIZE 64

static const char *name_of(const char *key, char name[NAME_SIZE])
{
	snprintf(name, NAME_SIZE, XATTR_PREFIX "%s", key);
	return name;
}

char *ctl_getxattr(const char *path, const char *key)
{
	size_t size = XATTR_SIZE_MAX;
	char *buf = malloc(size + 1), *fit, name[NAME_SIZE];
	ssize_t n;

	if (!buf)
		return NULL;
	n = getxattr(path, name_of(key, name), buf, size);
	if (n < 0) {
		int saved = errno;

		free(buf);
		errno = saved;
		return NULL;
	}
	buf[n] = '\0';
	fit = realloc(buf, n + 1);
	return fit ? fit : buf;
}

int ctl_xattr_trouble(const char *path, const char *key)
{
	if (errno == ENODATA)
		return ctl_trouble("%s: %s is not set", path, key);
	if (errno == EOPNOTSUPP)
		return ctl_trouble("%s: %s: not supported here", path, key);
	return ctl_trouble("%s: %s: %s", path, key, strerror(errno));
}

int ctl_setxattr(const char *path, const char *key, const char *value)
{
	char name[NAME_SIZE];
	int rc = value ? setxattr(path, name_of(key, name), value, strlen(value), 0)
		       : removexattr(path, name_of(key, name));

	return rc < 0 ? ctl_xattr_trouble(path, key) : 0;
}

/* In "cache=none (auto: xfs) checksum=xxh3 (directory)". */
static bool find_effective(const char *effective, const char *key, char **value, char **from)
{
	size_t len = strlen(key);

	for (const char *p = effective; p; p = strstr(p, ") ")) {
		p += p == effective ? 0 : 2;
		if (!strncmp(p, key, len) && p[len] == '=')
			return sscanf(p + len + 1, "%m[^ ] (%m[^)]", value, from) == 2;
	}
	return false;
}

bool ctl_setting(const char *path, const char *key, char **value, char **from)
{
	_cleanup_free_ char *effective = ctl_getxattr(path, "effective");
	char buf[SETTINGS_VALUE_MAX];

	if (effective) {
		if (!find_effective(effective, key, value, from)) {
			*value = strdup(settings_print(&settings_default, settings_key(key), buf));
			*from = strdup("default");
		}
	} else {
		*value = ctl_getxattr(path, key);
		*from = strdup("file");
	}
	return *value && *from;
}
