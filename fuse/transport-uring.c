// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A slot that is registered with a queue is the kernel's until a request is in it, and ours until
 * that is answered; it never leaves the queue, and its memory is never given back.
 */
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi.h"
#include "mount.h"
#include "ops.h"
#include "policy/log.h"
#include "policy/util.h"
#include "worker.h"

#define PARAMETER "/sys/module/fuse/parameters/enable_uring"
#define POSSIBLE "/sys/devices/system/cpu/possible"

/* So that a queue can always take on something. */
#define ENTRIES_MIN 4

/* Of all workers together: what requests that are set aside may take. Virtual; memory comes with
 * the first use. */
#define SLOTS_MAX 4096
#define SLOTS_MAX_WORKER 512

/* Of a worker's slots, for what comes through the device. */
#define SLOTS_DEVICE 2

/* ===== which queues ===== */

/* "0-3,8": how many that is; 0 if it cannot be read. */
static unsigned possible_cpus(void)
{
	_cleanup_fclose_ FILE *f = fopen(POSSIBLE, "re");
	unsigned first, last, n = 0;

	while (f && fscanf(f, "%u", &first) == 1) {
		last = first;
		if (fscanf(f, "-%u", &last) < 0)
			last = first;
		n += last - first + 1;
		if (fgetc(f) != ',')
			break;
	}
	return n;
}

const char *uring_lacking(void)
{
	_cleanup_fclose_ FILE *f = fopen(PARAMETER, "re");
	unsigned cpus = possible_cpus();

	if (!f)
		return "the kernel has no FUSE over io_uring (needs Linux 6.14)";
	if (fgetc(f) != 'Y')
		return "the parameter enable_uring of the module fuse is N";
	if (!cpus || cpus > SLOTS_MAX / ENTRIES_MIN)
		return "the number of possible CPUs";
	return NULL;
}

/* Slots a queue has from the start. */
static unsigned entries(const struct mount *mount)
{
	return MAX(mount->options.memory / possible_cpus(), ENTRIES_MIN);
}

unsigned uring_slots(const struct mount *mount)
{
	unsigned queues = (possible_cpus() + mount->nworkers - 1) / mount->nworkers;

	return MAX(entries(mount) * queues + SLOTS_DEVICE,
		   MIN(SLOTS_MAX / mount->nworkers, SLOTS_MAX_WORKER));
}

/* The one that runs on this CPU; the others' are shared out. */
static unsigned worker_for(const struct mount *mount, unsigned cpu)
{
	for (unsigned i = 0; i < mount->nworkers; i++)
		if (worker_cpu(i) == (int)cpu)
			return i;
	return cpu % mount->nworkers;
}

int uring_init(struct worker *worker)
{
	unsigned cpus = possible_cpus();
	struct uring_door *door = &worker->uring;

	door->entries = entries(worker->mount);
	door->queues = calloc(cpus, sizeof(*door->queues));
	if (!door->queues)
		return -ENOMEM;
	for (unsigned cpu = 0; cpu < cpus; cpu++)
		if (worker_for(worker->mount, cpu) == worker->lane->index)
			door->queues[door->nqueues++].cpu = cpu;
	return 0;
}

void uring_fini(struct worker *worker)
{
	free(worker->uring.queues);
}

/* ===== commands ===== */

/* The page before a slot's payload. It may be written over once the request has begun. */
struct head {
	struct fuse_uring_req_header headers;
	struct iovec iov[2]; /* where things are, for the registration */
};

static struct head *head(const struct request *request)
{
	return (void *)(request->io.slot->payload - SLOT_PAGE);
}

static struct io_uring_sqe *prepare(struct request *request, unsigned op)
{
	struct io_uring_sqe *sqe = lane_sqe(request->worker->lane, &request->fetch_op);
	struct fuse_uring_cmd_req *command = (void *)sqe->cmd;

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, LANE_FILE_DEVICE, NULL, 0, 0);
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->cmd_op = op;
	*command = (struct fuse_uring_cmd_req){
		.commit_id = request->commit_id,
		.qid = request->queue->cpu,
	};
	return sqe;
}

static void fetched(struct lane_op *op, int res);

/* Gives SLOT to the kernel for good. */
static void add_entry(struct worker *worker, struct uring_queue *queue, struct slot *slot)
{
	struct request *request = worker_request(worker, slot);
	struct io_uring_sqe *sqe;
	struct head *at;

	request->queue = queue;
	request->fetch_op.complete = fetched;
	request->io.slot = slot;
	at = head(request);
	at->iov[0] = (struct iovec){&at->headers, sizeof(at->headers)};
	at->iov[1] = (struct iovec){slot->payload, PAYLOAD_MAX};
	sqe = prepare(request, FUSE_IO_URING_CMD_REGISTER);
	sqe->addr = (uintptr_t)at->iov;
	sqe->len = ARRAY_SIZE(at->iov);
	queue->entries++;
}

/* The kernel takes the slot that came last first: those that are resident and registered with our
 * ring shall be it. */
