// SPDX-License-Identifier: GPL-2.0-or-later
#include "state.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"
#include "policy/util.h"

#define STATE_MAGIC 0x6574617473736662ull /* "bfsstate" */

/* The parts lie one after the other, each on a page boundary. Memory that was never written costs
 * nothing, so the tables can be as large as they may ever have to be. */
struct layout {
	uint64_t devices, intents, executing, images, files, nodes, size;
};

static struct layout layout(void)
{
	struct layout l;

	l.devices = align_up(sizeof(struct state_header), 4096);
	l.intents = align_up(l.devices + DEVICES_MAX * sizeof(struct device), 4096);
	l.executing = align_up(l.intents + INTENTS_MAX * sizeof(struct intent), 4096);
	l.images = align_up(l.executing + EXECUTING_MAX * sizeof(uint64_t), 4096);
	l.files = align_up(l.images + IMAGES_MAX * sizeof(struct image_record), 4096);
	l.nodes = align_up(l.files + (uint64_t)FILES_MAX * sizeof(struct file), 4096);
	l.size = l.nodes + (uint64_t)NODES_MAX * sizeof(struct node);
	return l;
}

static int state_map(struct state *state)
{
	struct layout l = layout();
	char *base = mmap(NULL, l.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
			  state->fd, 0);

	if (base == MAP_FAILED)
		return -errno;
	state->header = (struct state_header *)base;
	state->devices = (struct device *)(base + l.devices);
	state->intents = (struct intent *)(base + l.intents);
	state->executing = (_Atomic uint64_t *)(base + l.executing);
	state->images = (struct image_record *)(base + l.images);
	state->files = (struct file *)(base + l.files);
	state->nodes = (struct node *)(base + l.nodes);
	return 0;
}

int state_create(struct state *state)
{
	_cleanup_close_ int fd = memfd_create("bouncefs-state", MFD_CLOEXEC);
	int rc;

	if (fd < 0 || ftruncate(fd, layout().size) < 0)
		return -errno;
	state->fd = fd;
	rc = state_map(state);
	if (rc < 0)
		return rc;
	state->header->magic = STATE_MAGIC;
	state->header->version = STATE_VERSION;
	steal_fd(&fd);
	return 0;
}

int state_open(struct state *state, int fd)
{
	struct stat st;
	int rc;

	state->fd = fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size != layout().size)
		return -EPROTO;
	rc = state_map(state);
	if (rc < 0)
		return rc;
	if (state->header->magic != STATE_MAGIC || state->header->version != STATE_VERSION)
		return -EPROTO;
	/* What sizes our arrays. A predecessor may have died of having written anywhere. */
	if (!state->header->workers || state->header->workers > THREADS_MAX ||
	    !state->header->images || state->header->images > IMAGES_MAX)
		return -EPROTO;
	return 0;
}

void state_unmap(struct state *state)
{
	munmap(state->header, layout().size);
	close(state->fd);
}

uint64_t state_new_id(struct state *state, uint32_t index)
{
	uint64_t generation = atomic_fetch_add(&state->header->generation, 1) + 1;

	return generation << STATE_INDEX_BITS | (index + 1);
}
