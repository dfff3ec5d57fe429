// SPDX-License-Identifier: GPL-2.0-or-later
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "keep.h"
#include "ops.h"
#include "policy/log.h"
#include "policy/util.h"
#include "status.h"

/* The name without our prefix; NULL if it is not ours. */
static const char *our_name(const char *name)
{
	size_t len = strlen(XATTR_PREFIX);

	return strncmp(name, XATTR_PREFIX, len) ? NULL : name + len;
}

static bool is(uint64_t ino, const char *name, const char *made_up)
{
	bool of_mount = !strcmp(made_up, "log-level") || !strcmp(made_up, "restart");

	return !strcmp(name, made_up) && (!of_mount || ino == FUSE_ROOT_ID);
}

/* "status", or "status.N" for the images from index N on. */
static bool is_status(uint64_t ino, const char *name, unsigned *first)
{
	char end;

	*first = 0;
	return ino == FUSE_ROOT_ID &&
	       (!strcmp(name, "status") || sscanf(name, "status.%u%c", first, &end) == 1);
}

static bool is_readonly(uint64_t ino, const char *name)
{
	unsigned first;

	return is(ino, name, "effective") || is(ino, name, "stats") || is_status(ino, name, &first);
}

/* ===== set ===== */

/* Who may write to the pool's directory may not therefore fill the disk with a log. */
static int set_log_level(uid_t uid, int root_fd, const char *value, size_t size)
{
	char text[16] = "";
	struct stat st;
	int level;

	if (uid && (fstat(root_fd, &st) < 0 || st.st_uid != uid))
		return -EPERM;
	if (size < sizeof(text))
		memcpy(text, value, size);
	level = log_level_parse(text);
	if (level < 0) {
		log_err("bad log level, good ones: error warning info debug trace");
		return level;
	}
	log_level_step(level - log_level);
	return 1;
}

/* The program on disk takes the mount over (keeper.h); what is said here is answered before. */
static int restart(const struct mount *mount, uid_t uid)
{
	int rc;

	if (uid)
		return -EPERM;
	rc = protocol_survives(&mount->protocol) ? keep_restart() : -EOPNOTSUPP;
	if (rc < 0)
		log_err("restart: %s; the old program goes on",
			rc == -EPROTO
				? "the program on disk does not take over this version's state"
				: strerror(-rc));
	return rc < 0 ? rc : 1;
}

int control_set(struct mount *mount, uid_t uid, uint64_t ino, int fd, const char *name,
		const char *value, size_t size)
{
	const char *key = our_name(name);
	struct settings_error err;
	struct settings scratch = {0};
	char path[PATH_MAX], text[NAME_MAX + 1];
	int rc;

	if (!key)
		return 0;
	if (is_readonly(ino, key))
		return -EROFS;
	if (is(ino, key, "log-level"))
		return set_log_level(uid, fd, value, size);
	if (is(ino, key, "restart"))
		return restart(mount, uid);
	if (settings_key(key) >= 0) {
		rc = settings_set(&scratch, settings_key(key), value, size, FROM_FILE, &err);
	} else {
		snprintf(text, sizeof(text), "%s", key);
		rc = settings_set_named(&scratch, text, "", FROM_FILE, &err);
	}
	if (rc == 0)
		return 0;
	log_err("%s: %s", policy_name(mount, ino, fd, path), err.text);
	return -EINVAL;
}

int control_remove(uint64_t ino, const char *name)
{
	const char *key = our_name(name);

	return key && (is_readonly(ino, key) || is(ino, key, "log-level")) ? -EROFS : 0;
}

int control_stored(struct mount *mount, uint64_t ino, const char *name)
{
	struct stat st;
	_cleanup_close_ int fd = -1;

	if (!our_name(name))
		return 0;
	fd = node_open_id(&mount->nodes, ino, O_PATH);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
		return policy_apply(mount, ino);
	policy_apply_all(mount);
	return 0;
}

/* ===== get ===== */

static int effective(struct mount *mount, uint64_t ino, char **value)
{
	struct image *image = image_find(&mount->images, ino);
	struct node *node = node_get(&mount->nodes, ino);
	_cleanup_close_ int fd = -1;
	struct settings settings;
	char text[512];
	bool is_image;

	if (image) {
		settings = image_settings(&mount->images, image);
		image_close(&mount->images, image, false);
	} else {
		fd = node ? node_open(&mount->nodes, node, O_RDONLY | O_NONBLOCK) : -ESTALE;
		if (fd < 0)
			return fd;
		is_image = atomic_load(&node->flags) & NODE_IMAGE;
		policy_resolve(mount, node, fd, &is_image, &settings);
		image_tell_checksum(sums_exist(mount->sums, fd), &settings);
	}
	settings_effective(&settings, text, sizeof(text));
	*value = strdup(text);
	return 1;
}

int control_get(struct mount *mount, uint64_t ino, int fd, const char *name, char **value)
{
	const char *key = our_name(name);
	unsigned first;
	struct stat st;
	int rc = 1;

	if (!key)
		return 0;
	if (is(ino, key, "log-level"))
		*value = strdup(log_level_name(log_level));
	else if (is_status(ino, key, &first))
		*value = status_of_mount(mount, first);
	else if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	else if (is(ino, key, "effective"))
		rc = effective(mount, ino, value);
	else if (is(ino, key, "stats"))
		*value = status_of_file(mount, ino);
	else
		return 0;
	return rc == 1 && !*value ? -ENOMEM : rc;
}
