// SPDX-License-Identifier: GPL-2.0-or-later
#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "keep.h"
#include "keeper.h"
#include "policy/log.h"
#include "policy/util.h"

/* What tells one inode from all others. */
struct identity {
	uint64_t ino;
	uint32_t device;
	struct file_handle handle;
	uint8_t bytes[HANDLE_MAX];
};

/* ===== the table ===== */

static void *lazy_array(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static uint32_t bucket_of(uint32_t device, uint64_t ino)
{
	uint64_t h = (ino ^ (uint64_t)device << 32) * 0x9e3779b97f4a7c15ull;

	return h >> 48 & (NODE_BUCKETS - 1);
}

static bool same(const struct node *node, const struct identity *who)
{
	return node->ino == who->ino && node->device == who->device &&
	       node->handle_length == who->handle.handle_bytes &&
	       node->handle_type == who->handle.handle_type &&
	       !memcmp(node->handle, who->bytes, node->handle_length);
}

static struct node *find(struct node_table *table, const struct identity *who)
{
	uint32_t i = table->buckets[bucket_of(who->device, who->ino)];

	while (i && !same(&table->state->nodes[i - 1], who))
		i = table->next[i - 1];
	return i ? &table->state->nodes[i - 1] : NULL;
}

static struct node *insert(struct node_table *table, const struct identity *who, uint64_t id)
{
	uint32_t *bucket = &table->buckets[bucket_of(who->device, who->ino)], i;
	struct node *node;

	if (table->free) {
		i = table->free;
		table->free = table->next[i - 1];
	} else if (table->used < NODES_MAX) {
		i = ++table->used;
		atomic_store(&table->state->header->nodes_used, table->used);
	} else {
		return NULL;
	}
	node = &table->state->nodes[i - 1];
	node->ino = who->ino;
	node->device = who->device;
	node->handle_length = who->handle.handle_bytes;
	node->handle_type = who->handle.handle_type;
	memcpy(node->handle, who->bytes, HANDLE_MAX);
	atomic_store(&node->flags, 0);
	atomic_store(&node->lookups, 0);
	atomic_store(&node->id, id ?: state_new_id(table->state, i - 1));
	table->next[i - 1] = *bucket;
	*bucket = i;
	return node;
}

static void remove_node(struct node_table *table, struct node *node)
{
	uint32_t i = node - table->state->nodes + 1;
	uint32_t *link = &table->buckets[bucket_of(node->device, node->ino)];

	while (*link != i)
		link = &table->next[*link - 1];
	*link = table->next[i - 1];
	atomic_store(&node->id, 0);
	if (table->path_fd[i - 1]) {
		close(table->path_fd[i - 1] - 1);
		table->path_fd[i - 1] = 0;
	}
	table->next[i - 1] = table->free;
	table->free = i;
}

/* ===== filesystems ===== */

int node_device(const struct node_table *table, uint64_t st_dev)
{
	for (unsigned i = 0; i < table->devices; i++)
		if (atomic_load(&table->state->devices[i].id) == st_dev + 1)
			return i;
	return -ENOENT;
}

static void keep_device(unsigned i, int fd)
{
	char name[KEEPER_NAME_MAX];
	int rc;

	snprintf(name, sizeof(name), "device-%u", i);
	/* A predecessor may have died between this and the record of another filesystem. */
	keep_remove(name);
	rc = keep_store(name, fd);
	if (rc < 0)
		log_err("%s is not kept: %s", name, strerror(-rc));
}

/* FD is the first object seen of its filesystem. open_by_handle_at() wants an open one there, not
 * an O_PATH one; what cannot be opened (a socket that is a mount point) leaves its nodes with
 * paths. */
static int add_device(struct node_table *table, int fd, uint64_t st_dev)
{
	char path[PROC_PATH_MAX];
	unsigned i = table->devices;

	if (i == DEVICES_MAX)
		return -ENFILE;
	table->device_fd[i] = open(proc_path(path, fd), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (i > 0 && table->device_fd[i] >= 0)
		keep_device(i, table->device_fd[i]);
	atomic_store(&table->state->devices[i].id, st_dev + 1);
	table->devices++;
	return i;
}

uint64_t node_ino(uint32_t device, uint64_t ino)
{
	/* Inode numbers below 2^48 stay unique; no filesystem of ours gives larger ones soon. */
	return device ? ino ^ (uint64_t)device << 48 : ino;
}

/* ===== identity ===== */

static int identify(struct node_table *table, int fd, const struct stat *st, struct identity *who)
{
	int device = node_device(table, st->st_dev), mount_id;

	if (device < 0)
		device = add_device(table, fd, st->st_dev);
	if (device < 0)
		return device;
	memset(who, 0, sizeof(*who));
	who->ino = st->st_ino;
	who->device = device;
	who->handle.handle_bytes = HANDLE_MAX;
	if (table->device_fd[device] < 0 ||
	    name_to_handle_at(fd, "", &who->handle, &mount_id, AT_EMPTY_PATH) < 0)
		who->handle.handle_bytes = 0;
	return 0;
}

static void hold(struct node_table *table, const struct node *node, int fd)
{
	int *held = &table->path_fd[node - table->state->nodes];

	if (!*held)
		*held = fcntl(fd, F_DUPFD_CLOEXEC, 0) + 1;
}

void node_hold(struct node_table *table, uint64_t id, int fd)
{
	struct node *node;

	pthread_mutex_lock(&table->lock);
	node = node_get(table, id);
	if (node)
		hold(table, node, fd);
	pthread_mutex_unlock(&table->lock);
}

static int open_handle(struct node_table *table, const struct node *node, int flags)
{
	struct {
		struct file_handle handle;
		uint8_t bytes[HANDLE_MAX];
	} h = {.handle = {.handle_bytes = node->handle_length, .handle_type = node->handle_type}};
	int fd;

	if (!node->handle_length)
		return -ESTALE;
	memcpy(h.bytes, node->handle, node->handle_length);
	fd = open_by_handle_at(table->device_fd[node->device], &h.handle,
			       flags | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Not all that have a handle do: a subvolume's place in a snapshot of its parent has none. */
static bool opens_by_handle(struct node_table *table, const struct node *node)
{
	_cleanup_close_ int fd = open_handle(table, node, O_PATH);

	return fd >= 0;
}

int node_of_fd(struct node_table *table, int fd, struct stat *st, struct node **result)
{
	struct identity who;
	struct node *node;
	int rc;

	if (fstatat(fd, "", st, AT_EMPTY_PATH) < 0)
		return -errno;
	pthread_mutex_lock(&table->lock);
	rc = identify(table, fd, st, &who);
	if (rc == 0) {
		node = find(table, &who);
		if (!node) {
			node = insert(table, &who, 0);
			if (node && !opens_by_handle(table, node))
				hold(table, node, fd);
		}
		if (node) {
			atomic_fetch_add(&node->lookups, 1);
			*result = node;
		} else {
			rc = -ENFILE;
		}
	}
	pthread_mutex_unlock(&table->lock);
	return rc;
}

uint64_t node_find(struct node_table *table, int fd)
{
	struct identity who;
	struct node *node = NULL;
	struct stat st;

	if (fstatat(fd, "", &st, AT_EMPTY_PATH) < 0)
		return 0;
	pthread_mutex_lock(&table->lock);
	if (identify(table, fd, &st, &who) == 0)
		node = find(table, &who);
	pthread_mutex_unlock(&table->lock);
	return node ? atomic_load(&node->id) : 0;
}

struct node *node_get(struct node_table *table, uint64_t id)
{
	uint32_t index = id == FUSE_ROOT_ID ? 0 : state_index(id);
	struct node *node;

	/* Beyond what a predecessor said to have used nobody has looked at what it left. */
	if (index >= atomic_load(&table->state->header->nodes_used))
		return NULL;
	node = &table->state->nodes[index];
	return atomic_load(&node->id) == id ? node : NULL;
}

void node_forget(struct node_table *table, uint64_t id, uint64_t lookups)
{
	struct node *node;

	if (id == FUSE_ROOT_ID)
		return;
	pthread_mutex_lock(&table->lock);
	node = node_get(table, id);
	if (node && atomic_fetch_sub(&node->lookups, lookups) <= lookups)
		remove_node(table, node);
	pthread_mutex_unlock(&table->lock);
}

int node_open(struct node_table *table, const struct node *node, int flags)
{
	int fd = open_handle(table, node, flags), held;
	char path[PROC_PATH_MAX];

	if (fd != -ESTALE)
		return fd;
	held = table->path_fd[node - table->state->nodes] - 1;
	if (held < 0)
		return -ESTALE;
	if (flags & O_PATH)
		fd = fcntl(held, F_DUPFD_CLOEXEC, 0);
	else
		fd = open(proc_path(path, held), (flags & ~O_NOFOLLOW) | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int node_open_id(struct node_table *table, uint64_t id, int flags)
{
	struct node *node = node_get(table, id);

	return node ? node_open(table, node, flags) : -ESTALE;
}

static int make_arrays(struct node_table *table, struct state *state)
{
	*table = (struct node_table){.state = state};
	pthread_mutex_init(&table->lock, NULL);
	table->buckets = lazy_array(NODE_BUCKETS * sizeof(*table->buckets));
	table->next = lazy_array((size_t)NODES_MAX * sizeof(*table->next));
	table->path_fd = lazy_array((size_t)NODES_MAX * sizeof(*table->path_fd));
	return table->buckets && table->next && table->path_fd ? 0 : -ENOMEM;
}

/* A predecessor may have died of having written anywhere: its records must not lead us there. */
static bool plausible(const struct node_table *table, uint32_t index)
{
	const struct node *node = &table->state->nodes[index];
	uint64_t id = atomic_load(&node->id);

	return (index ? state_index(id) == index : id == FUSE_ROOT_ID) &&
	       node->device < table->devices && node->handle_length <= HANDLE_MAX;
}

/* Records are taken from the front; a few free ones between them go to the free list. */
int node_table_restore(struct node_table *table, struct state *state,
		       const int device_fd[DEVICES_MAX])
{
	uint64_t highest = atomic_load(&state->header->nodes_used);
	int rc = make_arrays(table, state);

	if (rc < 0)
		return rc;
	while (table->devices < DEVICES_MAX && atomic_load(&state->devices[table->devices].id)) {
		table->device_fd[table->devices] = device_fd[table->devices];
		table->devices++;
	}
	table->used = MIN(highest, NODES_MAX);
	atomic_store(&state->header->nodes_used, table->used);
	for (uint32_t i = table->used; i-- > 0;) {
		struct node *node = &state->nodes[i];
		uint32_t *link = &table->free;

		if (atomic_load(&node->id) && !plausible(table, i)) {
			log_err("node %u: its record is damaged", i);
			atomic_store(&node->id, 0);
		}
		if (atomic_load(&node->id))
			link = &table->buckets[bucket_of(node->device, node->ino)];
		table->next[i] = *link;
		*link = i + 1;
	}
	return 0;
}

int node_table_init(struct node_table *table, struct state *state, int root_fd)
{
	struct identity who;
	struct stat st;
	int rc;

	rc = make_arrays(table, state);
	if (rc < 0)
		return rc;
	if (fstat(root_fd, &st) < 0)
		return -errno;
	rc = identify(table, root_fd, &st, &who);
	if (rc < 0)
		return rc;
	insert(table, &who, FUSE_ROOT_ID);
	hold(table, &state->nodes[0], root_fd);
	return 0;
}

void node_table_fini(struct node_table *table)
{
	for (uint32_t i = 0; i < table->used; i++)
		if (table->path_fd[i])
			close(table->path_fd[i] - 1);
	for (unsigned i = 0; i < table->devices; i++)
		if (table->device_fd[i] >= 0)
			close(table->device_fd[i]);
	munmap(table->buckets, NODE_BUCKETS * sizeof(*table->buckets));
	munmap(table->next, (size_t)NODES_MAX * sizeof(*table->next));
	munmap(table->path_fd, (size_t)NODES_MAX * sizeof(*table->path_fd));
	pthread_mutex_destroy(&table->lock);
}
