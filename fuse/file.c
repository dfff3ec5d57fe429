// SPDX-License-Identifier: GPL-2.0-or-later
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "keep.h"
#include "keeper.h"
#include "mount.h"
#include "policy.h"
#include "policy/log.h"
#include "policy/util.h"
#include "takeover.h"

/* Taken, but not open yet. */
#define FILE_RESERVED UINT64_MAX

static int open_node(void *context, int flags)
{
	struct node_opener *opener = context;

	return node_open(&opener->mount->nodes, opener->node, flags);
}

static int resolve_node(void *context, int fd, bool *is_image, struct settings *settings)
{
	struct node_opener *opener = context;

	policy_resolve(opener->mount, opener->node, fd, is_image, settings);
	return 0;
}

void file_image_request(struct node_opener *opener, int flags, struct image_request *request)
{
	*request = (struct image_request){
		.key = atomic_load(&opener->node->id),
		.is_image = atomic_load(&opener->node->flags) & NODE_IMAGE,
		.append = flags & O_APPEND,
		.write = (flags & O_ACCMODE) != O_RDONLY,
		.open = open_node,
		.resolve = resolve_node,
		.context = opener,
	};
}

/* A record of its own for each open. */
static struct file *reserve(struct mount *mount)
{
	for (uint32_t i = 0; i < FILES_MAX; i++) {
		struct file *file = &mount->state.files[(mount->file_rover + i) % FILES_MAX];
		uint64_t unused = 0;

		if (!atomic_compare_exchange_strong(&file->id, &unused, FILE_RESERVED))
			continue;
		mount->file_rover = file - mount->state.files + 1;
		return file;
	}
	return NULL;
}

int file_open(struct mount *mount, struct node *node, int flags, uint64_t unique, uint64_t *id)
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
	if (rc > 0 && image->is_image)
		policy_announce(mount, image, LOG_LEVEL_DEBUG);
	file = reserve(mount);
	if (!file) {
		image_close(&mount->images, image, request.write);
		return -ENFILE;
	}
	file->unique = unique;
	file->node = request.key;
	file->image = image->index;
	file->flags = request.write ? FILE_WRITER : 0;
	file->error_seen = atomic_load(&image->record->error_seq);
	if (atomic_fetch_and(&node->flags, ~NODE_ERROR) & NODE_ERROR)
		image_remember_error(image, -EIO);
	*id = state_new_id(&mount->state, file - mount->state.files);
	atomic_store_explicit(&file->id, *id, memory_order_release);
	atomic_fetch_add(&mount->open_files, 1);
	return 0;
}

void file_told(struct mount *mount, uint64_t id)
{
	struct file *file = file_get(&mount->state, id);

	if (file) /* it may be closed already */
		atomic_store(&file->unique, 0);
}

void file_close(struct mount *mount, uint64_t id)
{
	struct file *file = file_get(&mount->state, id);
	struct image *image;
	struct node *node;
	bool writer;
	int rc;

	if (!file)
		return;
	image = image_at(&mount->images, file->image);
	node = node_get(&mount->nodes, file->node);
	writer = file->flags & FILE_WRITER;
	atomic_store(&file->id, 0);
	atomic_fetch_sub(&mount->open_files, 1);
	rc = image_close(&mount->images, image, writer);
	if (rc == 0)
		return;
	log_err("inode %lu: closed with an error that nobody was told: %s",
		node ? (unsigned long)node->ino : 0, strerror(-rc));
	if (node)
		atomic_fetch_or(&node->flags, NODE_ERROR);
}

/* ===== after a take-over ===== */

/* Only what is the very inode: writing to another file because names and descriptors got mixed up
 * would be worse than anything. */
static bool is_inode(const struct mount *mount, const struct node *node, int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_ino == node->ino &&
	       node_device(&mount->nodes, st.st_dev) == (int)node->device;
}

