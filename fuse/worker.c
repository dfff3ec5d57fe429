// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "abi.h"
#include "file.h"
#include "message.h"
#include "mount.h"
#include "ops.h"
#include "policy/log.h"
#include "policy/util.h"
#include "takeover.h"

struct request *worker_request(struct worker *worker, const struct slot *slot)
{
	return &worker->requests[slot - worker->lane->pool.slots];
}

/* ===== reply ===== */

static void reply(struct request *request, int error, const void *data, size_t length)
{
	if (request->queue)
		uring_reply(request, error, data, length);
	else
		protocol_reply(request->worker->dev.fd, request->unique, error, data, length);
}

static void done(struct request *request, int error)
{
	if (error < 0)
		report_failure(request->worker->mount, &request->io, error);
	atomic_store_explicit(request->executing, 0, memory_order_relaxed);
	request->worker->executing--;
	if (!request->queue)
		dev_give_back(request->worker, request->io.slot);
}

/* ===== READ, WRITE, FSYNC ===== */

static void done_read(struct io *io)
{
	struct request *request = container_of(io, struct request, io);

	if (io->result < 0)
		reply(request, io->result, NULL, 0);
	else
		reply(request, 0, io->data, io->result);
	done(request, io->result);
}

static void done_write(struct io *io)
{
	struct request *request = container_of(io, struct request, io);
	struct fuse_write_out out = {.size = io->result};

	if (io->result < 0)
		reply(request, io->result, NULL, 0);
	else
		reply(request, 0, &out, sizeof(out));
	done(request, io->result);
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
	done(request, error);
}

/* Starts what SLOT's message asks of FILE; -errno if it makes no sense. */
static int start_io(struct worker *worker, struct slot *slot, enum io_kind kind, struct file *file,
		    uint64_t offset, uint32_t length)
{
	static void (*const when_done[])(struct io *) = {
		[IO_READ] = done_read,
		[IO_WRITE] = done_write,
		[IO_FSYNC] = done_fsync,
	};
	struct request *request = worker_request(worker, slot);

	if (length > PAYLOAD_MAX || offset > (uint64_t)INT64_MAX - length)
		return -EINVAL;
	request->file = file;
	request->io.kind = kind;
	request->io.image = image_at(&worker->mount->images, file->image);
	request->io.slot = slot;
	request->io.offset = offset;
	request->io.length = length;
	request->io.done = when_done[kind];
	if (request->queue && range_is_held(&request->io.image->ranges))
		uring_set_aside(request);
	worker->executing++;
	atomic_store_explicit(request->executing, request->unique & ~FUSE_UNIQUE_RESEND,
			      memory_order_relaxed);
	io_start(&request->io);
	return 0;
}

static int start_read(struct worker *worker, struct slot *slot, const struct message *message)
{
	const struct fuse_read_in *in = message->arg;
	struct file *file;

	if (message->arg_length < sizeof(*in))
		return -EINVAL;
	file = file_get(&worker->mount->state, in->fh);
	return file ? start_io(worker, slot, IO_READ, file, in->offset, in->size) : -EBADF;
}

static int start_write(struct worker *worker, struct slot *slot, const struct message *message)
{
	const struct fuse_write_in *in = message->arg;
	struct file *file;
	int rc = 0;

	if (message->arg_length < sizeof(*in) || in->size != message->data_length)
		return -EINVAL;
	file = file_get(&worker->mount->state, in->fh);
	if (!file || !(file->flags & FILE_WRITER))
		return -EBADF;
	if (in->write_flags & FUSE_WRITE_KILL_SUIDGID)
		rc = image_drop_privileges(
			image_at(&worker->mount->images, file->image)->cached_fd);
	return rc < 0 ? rc : start_io(worker, slot, IO_WRITE, file, in->offset, in->size);
}

static int start_fsync(struct worker *worker, struct slot *slot, const struct message *message)
{
	const struct fuse_fsync_in *in = message->arg;
	struct file *file;

	if (message->arg_length < sizeof(*in))
		return -EINVAL;
	file = file_get(&worker->mount->state, in->fh);
	worker_request(worker, slot)->io.datasync = in->fsync_flags & FUSE_FSYNC_FDATASYNC;
	return file ? start_io(worker, slot, IO_FSYNC, file, 0, 0) : -EBADF;
}

/* ===== decode ===== */

