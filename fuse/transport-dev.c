// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "abi.h"
#include "file.h"
#include "mount.h"
#include "policy/log.h"
#include "policy/util.h"
#include "worker.h"

/* A request without a slot: its message. */
struct parked {
	struct parked *next;
	struct lane_work free_work;
	size_t length;
	char bytes[];
};

int dev_clone(int device_fd)
{
	_cleanup_close_ int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	uint32_t original = device_fd;

	if (fd < 0 || ioctl(fd, FUSE_DEV_IOC_CLONE, &original) < 0)
		return -errno;
	return steal_fd(&fd);
}

static void tell_gone(struct worker *worker)
{
	uint64_t one = 1;

	worker->dev.gone = true;
	log_debug("worker %u: the connection has ended", worker->lane->index);
	if (write(worker->mount->gone_fd, &one, sizeof(one)) < 0)
		log_err("eventfd: %s", strerror(errno));
}

void dev_give_back(struct worker *worker, struct slot *slot)
{
	pool_put(&worker->lane->pool, slot);
	/* The next request is often there already: a read is cheaper than a wait. With none under
	 * way it is not: its sender has to hear of this one first. */
	if (worker->executing || !worker->dev.polling)
		worker->dev.readable = worker->dev.listening;
}

/* True if SLOT, with a message of LENGTH bytes, is in use from now on. */
static bool decode(struct worker *worker, struct slot *slot, size_t length)
{
	struct fuse_in_header *header = (void *)(slot->payload - WRITE_HEADERS);
	struct message message = {
		.header = header,
		.arg = header + 1,
		.arg_length = MIN(length, WRITE_HEADERS) - sizeof(*header),
		.data_length = length - MIN(length, WRITE_HEADERS),
	};

	return worker_decode(worker, slot, &message);
}

/* ===== requests to images that somebody holds ===== */

/* They wait in their slots as long as half of all slots is left to other images. */
static bool must_park(const struct worker *worker, const void *message, size_t length)
{
	const struct fuse_in_header *header = message;
	const struct file *file;
	uint64_t fh;

	if (worker->lane->pool.busy <= worker->lane->pool.total / 2)
		return false;
	if (header->opcode != FUSE_READ && header->opcode != FUSE_WRITE &&
	    header->opcode != FUSE_FSYNC)
		return false;
	if (length < sizeof(*header) + sizeof(fh))
		return false;
	memcpy(&fh, header + 1, sizeof(fh)); /* all three begin with it */
	file = file_get(&worker->mount->state, fh);
	return file && range_is_held(&image_at(&worker->mount->images, file->image)->ranges);
}

/* Without memory it has to keep its slot. */
static void parking_done(struct lane_work *work)
{
	struct request *request = container_of(work, struct request, io.resume);
	struct worker *worker = request->worker;
	struct parked **last = &worker->dev.parked;

	worker->executing--;
	if (!request->parked) {
		struct fuse_in_header *header = (void *)(request->io.slot->payload - WRITE_HEADERS);

		if (!decode(worker, request->io.slot, header->len))
			dev_give_back(worker, request->io.slot);
		return;
	}
	while (*last)
		last = &(*last)->next;
	*last = request->parked;
	dev_give_back(worker, request->io.slot);
}

/* In the helper's thread: getting memory may take its time. */
static void copy_message(struct lane_work *work)
{
	struct request *request = container_of(work, struct request, io.resume);
	struct fuse_in_header *header = (void *)(request->io.slot->payload - WRITE_HEADERS);
	struct parked *parked = malloc(sizeof(*parked) + header->len);

	if (parked) {
		*parked = (struct parked){.length = header->len};
		memcpy(parked->bytes, header, header->len);
	}
	request->parked = parked;
	work->run = parking_done;
	lane_post(request->io.lane, work);
}

static void free_parked(struct lane_work *work)
{
	free(container_of(work, struct parked, free_work));
}