void uring_open(struct worker *worker)
{
	struct pool *pool = &worker->lane->pool;

	for (unsigned i = worker->uring.nqueues; i-- > 0;) {
		struct uring_queue *queue = &worker->uring.queues[i];
		unsigned resident = i == 0 ? pool->resident - 1 : 0;

		for (unsigned n = worker->uring.entries - resident; n > 0; n--)
			add_entry(worker, queue, pool_get_burst(pool));
		for (; resident > 0; resident--)
			add_entry(worker, queue, pool_get(pool));
	}
}

/* ===== receive ===== */

/* The slot stays unused from now on. */
static void lost(const struct request *request, int error)
{
	/* The connection has ended, or we are about to. */
	if (error == -ENOTCONN || error == -ECONNABORTED || error == -ECANCELED)
		return;
	if (request->unique)
		log_err("io_uring: answer to request %lu: %s", (unsigned long)request->unique,
			strerror(-error));
	else
		log_err("io_uring: queue %u: %s", request->queue->cpu, strerror(-error));
}

static void fetched(struct lane_op *op, int res)
{
	struct request *request = container_of(op, struct request, fetch_op);
	struct fuse_uring_req_header *from = &head(request)->headers;
	struct fuse_in_header *header = (void *)from->in_out;
	uint32_t data = from->ring_ent_in_out.payload_sz;
	struct message message = {
		.header = header,
		.arg = from->op_in,
		.arg_length = header->len - sizeof(*header) - data,
		.data_length = data,
	};

	if (res < 0) {
		lost(request, res);
		return;
	}
	request->commit_id = from->ring_ent_in_out.commit_id;
	request->unique = header->unique;
	if (data > PAYLOAD_MAX || message.arg_length > sizeof(from->op_in))
		uring_reply(request, -EIO, NULL, 0);
	else
		worker_decode(request->worker, request->io.slot, &message);
}

void uring_set_aside(struct request *request)
{
	struct worker *worker = request->worker;
	struct uring_queue *queue = request->queue;
	struct slot *slot = NULL;

	request->aside = true;
	queue->aside++;
	if (queue->entries - queue->aside < worker->uring.entries &&
	    worker->lane->pool.busy + SLOTS_DEVICE < worker->lane->pool.total)
		slot = pool_get_burst(&worker->lane->pool);
	if (slot)
		add_entry(worker, queue, slot);
}

/* ===== reply ===== */

static void fill(struct request *request, int error, const void *data, size_t length)
{
	struct fuse_uring_req_header *to = &head(request)->headers;
	struct fuse_out_header *header = (void *)to->in_out;

	*header = (struct fuse_out_header){
		.len = sizeof(*header) + length,
		.error = error,
		.unique = request->unique,
	};
	to->ring_ent_in_out = (struct fuse_uring_ent_in_out){.payload_sz = length};
	if (length && data != request->io.slot->payload)
		memmove(request->io.slot->payload, data, length);
}

static void commit(struct request *request)
{
	request->queue->aside -= request->aside;
	request->aside = false;
	prepare(request, FUSE_IO_URING_CMD_COMMIT_AND_FETCH);
}

static void commit_posted(struct lane_work *work)
{
	commit(container_of(work, struct request, commit_work));
}

void uring_reply(struct request *request, int error, const void *data, size_t length)
{
	fill(request, error, data, length);
	commit(request);
}

void uring_reply_from(struct request *request, int error, const void *data, size_t length)
{
	fill(request, error, data, length);
	request->commit_work.run = commit_posted;
	lane_post(request->worker->lane, &request->commit_work);
}

/* ===== libfuse ===== */

static int open_session(struct mount *mount, struct fuse_session **session)
{
	_cleanup_close_ int fd = memfd_create("bouncefs-answer", MFD_CLOEXEC);

	if (fd < 0 || fcntl(fd, F_SETFL, O_APPEND) < 0)
		return -errno;
	*session = ops_session(mount, fd);
	if (!*session)
		return -EIO;
	return ftruncate(steal_fd(&fd), 0) < 0 ? -errno : 0; /* its answer to FUSE_INIT */
}

int uring_meta_init(struct mount *mount)
{
	int rc = 0;

	for (unsigned i = 0; i < META_THREADS && rc == 0; i++)
		rc = open_session(mount, &mount->meta.sessions[i]);
	return rc;
}

void uring_meta_fini(struct mount *mount)
{
	for (unsigned i = 0; i < META_THREADS; i++)
		if (mount->meta.sessions[i])
			fuse_session_destroy(mount->meta.sessions[i]);
}

void uring_meta_process(struct mount *mount, unsigned thread, struct meta_message *message)
{
	struct fuse_session *session = mount->meta.sessions[thread];
	struct fuse_buf buf = {.mem = message->bytes, .size = message->length};
	struct request *request = message->request;
	struct fuse_out_header header;
	char *payload = request->io.slot->payload;
	int fd = fuse_session_fd(session);
	ssize_t length;

	fuse_session_process_buf(session, &buf);
	/* Straight to where the kernel takes it from. */
	length = pread(fd, payload, PAYLOAD_MAX, sizeof(header));
	if (length < 0 || pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
	    header.unique != request->unique || header.len != sizeof(header) + length) {
		log_err("io_uring: no answer to request %lu", (unsigned long)request->unique);
		header.error = -EIO;
		length = 0;
	}
	if (ftruncate(fd, 0) < 0)
		log_err("ftruncate: %s", strerror(errno));
	uring_reply_from(request, header.error, payload, length);
}