/* Handed to a metadata thread. What was read from the device leaves its slot at once. */
static int start_meta(struct worker *worker, struct slot *slot, const struct message *message)
{
	struct request *request = worker_request(worker, slot);

	if (request->queue)
		uring_set_aside(request);
	return meta_submit(worker, request->queue ? request : NULL, message, slot->payload);
}

static bool wants_no_answer(const struct message *message)
{
	return message->header->opcode == FUSE_FORGET ||
	       message->header->opcode == FUSE_BATCH_FORGET;
}

bool worker_decode(struct worker *worker, struct slot *slot, const struct message *message)
{
	struct request *request = worker_request(worker, slot);
	unsigned opcode = message->header->opcode;
	uint64_t unique = message->header->unique;
	bool in_slot = false;
	int rc;

	request->unique = unique;
	if (unique & FUSE_UNIQUE_RESEND && takeover_is_poison(worker->mount, unique)) {
		log_err("a request was in execution at two crashes: it fails (opcode %u)", opcode);
		reply(request, -EIO, NULL, 0);
		return false;
	}
	log_trace("%s: node %lu, request %lu, %u bytes", message_opcode(opcode),
		  (unsigned long)message->header->nodeid, (unsigned long)unique,
		  message->header->len);
	switch (opcode) {
	case FUSE_READ:
		rc = start_read(worker, slot, message);
		in_slot = rc == 0;
		break;
	case FUSE_WRITE:
		rc = start_write(worker, slot, message);
		in_slot = rc == 0;
		break;
	case FUSE_FSYNC:
		rc = start_fsync(worker, slot, message);
		in_slot = rc == 0;
		break;
	case FUSE_INTERRUPT:
		/* Nothing of ours can be interrupted: the kernel stops asking. */
		rc = -ENOSYS;
		break;
	default:
		rc = start_meta(worker, slot, message);
		break;
	}
	if (rc < 0 && !wants_no_answer(message))
		reply(request, rc, NULL, 0);
	return in_slot;
}

/* ===== the loop ===== */

/* Each answer ends a block request of the loop device above, whose softirq wakes ksoftirqd from our
 * context: of equal priority it would preempt us at every reply. */
static void raise_priority(void)
{
	if (setpriority(PRIO_PROCESS, 0, -20) < 0)
		log_info("setpriority: %s", strerror(errno));
}

int worker_cpu(unsigned index)
{
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return -1;
	index %= CPU_COUNT(&allowed);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && index-- == 0)
			return cpu;
	return -1;
}

/* Served on the CPU that submitted it, a request costs half. */
static void pin(int cpu)
{
	cpu_set_t one;

	if (cpu < 0)
		return;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void *worker_thread(void *arg)
{
	struct worker *worker = arg;
	int rc;

	pthread_setname_np(pthread_self(), "bouncefs/worker");
	pin(worker_cpu(worker->lane->index));
	raise_priority();
	rc = lane_enable(worker->lane);
	if (rc == 0)
		uring_open(worker);
	/* Nothing may land after our end: what is under way is waited for, however long it takes.
	 */
	while (rc == 0 && !(worker->stopping && !worker->executing)) {
		dev_receive(worker);
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

int worker_init(struct worker *worker, struct mount *mount, unsigned index, int device_fd)
{
	bool uring = protocol_has_uring(&mount->protocol);
	unsigned slots;
	int rc;

	*worker = (struct worker){
		.mount = mount,
		.lane = &mount->lanes[index],
		.dev.fd = device_fd,
		/* With rings, what is left for the device keeps one busy at most. */
		.dev.listening = !uring || index == 0,
	};
	worker->dev.readable = worker->dev.listening;
	slots = worker->lane->pool.total;
	worker->requests = calloc(slots, sizeof(*worker->requests));
	if (!worker->requests)
		return -ENOMEM;
	for (unsigned i = 0; i < slots; i++) {
		worker->requests[i].worker = worker;
		worker->requests[i].io.lane = worker->lane;
		worker->requests[i].executing = &mount->state.executing[index * slots + i];
		worker->requests[i].io.intent = sums_intent(mount->sums, index * slots + i);
	}
	rc = lane_set_file(worker->lane, LANE_FILE_DEVICE, device_fd);
	if (rc == 0 && uring)
		rc = uring_init(worker);
	if (rc < 0)
		return rc;
	worker->session = ops_session(mount, device_fd);
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
	return worker->draining && !worker->executing;
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
	dev_fini(worker);
	uring_fini(worker);
	fuse_session_destroy(worker->session); /* closes the device */
	free(worker->requests);
}
