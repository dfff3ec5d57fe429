// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "abi.h"
#include "file.h"
#include "mount.h"
#include "ops.h"
#include "policy/log.h"
#include "policy/util.h"
#include "takeover.h"

/* ===== reply ===== */

static void give_back(struct worker *worker, struct slot *slot)
{
	pool_put(&worker->lane->pool, slot);
	/* The next request is often there already: a read is cheaper than a wait. */
	worker->readable = true;
}

/* ===== READ, WRITE, FSYNC ===== */

static void reply(const struct request *request, int error, const void *data, size_t length)
{
	protocol_reply(request->worker->device_fd, request->unique, error, data, length);
}

static void done(struct request *request)
{
	atomic_store_explicit(request->executing, 0, memory_order_relaxed);
	give_back(request->worker, request->io.slot);
}

static void done_read(struct io *io)
{
	struct request *request = container_of(io, struct request, io);

	if (io->result < 0)
		reply(request, io->result, NULL, 0);
	else
		reply(request, 0, io->data, io->result);
	done(request);
}

static void done_write(struct io *io)
{
	struct request *request = container_of(io, struct request, io);
	struct fuse_write_out out = {.size = io->result};

	if (io->result < 0)
		reply(request, io->result, NULL, 0);
	else
		reply(request, 0, &out, sizeof(out));
	done(request);
}

/* An error that fsync returned is gone for the next one: all openers of the image must hear of it,
 * and this one of those that nobody got to see so far. */
static void done_fsync(struct io *io)
{
	struct request *request = container_of(io, struct request, io);
	struct file *file = request->file;
	uint32_t heard;
	int error;

	error = image_recall_error(io->image, atomic_load(&file->error_seen), &heard);
	reply(request, error, NULL, 0);
	/* Not before: if we die in between, the one that is asked again shall tell it. */
	atomic_store(&file->error_seen, heard);
	image_told(io->image, heard);
	done(request);
}

static struct request *request_of(struct worker *worker, struct slot *slot)
{
	return &worker->requests[slot - worker->lane->pool.slots];
}

/* Starts what SLOT's message asks of FILE; -errno if it makes no sense. */
static int start_io(struct worker *worker, struct slot *slot, enum io_kind kind, struct file *file,
		    uint64_t offset, uint32_t length)
{
	struct fuse_in_header *header = (void *)(slot->payload - WRITE_HEADERS);
	static void (*const when_done[])(struct io *) = {
		[IO_READ] = done_read,
		[IO_WRITE] = done_write,
		[IO_FSYNC] = done_fsync,
	};
	struct request *request = request_of(worker, slot);

	if (length > PAYLOAD_MAX || offset > (uint64_t)INT64_MAX - length)
		return -EINVAL;
	request->file = file;
	request->unique = header->unique;
	request->io.kind = kind;
	request->io.image = image_at(&worker->mount->images, file->image);
	request->io.slot = slot;
	request->io.offset = offset;
	request->io.length = length;
	request->io.done = when_done[kind];
	atomic_store_explicit(request->executing, header->unique & ~FUSE_UNIQUE_RESEND,
			      memory_order_relaxed);
	io_start(&request->io);
	return 0;
}

static int start_read(struct worker *worker, struct slot *slot, size_t length)
{
	const struct fuse_read_in *in = (void *)(slot->payload - sizeof(*in));
	struct file *file;

	if (length < sizeof(struct fuse_in_header) + sizeof(*in))
		return -EINVAL;
	file = file_get(&worker->mount->state, in->fh);
	return file ? start_io(worker, slot, IO_READ, file, in->offset, in->size) : -EBADF;
}

static int start_write(struct worker *worker, struct slot *slot, size_t length)
{
	const struct fuse_write_in *in = (void *)(slot->payload - sizeof(*in));
	struct file *file;
	int rc = 0;

	if (length < WRITE_HEADERS || in->size != length - WRITE_HEADERS)
		return -EINVAL;
	file = file_get(&worker->mount->state, in->fh);
	if (!file || !(file->flags & FILE_WRITER))
		return -EBADF;
	if (in->write_flags & FUSE_WRITE_KILL_SUIDGID)
		rc = image_drop_privileges(image_at(&worker->mount->images, file->image));
	return rc < 0 ? rc : start_io(worker, slot, IO_WRITE, file, in->offset, in->size);
}

