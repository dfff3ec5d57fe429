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

static bool populate(struct slot *slot)
{
	slot->populated = madvise(slot_memory(slot), SLOT_STRIDE, MADV_POPULATE_WRITE) == 0;
	return slot->populated;
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
		struct slot **list = i < resident ? &pool->free_resident : &pool->free_burst;

		slot->payload = memory + (size_t)i * SLOT_STRIDE + SLOT_PAGE;
		slot->buffer = i < resident ? (int)i : -1;
		if (i < resident && !populate(slot)) {
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

struct slot *pool_get(struct pool *pool)
{
	struct slot *slot = pool->free_resident;

	if (slot) {
		pool->free_resident = slot->next;
	} else {
		slot = pool->free_burst;
		if (!slot)
			return NULL;
		if (!slot->populated) {
			if (!populate(slot))
				return NULL;
			pool->populated++;
		}
		pool->free_burst = slot->next;
		pool->burst_used = true;
	}
	pool->busy++;
	return slot;
}

struct slot *pool_get_burst(struct pool *pool)
{
	struct slot *slot = pool->free_burst;

	if (slot) {
		pool->free_burst = slot->next;
		pool->busy++;
	}
	return slot;
}

void pool_put(struct pool *pool, struct slot *slot)
{
	struct slot **list = slot->buffer >= 0 ? &pool->free_resident : &pool->free_burst;

	slot->next = *list;
	*list = slot;
	pool->busy--;
}

void pool_trim(struct pool *pool)
{
	if (pool->burst_used) {
		pool->burst_used = false;
		return;
	}
	for (struct slot *slot = pool->free_burst; slot; slot = slot->next) {
		if (!slot->populated)
			continue;
		/* Locked memory answers EINVAL to plain MADV_DONTNEED; kernels before 5.18 know no
		 * other and keep the memory, which is a cost and not an error. */
		if (madvise(slot_memory(slot), SLOT_STRIDE, MADV_DONTNEED_LOCKED) == 0) {
			slot->populated = false;
			pool->populated--;
		}
	}
}

void pool_buffers(const struct pool *pool, struct iovec *iov)
{
	for (unsigned i = 0; i < pool->resident; i++)
		iov[i] = (struct iovec){slot_memory(&pool->slots[i]), SLOT_STRIDE};
}
