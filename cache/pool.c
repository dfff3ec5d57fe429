// SPDX-License-Identifier: GPL-2.0-or-later
#include "pool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "policy/util.h"

#define SLOT_STRIDE (SLOT_PAGE + PAYLOAD_MAX + SLOT_SLACK)

/* Linux 5.18 and 5.14; not in every libc we build with. */
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static char *slot_memory(const struct slot *slot)
{
	return slot->payload - SLOT_PAGE;
}

void slot_populate(struct slot *slot)
{
	slot->populated = madvise(slot_memory(slot), SLOT_STRIDE, MADV_POPULATE_WRITE) == 0;
}

/* Locked memory answers EINVAL to plain MADV_DONTNEED; kernels before 5.18 know no other and keep
 * the memory, which is a cost and not an error. */
void slot_empty(struct slot *slot)
{
	if (madvise(slot_memory(slot), SLOT_STRIDE, MADV_DONTNEED_LOCKED) == 0)
		slot->populated = false;
}

int pool_init(struct pool *pool, unsigned resident, unsigned total)
{
	size_t size = (size_t)total * SLOT_STRIDE;
	char *memory;

	memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	*pool = (struct pool){.memory = memory, .resident = resident, .total = total};
	pool->slots = calloc(total, sizeof(*pool->slots));
	if (!pool->slots) {
		munmap(memory, size);
		return -ENOMEM;
	}
	for (unsigned i = total; i-- > 0;) {
		struct slot *slot = &pool->slots[i];
		struct slot **list = i < resident ? &pool->free_resident : &pool->empty;

		slot->payload = memory + (size_t)i * SLOT_STRIDE + SLOT_PAGE;
		slot->buffer = i < resident ? (int)i : -1;
		if (i < resident)
			slot_populate(slot);
		if (i < resident && !slot->populated) {
			pool_fini(pool);
			return -ENOMEM;
		}
		slot->next = *list;
		*list = slot;
	}
	return 0;
}

void pool_fini(struct pool *pool)
{
	munmap(pool->memory, (size_t)pool->total * SLOT_STRIDE);
	free(pool->slots);
}

static struct slot *take(struct slot **list)
{
	struct slot *slot = *list;

	if (slot)
		*list = slot->next;
	return slot;
}

static void add(struct slot **list, struct slot *slot)
{
	slot->next = *list;
	*list = slot;
}

struct slot *pool_get(struct pool *pool)
{
	struct slot *slot = take(&pool->free_resident);

	if (!slot) {
		slot = take(&pool->free_burst);
		pool->wanting = !slot && pool->empty;
		pool->burst_used = true;
	}
	pool->busy += slot != NULL;
	return slot;
}

struct slot *pool_get_burst(struct pool *pool)
{
	struct slot *slot = take(&pool->empty) ?: take(&pool->free_burst);

	pool->busy += slot != NULL;
	return slot;
}

void pool_put(struct pool *pool, struct slot *slot)
{
	if (slot->buffer >= 0)
		add(&pool->free_resident, slot);
	else
		add(slot->populated ? &pool->free_burst : &pool->empty, slot);
	pool->busy--;
}

struct slot *pool_take_wanted(struct pool *pool)
{
	struct slot *slot = pool->wanting ? take(&pool->empty) : NULL;

	pool->wanting = false;
	if (slot)
		slot->next = NULL;
	return slot;
}

struct slot *pool_take_idle(struct pool *pool)
{
	struct slot *slots = pool->burst_used ? NULL : pool->free_burst;

	if (slots)
		pool->free_burst = NULL;
	pool->burst_used = false;
	return slots;
}

void pool_bring(struct pool *pool, struct slot *slots)
{
	struct slot *slot;

	while ((slot = take(&slots)))
		add(slot->populated ? &pool->free_burst : &pool->empty, slot);
}

void pool_buffers(const struct pool *pool, struct iovec *iov)
{
	for (unsigned i = 0; i < pool->resident; i++)
		iov[i] = (struct iovec){slot_memory(&pool->slots[i]), SLOT_STRIDE};
}
