// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cut - preloaded into bouncefs, stands between it and its rings
 *
 *	CUT=FILE LD_PRELOAD=libcut.so bouncefs ...
 *
 * FILE begins with struct cut and may change at any time: so many percent of reads and writes are
 *asked of the kernel for half of their length only; so many percent of the operations of a kind are
 *not asked of it at all (an fsync is) and complete with a result of the test's choice.
 */
#include <dlfcn.h>
#include <err.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum kind { CUT_READ = 1, CUT_WRITE = 2, CUT_FSYNC = 4, CUT_FALLOCATE = 8 };

struct cut {
	_Atomic int32_t short_percent;
	_Atomic int32_t percent, kinds, result; /* CUT_*, -errno or bytes */
	_Atomic int32_t done;			/* how often so far */
};

static struct cut nothing, *cut = &nothing;

/* Operations that have been replaced, by what the ring knows them by. */
#define REPLACED_MAX 256
static __thread uint64_t replaced[REPLACED_MAX];
static __thread int results[REPLACED_MAX];
static __thread unsigned nreplaced, seed;

__attribute__((constructor)) static void prepare(int argc, char **argv)
{
	const char *file = getenv("CUT");
	int fd;

	if (argc < 2 || strcmp(argv[1], "--worker") || !file)
		return;
	fd = open(file, O_RDWR | O_CLOEXEC);
	cut = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || cut == MAP_FAILED)
		err(1, "%s", file);
	close(fd);
}

/* The inbox's eventfd is read for less than any image is. */
static enum kind kind_of(const struct io_uring_sqe *sqe)
{
	switch (sqe->opcode) {
	case IORING_OP_READ:
	case IORING_OP_READ_FIXED:
		return sqe->len >= 512 ? CUT_READ : 0;
	case IORING_OP_WRITE:
	case IORING_OP_WRITE_FIXED:
		return CUT_WRITE;
	case IORING_OP_FSYNC:
		return CUT_FSYNC;
	case IORING_OP_FALLOCATE:
		return CUT_FALLOCATE;
	default:
		return 0;
	}
}

static bool chance(int percent)
{
	return percent && rand_r(&seed) % 100 < percent;
}

static void meddle(struct io_uring_sqe *sqe)
{
	enum kind kind = kind_of(sqe);

	if (kind & cut->kinds && nreplaced < REPLACED_MAX && chance(cut->percent)) {
		replaced[nreplaced] = sqe->user_data;
		results[nreplaced++] = cut->result;
		if (kind != CUT_FSYNC)
			sqe->len = 0;
		cut->done++;
	} else if (kind & (CUT_READ | CUT_WRITE) && sqe->len >= 1024 &&
		   chance(cut->short_percent)) {
		sqe->len = sqe->len / 2 & ~511u;
		cut->done++;
	}
}

static void meddle_all(struct io_uring *ring)
{
	unsigned shift = ring->flags & IORING_SETUP_SQE128 ? 1 : 0;

	for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++)
		meddle(&ring->sq.sqes[(i & ring->sq.ring_mask) << shift]);
}

static void complete(struct io_uring_cqe *cqe)
{
	for (unsigned i = 0; i < nreplaced; i++) {
		if (replaced[i] != cqe->user_data)
			continue;
		cqe->res = results[i];
		replaced[i] = replaced[--nreplaced];
		results[i] = results[nreplaced];
		return;
	}
}

int io_uring_submit(struct io_uring *ring)
{
	int (*real)(struct io_uring *) = dlsym(RTLD_NEXT, "io_uring_submit");

	meddle_all(ring);
	return real(ring);
}

int io_uring_submit_and_wait(struct io_uring *ring, unsigned n)
{
	int (*real)(struct io_uring *, unsigned) = dlsym(RTLD_NEXT, "io_uring_submit_and_wait");
	struct io_uring_cqe *cqe;
	unsigned head;
	int rc;

	meddle_all(ring);
	rc = real(ring, n);
	/* Each is seen once: the caller takes all that are there before it comes again. */
	io_uring_for_each_cqe (ring, head, cqe)
		complete(cqe);
	return rc;
}
