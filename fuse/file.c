// SPDX-License-Identifier: GPL-2.0-or-later
#include "file.h"

#include <errno.h>
#include <fcntl.h>

#include "mount.h"
#include "policy.h"
#include "policy/log.h"

static int open_node(void *context, int flags)
{
	struct node_opener *opener = context;

	return node_open(&opener->mount->nodes, opener->node, flags);
}

static int resolve_node(void *context, int fd, bool *is_image, struct settings *settings)
{
	struct node_opener *opener = context;
	struct mount *mount = opener->mount;
	char path[PATH_MAX];
	int rc = policy_resolve(mount, opener->node, fd, is_image, settings);

	return rc < 0 ? rc : policy_check(policy_name(mount, fd, path), settings);
}

void file_image_request(struct node_opener *opener, int flags, struct image_request *request)
{
	*request = (struct image_request){
		.key = atomic_load(&opener->node->id),
		.is_image = atomic_load(&opener->node->flags) & NODE_IMAGE,
		.write = (flags & O_ACCMODE) != O_RDONLY,
		.open = open_node,
		.resolve = resolve_node,
		.context = opener,
	};
}

/* A record of its own for each open. */
static struct file *reserve(struct mount *mount)
{
	static const uint64_t reserved = UINT64_MAX;

	for (uint32_t i = 0; i < FILES_MAX; i++) {
		struct file *file = &mount->state.files[(mount->file_rover + i) % FILES_MAX];
		uint64_t unused = 0;

		if (!atomic_compare_exchange_strong(&file->id, &unused, reserved))
			continue;
		mount->file_rover = file - mount->state.files + 1;
		return file;
	}
	return NULL;
}

int file_open(struct mount *mount, struct node *node, int flags, uint64_t *id)
{
	struct node_opener opener = {mount, node};
	struct image_request request;
	struct image *image;
	struct file *file;
	int rc;

	file_image_request(&opener, flags, &request);
	rc = image_open(&mount->images, &request, &image);
	if (rc < 0)
		return rc;
	if (rc > 0 && image->fixed)
		policy_announce(mount, image, LOG_LEVEL_DEBUG);
	file = reserve(mount);
	if (!file) {
		image_close(&mount->images, image, request.write);
		return -ENFILE;
	}
	file->node = request.key;
	file->image = image->index;
	file->flags = request.write ? FILE_WRITER : 0;
	file->error_seen = atomic_load(&image->error_seq);
	*id = state_new_id(&mount->state, file - mount->state.files);
	atomic_store_explicit(&file->id, *id, memory_order_release);
	atomic_fetch_add(&mount->open_files, 1);
	return 0;
}

int file_close(struct mount *mount, uint64_t id)
{
	struct file *file = file_get(&mount->state, id);
	struct image *image;
	bool writer;

	if (!file)
		return 0;
	image = image_at(&mount->images, file->image);
	writer = file->flags & FILE_WRITER;
	atomic_store(&file->id, 0);
	atomic_fetch_sub(&mount->open_files, 1);
	return image_close(&mount->images, image, writer);
}

unsigned file_count(const struct mount *mount)
{
	return atomic_load(&mount->open_files);
}
