// SPDX-License-Identifier: GPL-2.0-or-later
#include "resolve.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "log.h"
#include "util.h"

#define XATTR_NAME_SIZE 64

static ssize_t get(const struct resolve_source *source, unsigned depth, enum setting key, char *buf,
		   size_t size)
{
	char xattr[XATTR_NAME_SIZE];

	snprintf(xattr, sizeof(xattr), XATTR_PREFIX "%s", settings_name(key));
	return source->get(source->ctx, depth, xattr, buf, size);
}

static bool may_decide(const struct resolve_source *source, unsigned depth)
{
	uid_t owner, image_owner;

	if (!depth)
		return true;
	return source->owner(source->ctx, depth, &owner) == 0 &&
	       (owner == 0 ||
		(source->owner(source->ctx, 0, &image_owner) == 0 && owner == image_owner));
}

/* The file's own value, else that of the nearest directory which has one. */
static void resolve_xattr(const struct resolve_input *in, enum setting key, struct settings *out)
{
	struct settings_error err;
	char value[256];

	for (unsigned depth = 0; out->from[key] == FROM_UNSET; depth++) {
		ssize_t n = get(&in->source, depth, key, value, sizeof(value));

		if (n == -ENOENT)
			return;
		if (n == -ERANGE)
			n = sizeof(value); /* too long for any good value: refused as such */
		if (n < 0 || !may_decide(&in->source, depth))
			continue;
		if (settings_set(out, key, value, n, depth ? FROM_DIRECTORY : FROM_FILE, &err) < 0)
			log_warn("%s: %s ignored: %s", in->path,
				 depth ? "xattr of a directory above it" : "xattr", err.text);
	}
}

void resolve(const struct resolve_input *in, struct settings *out)
{
	const struct settings *policy = policy_file_match(in->policy, in->path);

	*out = (struct settings){0};
	for (int key = 0; key < SETTINGS; key++)
		resolve_xattr(in, key, out);
	if (policy)
		settings_merge(out, policy);
	if (in->mount)
		settings_merge(out, in->mount);
	settings_merge(out, &settings_default);

	if (out->value[SETTING_CACHE] == CACHE_AUTO) {
		out->auto_pick = auto_pick(in->facts);
		out->value[SETTING_CACHE] = auto_mode(out->auto_pick);
		out->from[SETTING_CACHE] = FROM_AUTO;
	}
}

void resolve_ordinary(const struct settings *mount, struct settings *out)
{
	*out = settings_default;
	out->value[SETTING_CACHE] = CACHE_WRITEBACK;
	out->from[SETTING_CACHE] = FROM_NOT_IMAGE;
	if (mount->from[SETTING_DIRTY_LIMIT] == FROM_UNSET)
		return;
	out->value[SETTING_DIRTY_LIMIT] = mount->value[SETTING_DIRTY_LIMIT];
	out->from[SETTING_DIRTY_LIMIT] = FROM_MOUNT;
}

bool resolve_is_marked(const struct resolve_source *source)
{
	for (int key = 0; key < SETTINGS; key++) {
		ssize_t n = get(source, 0, key, NULL, 0);

		if (n >= 0 || n == -ERANGE)
			return true;
	}
	return false;
}

/* ===== a file in a pool ===== */

/* Opens the directory DEPTH levels up; -ENOENT above the root. */
static int open_directory(const struct pool_file *pf, unsigned depth)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	size_t len = strlen(pf->path);
	char path[PATH_MAX] = ".";
	int fd;

	for (; depth; depth--) {
		if (!len)
			return -ENOENT;
		while (len && pf->path[--len] != '/')
			;
	}
	if (len >= sizeof(path))
		return -ENAMETOOLONG;
	memcpy(path, pf->path, len); /* nothing: the root, "." */
	fd = syscall(SYS_openat2, pf->root_fd, path, &how, sizeof(how));
	if (fd < 0) /* not there any more is not the same as above the root */
		return errno == ENOENT ? -ESTALE : -errno;
	return fd;
}

static ssize_t pool_file_get(void *ctx, unsigned depth, const char *xattr, char *buf, size_t size)
{
	struct pool_file *pf = ctx;
	_cleanup_close_ int dir = depth ? open_directory(pf, depth) : -1;
	ssize_t n;

	if (depth && dir < 0)
		return dir;
	n = fgetxattr(depth ? dir : pf->fd, xattr, buf, size);
	return n < 0 ? -errno : n;
}

static int pool_file_owner(void *ctx, unsigned depth, uid_t *uid)
{
	struct pool_file *pf = ctx;
	_cleanup_close_ int dir = depth ? open_directory(pf, depth) : -1;
	struct stat st;

	if (depth && dir < 0)
		return dir;
	if (fstat(depth ? dir : pf->fd, &st) < 0)
		return -errno;
	*uid = st.st_uid;
	return 0;
}

struct resolve_source pool_file_source(struct pool_file *pf)
{
	return (struct resolve_source){pool_file_get, pool_file_owner, pf};
}

static int path_of_fd(int fd, char path[PATH_MAX])
{
	char proc[PROC_PATH_MAX];
	ssize_t n = readlink(proc_path(proc, fd), path, PATH_MAX - 1);

	if (n < 0)
		return -errno;
	path[n] = '\0';
	return n;
}

/* The kernel says it of what has no name any more. */
static void strip_deleted(int fd, char *path)
{
	static const char mark[] = " (deleted)";
	size_t len = strlen(path), n = sizeof(mark) - 1;
	struct stat st;

	if (len > n && !strcmp(path + len - n, mark) && fstat(fd, &st) == 0 && !st.st_nlink)
		path[len - n] = '\0';
}

int pool_path(int root_fd, int fd, char path[PATH_MAX])
{
	char root[PATH_MAX];
	int n = path_of_fd(root_fd, root), rc = path_of_fd(fd, path);

	if (n < 0 || rc < 0)
		return MIN(n, rc);
	strip_deleted(fd, path);
	if (n == 1) /* the root is "/" */
		n = 0;
	if (strlen(path) <= (size_t)n + 1 || memcmp(path, root, n) || path[n] != '/')
		return -ESTALE;
	memmove(path, path + n + 1, strlen(path + n + 1) + 1);
	return 0;
}