/* True if SLOT is in use until its message lies elsewhere. */
static bool park(struct worker *worker, struct slot *slot, size_t length)
{
	struct fuse_in_header *header = (void *)(slot->payload - WRITE_HEADERS);
	struct request *request = worker_request(worker, slot);

	if (!must_park(worker, header, length) || header->len != length)
		return false;
	worker->executing++;
	request->io.slot = slot;
	request->io.resume.run = copy_message;
	helper_post(worker->lane->helper, &request->io.resume);
	return true;
}

/* Tried whenever something has completed: more than half of the slots are busy as long as any
 * request is parked, so that will not fail to come. */
static void unpark(struct worker *worker)
{
	struct parked **link = &worker->dev.parked, *parked;

	while ((parked = *link)) {
		struct slot *slot = pool_get(&worker->lane->pool);

		if (!slot)
			return;
		if (must_park(worker, parked->bytes, parked->length)) {
			pool_put(&worker->lane->pool, slot);
			link = &parked->next;
			continue;
		}
		*link = parked->next;
		memcpy(slot->payload - WRITE_HEADERS, parked->bytes, parked->length);
		if (!decode(worker, slot, parked->length))
			pool_put(&worker->lane->pool, slot);
		parked->free_work.run = free_parked;
		helper_post(worker->lane->helper, &parked->free_work);
	}
}

void dev_fini(struct worker *worker)
{
	for (struct parked *p = worker->dev.parked, *next; p; p = next) {
		next = p->next;
		free(p);
	}
}

/* ===== receive ===== */

/* One request, if there is one and a slot for it. */
static bool receive(struct worker *worker)
{
	struct slot *slot = pool_get(&worker->lane->pool);
	ssize_t n;

	if (!slot)
		return false;
	n = read(worker->dev.fd, slot->payload - WRITE_HEADERS, WRITE_HEADERS + PAYLOAD_MAX);
	if (n >= (ssize_t)sizeof(struct fuse_in_header)) {
		if (!park(worker, slot, n) && !decode(worker, slot, n))
			pool_put(&worker->lane->pool, slot);
		return true;
	}
	pool_put(&worker->lane->pool, slot);
	/* ENOENT: its caller was killed while we were about to read it. */
	if (n < 0 && (errno == EINTR || errno == ENOENT))
		return true;
	if (n < 0 && errno == ENODEV)
		tell_gone(worker);
	else if (n >= 0 || errno != EAGAIN)
		log_err("read /dev/fuse: %s", n < 0 ? strerror(errno) : "short message");
	worker->dev.readable = false;
	return false;
}

static void poll_complete(struct lane_op *op, int res)
{
	struct worker *worker = container_of(op, struct worker, dev.poll_op);

	(void)res;
	worker->dev.polling = false;
	worker->dev.readable = true;
}

static void arm_poll(struct worker *worker)
{
	struct io_uring_sqe *sqe;

	worker->dev.poll_op.complete = poll_complete;
	sqe = lane_sqe(worker->lane, &worker->dev.poll_op);
	/* Not exclusive: a request wakes all workers, and the one on the CPU that submitted it
	 * wins. */
	io_uring_prep_poll_add(sqe, LANE_FILE_DEVICE, POLLIN);
	sqe->flags |= IOSQE_FIXED_FILE;
	worker->dev.polling = true;
}

/* What is below starts early when there is much to read, and not when all has been read. */
#define SUBMIT_BATCH 4

void dev_receive(struct worker *worker)
{
	struct dev_door *dev = &worker->dev;
	bool was_idle = !worker->executing;
	unsigned n = 0;

	if (dev->parked && !worker->draining)
		unpark(worker);
	while (dev->readable && !dev->gone && !worker->draining && receive(worker)) {
		if (worker->executing == 1 && was_idle)
			dev->readable = false;
		if (++n % SUBMIT_BATCH == 0)
			lane_submit(worker->lane);
	}
	if (dev->listening && !dev->polling && !dev->gone && !dev->readable)
		arm_poll(worker);
}