static void kept_witnesses(const struct mount *mount, const struct node *node, unsigned index,
			   int witness[IMAGE_WITNESSES])
{
	char name[KEEPER_NAME_MAX];

	for (unsigned i = 0; i < IMAGE_WITNESSES; i++) {
		witness[i] = keep_get(image_witness_name(name, index, i));
		if (witness[i] < 0 || is_inode(mount, node, witness[i]))
			continue;
		log_err("%s is another file than it should be", name);
		witness[i] = -1;
	}
}

/* What the open files of one image need. */
struct users {
	unsigned opens, writers;
	uint32_t error_told;
};

static int adopt_image(struct mount *mount, unsigned index, const struct users *users)
{
	uint64_t id = atomic_load(&mount->state.images[index].key);
	struct node_opener opener = {mount, node_get(&mount->nodes, id)};
	struct image_request request;
	int witness[IMAGE_WITNESSES];

	if (!opener.node)
		return -ESTALE;
	if (!settings_plausible(&mount->state.images[index].settings))
		return -EPROTO;
	file_image_request(&opener, O_RDONLY, &request);
	request.is_image = mount->state.images[index].is_image;
	kept_witnesses(mount, opener.node, index, witness);
	return image_adopt(&mount->images, index, &request, users->opens, users->writers,
			   users->error_told, witness);
}

/* A file that cannot be opened any more is closed: its requests get EBADF, the others go on. */
static void lose_files(struct mount *mount, unsigned index, int error)
{
	log_err("open file %u cannot be taken over: %s", index, strerror(-error));
	for (uint32_t i = 0; i < FILES_MAX; i++) {
		struct file *file = &mount->state.files[i];

		if (!atomic_load(&file->id) || file->image != index)
			continue;
		atomic_store(&file->id, 0);
		atomic_fetch_sub(&mount->open_files, 1);
	}
	atomic_store(&mount->state.images[index].key, 0);
}

/* Whether FILE's opener does not know it; asked of the kernel if the predecessor could not tell. */
static bool is_untold(const struct mount *mount, struct file *file)
{
	uint64_t unique = atomic_load(&file->unique);

	for (unsigned i = 0; unique && i < mount->nworkers; i++)
		if (protocol_waits(mount->clones[i], unique))
			return true;
	atomic_store(&file->unique, 0);
	return false;
}

static void drop(struct mount *mount, struct file *file)
{
	struct node *node = node_get(&mount->nodes, file->node);

	/* The error that this OPEN was to bring to somebody's FSYNC. */
	if (node && atomic_load(&mount->state.images[file->image].error_seq) != file->error_seen)
		atomic_fetch_or(&node->flags, NODE_ERROR);
	atomic_store(&file->id, 0);
}

int file_restore(struct mount *mount)
{
	_cleanup_free_ struct users *users = calloc(mount->images.size, sizeof(*users));
	int rc;

	if (!users)
		return -ENOMEM;
	for (uint32_t i = 0; i < FILES_MAX; i++) {
		struct file *file = &mount->state.files[i];
		uint64_t id = atomic_load(&file->id);

		if (id == FILE_RESERVED || (id && file->image >= mount->images.size)) {
			atomic_store(&file->id, 0);
		} else if (id && is_untold(mount, file)) {
			drop(mount, file);
		} else if (id) {
			uint32_t *told = &users[file->image].error_told;

			*told = MAX(*told, atomic_load(&file->error_seen));
			users[file->image].opens++;
			users[file->image].writers += file->flags & FILE_WRITER;
			atomic_fetch_add(&mount->open_files, 1);
		}
	}
	for (unsigned i = 0; i < mount->images.size; i++) {
		if (!users[i].opens) {
			atomic_store(&mount->state.images[i].key, 0);
			continue;
		}
		rc = adopt_image(mount, i, &users[i]);
		if (rc < 0)
			lose_files(mount, i, rc);
	}
	return 0;
}

unsigned file_count(const struct mount *mount)
{
	return atomic_load(&mount->open_files);
}