static int start_fsync(struct worker *worker, struct slot *slot, size_t length)
{
	const struct fuse_fsync_in *in =
		(void *)(slot->payload - WRITE_HEADERS + sizeof(struct fuse_in_header));
	struct file *file;

	if (length < sizeof(struct fuse_in_header) + sizeof(*in))
		return -EINVAL;
	file = file_get(&worker->mount->state, in->fh);
	request_of(worker, slot)->io.datasync = in->fsync_flags & FUSE_FSYNC_FDATASYNC;
	return file ? start_io(worker, slot, IO_FSYNC, file, 0, 0) : -EBADF;
}

/* ===== decode ===== */

/* True if the slot is in use from now on. */
static bool decode(struct worker *worker, struct slot *slot, size_t length)
{
	struct fuse_in_header *header = (void *)(slot->payload - WRITE_HEADERS);
	uint64_t unique = header->unique;
	int rc;

	if (unique & FUSE_UNIQUE_RESEND && takeover_is_poison(worker->mount, unique)) {
		log_err("a request was in execution at two crashes: it fails (opcode %u)",
			header->opcode);
		protocol_reply(worker->device_fd, unique, -EIO, NULL, 0);
		return false;
	}
	log_trace("%s: node %lu, request %lu, %zu bytes", protocol_opcode(header->opcode),
		  (unsigned long)header->nodeid, (unsigned long)unique, length);
	switch (header->opcode) {
	case FUSE_READ:
		rc = start_read(worker, slot, length);
		break;
	case FUSE_WRITE:
		rc = start_write(worker, slot, length);
		break;
	case FUSE_FSYNC:
		rc = start_fsync(worker, slot, length);
		break;
	case FUSE_INTERRUPT:
		/* Nothing of ours can be interrupted: the kernel stops asking. */
		protocol_reply(worker->device_fd, unique, -ENOSYS, NULL, 0);
		return false;
	default:
		rc = meta_submit(worker->mount, worker->session, header, length);
		if (rc < 0 && header->opcode != FUSE_FORGET && header->opcode != FUSE_BATCH_FORGET)
			protocol_reply(worker->device_fd, unique, rc, NULL, 0);
		return false;
	}
	if (rc < 0)
		protocol_reply(worker->device_fd, unique, rc, NULL, 0);
	return rc == 0;
}

