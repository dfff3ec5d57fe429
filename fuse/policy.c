// SPDX-License-Identifier: GPL-2.0-or-later
#include "policy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "file.h"
#include "mount.h"
#include "policy/facts.h"
#include "policy/log.h"
#include "policy/resolve.h"
#include "policy/util.h"

/* ===== one file ===== */

/* By handle it may be open without a place; then its node may have one meanwhile. */
static int find_path(struct mount *mount, const struct node *node, int fd, char path[PATH_MAX])
{
	_cleanup_close_ int again = -1;
	int rc = pool_path(mount->root_fd, fd, path);

	if (rc != -ESTALE || !node)
		return rc;
	again = node_open(&mount->nodes, node, O_PATH);
	return again < 0 ? again : pool_path(mount->root_fd, again, path);
}

void policy_resolve(struct mount *mount, const struct node *node, int fd, bool *is_image,
		    struct settings *settings)
{
	char path[PATH_MAX] = "";
	struct pool_file file = {.fd = fd, .root_fd = mount->root_fd, .path = path};
	struct file_facts facts;
	struct resolve_input in = {
		.path = path,
		.source = pool_file_source(&file),
		.mount = &mount->options.settings,
		.facts = &facts,
	};

	*is_image |= resolve_is_marked(&in.source);
	if (!*is_image) {
		resolve_ordinary(in.mount, settings);
		return;
	}
	if (find_path(mount, node, fd, path) < 0) {
		log_warn("inode %lu: its path is not known or too long: neither directories nor "
			 "the policy file decide",
			 (unsigned long)node->ino);
		*path = '\0';
	}
	if (facts_gather(fd, &facts) < 0)
		facts = (struct file_facts){0};
	pthread_rwlock_rdlock(&mount->policy.lock);
	in.policy = mount->policy.file;
	resolve(&in, settings);
	pthread_rwlock_unlock(&mount->policy.lock);
}

const char *policy_name(struct mount *mount, uint64_t id, int fd, char path[PATH_MAX])
{
	return find_path(mount, node_get(&mount->nodes, id), fd, path) < 0
		       ? "(a file without a name)"
		       : path;
}

const char *policy_image_name(void *mount, const struct image *image, char path[PATH_MAX])
{
	return policy_name(mount, image->key, image->cached_fd, path);
}

void policy_announce(struct mount *mount, struct image *image, int level)
{
	struct settings settings = image_settings(&mount->images, image);
	char path[PATH_MAX], text[512];
	const char *name = policy_name(mount, image->key, image->cached_fd, path);

	settings_effective(&settings, text, sizeof(text));
	log_at(level, NULL, "%s: %s", name, text);
	if (settings.value[SETTING_CACHE] == CACHE_UNSAFE)
		log_warn("%s: cache=unsafe: flushes are ignored, a crash of this machine may "
			 "destroy the image",
			 name);
}

/* ===== changes ===== */

static int apply(struct mount *mount, struct image *image)
{
	struct node_opener opener = {mount, node_get(&mount->nodes, image->key)};
	struct image_request request;
	char path[PATH_MAX];
	int rc = 0;

	/* Without a node it is being closed. Without a place it keeps what it got when it had one.
	 */
	if (opener.node && find_path(mount, opener.node, image->cached_fd, path) != -ESTALE) {
		file_image_request(&opener, O_RDONLY, &request);
		rc = image_reconfigure(&mount->images, image, &request);
	}
	if (rc < 0)
		log_err("%s: its settings stay as they are: %s",
			policy_name(mount, image->key, image->cached_fd, path), strerror(-rc));
	else if (rc > 0)
		policy_announce(mount, image, LOG_LEVEL_INFO);
	image_close(&mount->images, image, false);
	return MIN(rc, 0);
}

int policy_apply(struct mount *mount, uint64_t id)
{
	struct image *image = image_find(&mount->images, id);

	if (!image)
		return 0;
	if (image_dirty(image) <= settings_default.value[SETTING_DIRTY_LIMIT])
		return apply(mount, image);
	/* While an xattr is being set the kernel lets nobody write to the file. */
	image_close(&mount->images, image, false);
	sem_post(&mount->policy.wanted);
	return 0;
}

void policy_apply_all(struct mount *mount)
{
	struct image *image;
	unsigned next = 0;

	while ((image = image_next(&mount->images, &next)))
		apply(mount, image);
}

/* ===== the file ===== */

int policy_load(struct mount *mount, char error[POLICY_ERROR_MAX])
{
	struct policy_file *file = NULL, *old;
	char standard[PATH_MAX] = "";
	const char *path = mount->options.policy;
	struct policy_error err;
	int rc;

	if (!path && policy_file_default(mount->options.source, standard) < 0)
		return 0;
	rc = policy_file_load(path ?: standard, &file, &err);
	if (rc == -ENOENT && !path)
		rc = 0;
	if (rc < 0) {
		policy_error_line(&err, path ?: standard, error);
		return rc;
	}
	pthread_rwlock_wrlock(&mount->policy.lock);
	old = mount->policy.file;
	mount->policy.file = file;
	pthread_rwlock_unlock(&mount->policy.lock);
	policy_file_free(old);
	return 0;
}

static void read_again(struct mount *mount)
{
	char error[POLICY_ERROR_MAX];

	if (policy_load(mount, error) < 0)
		log_err("%s; the old policy stays", error);
	else
		log_info("policy read again");
}

static void *policy_thread(void *arg)
{
	struct mount *mount = arg;

	pthread_setname_np(pthread_self(), "bouncefs/policy");
	for (;;) {
		while (sem_wait(&mount->policy.wanted) < 0)
			;
		if (mount->policy.stopping)
			return NULL;
		if (atomic_exchange(&mount->policy.read_again, false))
			read_again(mount);
		policy_apply_all(mount);
	}
}

int policy_start(struct mount *mount)
{
	sem_init(&mount->policy.wanted, 0, 0);
	return thread_start(&mount->policy.thread, policy_thread, mount);
}

void policy_stop(struct mount *mount)
{
	mount->policy.stopping = true;
	sem_post(&mount->policy.wanted);
	pthread_join(mount->policy.thread, NULL);
	policy_file_free(mount->policy.file);
}

void policy_reload(struct mount *mount)
{
	mount->policy.read_again = true;
	sem_post(&mount->policy.wanted);
}
