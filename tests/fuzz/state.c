// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The state that a successor takes over, as a predecessor gone mad may leave it. The input is a
 * series of patches (struct patch, then its bytes) to a state with one node, one image and one open
 * file.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fuse/file.h"
#include "fuse/mount.h"
#include "fuse/takeover.h"
#include "fuzz.h"
#include "policy/log.h"
#include "policy/util.h"

/* Records are patched at the front of their tables, or at the very end. */
#define RECORDS 4u

struct patch {
	uint8_t table;
	uint8_t length;
	uint16_t offset;
};

struct table {
	void *start;
	size_t size;
};

static void tables(const struct state *s, struct table table[6])
{
	table[0] = (struct table){s->header, sizeof(*s->header)};
	table[1] = (struct table){s->devices, RECORDS * sizeof(*s->devices)};
	table[2] = (struct table){s->intents, RECORDS * sizeof(*s->intents)};
	table[3] = (struct table){s->images, RECORDS * sizeof(*s->images)};
	table[4] = (struct table){s->files, RECORDS * sizeof(*s->files)};
	table[5] = (struct table){s->nodes, RECORDS * sizeof(*s->nodes)};
}

static void apply(struct state *state, const uint8_t *data, size_t size)
{
	struct table table[6];
	struct patch p;

	tables(state, table);
	while (size > sizeof(p)) {
		const struct table *t;
		size_t length;

		memcpy(&p, data, sizeof(p));
		data += sizeof(p);
		size -= sizeof(p);
		t = &table[p.table % ARRAY_SIZE(table)];
		length = MIN(MIN(p.length, size), t->size - p.offset % t->size);
		memcpy((char *)t->start + p.offset % t->size, data, length);
		data += length;
		size -= length;
	}
}

/* What the input patches, made once. */
static struct state base;
static struct table saved[6];
static int root_fd;

static void make_base(void)
{
	static struct mount mount;
	struct node *node;
	struct stat st;
	int file = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), again;

	log_level = -1;
	root_fd = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	expect(state_create(&base) == 0);
	base.header->workers = 1;
	base.header->images = RECORDS;
	expect(node_table_init(&mount.nodes, &base, root_fd) == 0);
	expect(node_of_fd(&mount.nodes, file, &st, &node) == 0);
	again = node_open(&mount.nodes, node, O_RDWR);
	expect(again >= 0);
	close(again);
	base.images[0].key = node->id;
	base.images[0].settings = settings_default;
	base.images[0].settings.value[SETTING_CACHE] = CACHE_WRITEBACK;
	base.files[0].id = state_new_id(&base, 0);
	base.files[0].node = node->id;
	base.files[0].flags = FILE_WRITER;
	tables(&base, saved);
	for (unsigned i = 0; i < ARRAY_SIZE(saved); i++) {
		void *copy = malloc(saved[i].size);

		expect(copy);
		saved[i].start = memcpy(copy, saved[i].start, saved[i].size);
	}
}

static void restore_base(void)
{
	struct table table[6];

	tables(&base, table);
	for (unsigned i = 0; i < ARRAY_SIZE(table); i++)
		memcpy(table[i].start, saved[i].start, saved[i].size);
}

/* What the requests of a guest make of it. */
static void use(struct mount *mount)
{
	struct node *found;
	struct stat st;

	for (unsigned i = 0; i < RECORDS; i++) {
		struct node *node = node_get(&mount->nodes, mount->state.nodes[i].id);
		struct file *file = file_get(&mount->state, mount->state.files[i].id);
		int fd = node ? node_open(&mount->nodes, node, O_RDONLY | O_PATH) : -1;

		if (fd >= 0)
			close(fd);
		if (file)
			file_close(mount, file->id);
	}
	if (node_of_fd(&mount->nodes, root_fd, &st, &found) == 0)
		node_forget(&mount->nodes, found->id, 1);
	for (unsigned i = 0; i < RECORDS; i++)
		node_forget(&mount->nodes, mount->state.nodes[i].id, UINT64_MAX);
}

/* As server.c does it. No file has checksums: for want of a pool's root there are none. */
static void take_over(struct mount *mount)
{
	static const struct sums_config config = {.root_fd = -1};
	static struct sums *sums;

	int device_fd[DEVICES_MAX], clones[THREADS_MAX];

	expect(sums || sums_init(&sums, &config, sums_memory(RECORDS)) == 0);
	expect(mount->state.header->workers <= ARRAY_SIZE(clones));
	takeover_note_death(mount);
	takeover_is_poison(mount, 3);
	for (unsigned i = 0; i < DEVICES_MAX; i++)
		device_fd[i] = -1;
	device_fd[0] = fcntl(root_fd, F_DUPFD_CLOEXEC, 0);
	expect(node_table_restore(&mount->nodes, &mount->state, device_fd) == 0);
	takeover_image_keeper(mount, &mount->image_keeper);
	expect(image_table_init(&mount->images, mount->state.header->images, mount->state.images,
				&mount->image_keeper, sums, NULL, 0) == 0);
	if (file_restore(mount) == 0)
		use(mount);
	image_table_fini(&mount->images);
	node_table_fini(&mount->nodes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mount mount;

	if (!base.header)
		make_base();
	restore_base();
	apply(&base, data, size);
	mount = (struct mount){.root_fd = root_fd, .device_fd = -1};
	if (state_open(&mount.state, fcntl(base.fd, F_DUPFD_CLOEXEC, 0)) == 0)
		take_over(&mount);
	if (mount.state.header)
		state_unmap(&mount.state);
	return 0;
}