static void tell_gone(struct worker *worker)
{
	uint64_t one = 1;

	worker->gone = true;
	log_debug("worker %u: the connection has ended", worker->lane->index);
	if (write(worker->mount->gone_fd, &one, sizeof(one)) < 0)
		log_err("eventfd: %s", strerror(errno));
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
static bool park(struct worker *worker, const void *message, size_t length)
{
	struct parked *parked, **last = &worker->parked;

	if (!must_park(worker, message, length))
		return false;
	parked = malloc(sizeof(*parked) + length);
	if (!parked)
		return false;
	*parked = (struct parked){.length = length};
	memcpy(parked->bytes, message, length);
	while (*last)
		last = &(*last)->next;
	*last = parked;
	return true;
}

/* Tried whenever something has completed: more than half of the slots are busy as long as any
 * request is parked, so that will not fail to come. */
static void unpark(struct worker *worker)
{
	struct parked **link = &worker->parked, *parked;

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
		free(parked);
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
	n = read(worker->device_fd, slot->payload - WRITE_HEADERS, WRITE_HEADERS + PAYLOAD_MAX);
	if (n >= (ssize_t)sizeof(struct fuse_in_header)) {
		if (park(worker, slot->payload - WRITE_HEADERS, n) || !decode(worker, slot, n))
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
	worker->readable = false;
	return false;
}

/* ===== the loop ===== */

static void poll_complete(struct lane_op *op, int res)
{
	struct worker *worker = container_of(op, struct worker, poll_op);

	(void)res;
	worker->polling = false;
	worker->readable = true;
}

static void arm_poll(struct worker *worker)
{
	struct io_uring_sqe *sqe = lane_sqe(worker->lane, &worker->poll_op);

	/* Not exclusive: a request wakes all workers, and the one on the CPU that submitted it
	 * wins. */
	io_uring_prep_poll_add(sqe, LANE_FILE_DEVICE, POLLIN);
	sqe->flags |= IOSQE_FIXED_FILE;
	worker->polling = true;
}

/* Each answer ends a block request of the loop device above, whose softirq wakes ksoftirqd from our
 * context: of equal priority it would preempt us at every reply. */
static void raise_priority(void)
{
	if (setpriority(PRIO_PROCESS, 0, -20) < 0)
		log_info("setpriority: %s", strerror(errno));
}

/* To the Nth CPU that we may use: served on the CPU that submitted it, a request costs half. */
static void pin(unsigned nth)
{
	cpu_set_t allowed, one;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return;
	nth %= CPU_COUNT(&allowed);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || nth-- > 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		return;
	}
}

/* What is below starts early when there is much to read, and not when all has been read. */
#define SUBMIT_BATCH 4

static void receive_all(struct worker *worker)
{
	unsigned n = 0;

	while (worker->readable && !worker->gone && !worker->draining && receive(worker))
		if (++n % SUBMIT_BATCH == 0)
			lane_submit(worker->lane);
}

static void *worker_thread(void *arg)
{
	struct worker *worker = arg;
	int rc;

	pthread_setname_np(pthread_self(), "bouncefs/worker");
	pin(worker->lane->index);
	raise_priority();
	rc = lane_enable(worker->lane);
	/* Nothing may land after our end: what is under way is waited for, however long it takes.
	 */
	while (rc == 0 && !(worker->stopping && worker->lane->pool.busy == 0)) {
		if (worker->parked && !worker->draining)
			unpark(worker);
		receive_all(worker);
		if (!worker->polling && !worker->gone && !worker->readable)
			arm_poll(worker);
		rc = lane_run_once(worker->lane);
	}
	if (rc < 0) {
		/* A successor gets a new ring; without one nobody would answer. */
		log_err("worker %u: ring: %s", worker->lane->index, strerror(-rc));
		abort();
	}
	lane_disable(worker->lane);
	return NULL;
}

/* ===== making and ending ===== */

int worker_clone_device(int device_fd)
{
	_cleanup_close_ int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	uint32_t original = device_fd;

	if (fd < 0 || ioctl(fd, FUSE_DEV_IOC_CLONE, &original) < 0)
		return -errno;
	return steal_fd(&fd);
}

int worker_init(struct worker *worker, struct mount *mount, unsigned index, int device_fd)
{
	unsigned slots;
	int rc;

	*worker = (struct worker){
		.mount = mount,
		.lane = &mount->lanes[index],
		.device_fd = device_fd,
		.poll_op.complete = poll_complete,
		.readable = true,
	};
	slots = worker->lane->pool.total;
	worker->requests = calloc(slots, sizeof(*worker->requests));
	if (!worker->requests)
		return -ENOMEM;
	for (unsigned i = 0; i < slots; i++) {
		worker->requests[i].worker = worker;
		worker->requests[i].io.lane = worker->lane;
		worker->requests[i].executing = &mount->state.executing[index * slots + i];
	}
	rc = lane_set_file(worker->lane, LANE_FILE_DEVICE, worker->device_fd);
	if (rc < 0)
		return rc;
	worker->session = ops_session(mount, worker->device_fd);
	return worker->session ? 0 : -EIO;
}

int worker_start(struct worker *worker)
{
	return -pthread_create(&worker->thread, NULL, worker_thread, worker);
}

static void stop(struct lane_work *work)
{
	container_of(work, struct worker, stop_work)->stopping = true;
}

static void drain(struct lane_work *work)
{
	container_of(work, struct worker, drain_work)->draining = true;
}

void worker_drain(struct worker *worker)
{
	worker->drain_work.run = drain;
	lane_post(worker->lane, &worker->drain_work);
}

bool worker_drained(const struct worker *worker)
{
	return worker->draining && worker->lane->pool.busy == 0;
}

static void pong(struct lane_work *work)
{
	atomic_fetch_add(&container_of(work, struct worker, ping_work)->pongs, 1);
}

void worker_ping(struct worker *worker)
{
	worker->pings++;
	worker->ping_work.run = pong;
	lane_post(worker->lane, &worker->ping_work);
}

void worker_stop(struct worker *worker)
{
	worker->stop_work.run = stop;
	lane_post(worker->lane, &worker->stop_work);
	pthread_join(worker->thread, NULL);
}

void worker_fini(struct worker *worker)
{
	for (struct parked *p = worker->parked, *next; p; p = next) {
		next = p->next;
		free(p);
	}
	fuse_session_destroy(worker->session); /* closes the device */
	free(worker->requests);
}
