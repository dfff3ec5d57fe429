// SPDX-License-Identifier: GPL-2.0-or-later
#include "lane.h"

#include <errno.h>
#include <semaphore.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>

#include "policy/log.h"
#include "policy/util.h"

/* How long a burst of requests may pause before its memory is given back: between one and two. */
static struct __kernel_timespec trim_interval = {.tv_sec = 1};

static void arm_wake(struct lane *lane)
{
	struct io_uring_sqe *sqe = lane_sqe(lane, &lane->wake_op);

	io_uring_prep_read(sqe, LANE_FILE_WAKE, &lane->wake_count, sizeof(lane->wake_count), 0);
	sqe->flags |= IOSQE_FIXED_FILE;
}

static void wake_complete(struct lane_op *op, int res)
{
	struct lane *lane = container_of(op, struct lane, wake_op);

	if (res < 0 && res != -EAGAIN && res != -EINTR)
		log_err("lane %u: wake-up: %s", lane->index, strerror(-res));
	arm_wake(lane);
	work_run_all(&lane->inbox);
}

void lane_post(struct lane *lane, struct lane_work *work)
{
	uint64_t one = 1;

	/* Only who finds the inbox empty has to ring. An eventfd's write fails only at overflow. */
	if (work_push(&lane->inbox, work) && write(lane->wake_fd, &one, sizeof(one)) < 0)
		log_err("lane %u: eventfd: %s", lane->index, strerror(errno));
}

static void arm_tick(struct lane *lane)
{
	struct io_uring_sqe *sqe = lane_sqe(lane, &lane->tick_op);

	io_uring_prep_timeout(sqe, &trim_interval, 0, 0);
	lane->ticking = true;
}

static void errand_done(struct lane_work *work)
{
	struct lane *lane = container_of(work, struct lane, errand_work);
	struct slot *slots = lane->errand;

	lane->errand = NULL;
	lane->starved = lane->fetching && !slots->populated;
	pool_bring(&lane->pool, slots);
}

/* In the helper's thread. */
static void run_errand(struct lane_work *work)
{
	struct lane *lane = container_of(work, struct lane, errand_work);

	for (struct slot *slot = lane->errand; slot; slot = slot->next)
		lane->fetching ? slot_populate(slot) : slot_empty(slot);
	work->run = errand_done;
	lane_post(lane, work);
}

static void send_errand(struct lane *lane, struct slot *slots, bool fetching)
{
	if (!slots)
		return;
	lane->errand = slots;
	lane->fetching = fetching;
	lane->errand_work.run = run_errand;
	helper_post(lane->helper, &lane->errand_work);
}

static void tick_complete(struct lane_op *op, int res)
{
	struct lane *lane = container_of(op, struct lane, tick_op);

	(void)res;
	lane->ticking = lane->starved = false;
	if (!lane->errand)
		send_errand(lane, pool_take_idle(&lane->pool), false);
}

/* More is submitted when that is full. */
#define SUBMISSIONS 64

static int ring_init(struct lane *lane, unsigned slots, bool commands)
{
	struct io_uring_params params = {
		/* Completions are then handled where we wait for them, not by interrupting the
		 * thread. */
		.flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED |
			 IORING_SETUP_CQSIZE | (commands ? IORING_SETUP_SQE128 : 0),
		/* A slot has at most one operation under way. */
		.cq_entries = SUBMISSIONS + slots,
	};

	return io_uring_queue_init_params(SUBMISSIONS, &lane->ring, &params);
}

/* What the ring may be asked to do from now on, whoever asks. seccomp does not see it: a ring opens
 * files where openat(2) is forbidden. */
static int restrict_ring(struct lane *lane, bool commands)
{
	static const uint8_t registers[] = {IORING_REGISTER_FILES_UPDATE,
					    IORING_REGISTER_ENABLE_RINGS, IORING_REGISTER_RING_FDS};
	static const uint8_t operations[] = {
		IORING_OP_READ,	   IORING_OP_READ_FIXED,
		IORING_OP_WRITE,   IORING_OP_WRITE_FIXED,
		IORING_OP_FSYNC,   IORING_OP_FALLOCATE,
		IORING_OP_FADVISE, IORING_OP_POLL_ADD,
		IORING_OP_TIMEOUT, IORING_OP_SYNC_FILE_RANGE,
	};
	struct io_uring_restriction r[ARRAY_SIZE(registers) + ARRAY_SIZE(operations) + 2] = {0};
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(registers); i++)
		r[n++] = (struct io_uring_restriction){.opcode = IORING_RESTRICTION_REGISTER_OP,
						       .register_op = registers[i]};
	for (unsigned i = 0; i < ARRAY_SIZE(operations); i++)
		r[n++] = (struct io_uring_restriction){.opcode = IORING_RESTRICTION_SQE_OP,
						       .sqe_op = operations[i]};
	if (commands)
		r[n++] = (struct io_uring_restriction){.opcode = IORING_RESTRICTION_SQE_OP,
						       .sqe_op = IORING_OP_URING_CMD};
	r[n++] = (struct io_uring_restriction){.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
					       .sqe_flags = IOSQE_FIXED_FILE | IOSQE_ASYNC};
	/* Not exported by liburing 2.3, like io_uring_enable_rings(). */
	return syscall(SYS_io_uring_register, lane->ring.ring_fd, IORING_REGISTER_RESTRICTIONS, r,
		       n) < 0
		       ? -errno
		       : 0;
}

static int register_all(struct lane *lane, unsigned files)
{
	struct iovec iov[64];
	int rc;

	rc = io_uring_register_files_sparse(&lane->ring, files);
	if (rc < 0)
		return rc;
	rc = lane_set_file(lane, LANE_FILE_WAKE, lane->wake_fd);
	if (rc < 0)
		return rc;
	if (lane->pool.resident <= ARRAY_SIZE(iov)) {
		pool_buffers(&lane->pool, iov);
		rc = io_uring_register_buffers(&lane->ring, iov, lane->pool.resident);
		lane->buffers_registered = rc == 0;
		if (rc < 0)
			log_info("lane %u: buffers not registered: %s", lane->index, strerror(-rc));
	}
	return 0;
}

int lane_init(struct lane *lane, unsigned index, unsigned resident, unsigned slots, unsigned files,
	      bool commands)
{
	int rc;

	*lane = (struct lane){
		.index = index,
		.wake_op.complete = wake_complete,
		.tick_op.complete = tick_complete,
	};
	lane->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (lane->wake_fd < 0)
		return -errno;
	rc = ring_init(lane, slots, commands);
	if (rc < 0)
		goto close_wake;
	rc = pool_init(&lane->pool, resident, slots);
	if (rc < 0)
		goto exit_ring;
	rc = register_all(lane, files);
	if (rc == 0)
		rc = restrict_ring(lane, commands);
	if (rc < 0)
		goto fini_pool;
	return 0;

fini_pool:
	pool_fini(&lane->pool);
exit_ring:
	io_uring_queue_exit(&lane->ring);
close_wake:
	close(lane->wake_fd);
	return rc;
}

/* Once a turn of the loop: latencies are known to within one turn, for one look at the clock a
 * batch and not two a request. */
static void look_at_clock(struct lane *lane)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	atomic_store_explicit(&lane->now, now.tv_sec * 1000000000ull + now.tv_nsec,
			      memory_order_relaxed);
}

void lane_attend(struct lane *lane)
{
	lane->attended = true;
}

int lane_enable(struct lane *lane)
{
	look_at_clock(lane);
	/* io_uring_enable_rings() is declared but not exported by liburing 2.3. */
	if (syscall(SYS_io_uring_register, lane->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL,
		    0) < 0)
		return -errno;
	io_uring_register_ring_fd(&lane->ring);
	arm_wake(lane);
	return 0;
}

void lane_disable(struct lane *lane)
{
	int none = -1;

	lane->attended = false;
	work_run_all(&lane->inbox); /* what was posted before it was false */
	/* A ring takes its time to go, and the pool may be unmounted now. */
	io_uring_register_files_update(&lane->ring, LANE_FILE_POOL, &none, 1);
}

void lane_fini(struct lane *lane)
{
	io_uring_queue_exit(&lane->ring);
	pool_fini(&lane->pool);
	close(lane->wake_fd);
}

struct io_uring_sqe *lane_sqe(struct lane *lane, struct lane_op *op)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&lane->ring);

	while (!sqe) {
		io_uring_submit(&lane->ring);
		sqe = io_uring_get_sqe(&lane->ring);
	}
	io_uring_sqe_set_data(sqe, op);
	return sqe;
}

void lane_submit(struct lane *lane)
{
	io_uring_submit(&lane->ring); /* what fails now is tried again by lane_run_once() */
}

int lane_run_once(struct lane *lane)
{
	struct io_uring_cqe *cqe;
	unsigned head, n = 0;
	int rc;

	if (lane->pool.wanting && lane->helper && !lane->errand && !lane->starved)
		send_errand(lane, pool_take_wanted(&lane->pool), true);
	if ((lane->pool.free_burst || lane->starved) && !lane->ticking)
		arm_tick(lane);
	rc = io_uring_submit_and_wait(&lane->ring, 1);
	look_at_clock(lane);
	/* EBUSY and EAGAIN: the kernel wants completions to be reaped first. */
	if (rc < 0 && rc != -EINTR && rc != -EBUSY && rc != -EAGAIN)
		return rc;
	io_uring_for_each_cqe (&lane->ring, head, cqe) {
		struct lane_op *op = io_uring_cqe_get_data(cqe);

		op->complete(op, cqe->res);
		n++;
	}
	io_uring_cq_advance(&lane->ring, n);
	return 0;
}

struct file_update {
	struct lane_work work;
	struct lane *lane;
	unsigned index;
	int fd;
	int result;
	sem_t done;
};

static void update_file(struct lane_work *work)
{
	struct file_update *update = container_of(work, struct file_update, work);

	update->result =
		io_uring_register_files_update(&update->lane->ring, update->index, &update->fd, 1);
	sem_post(&update->done);
}

int lane_set_file(struct lane *lane, unsigned index, int fd)
{
	struct file_update update = {
		.work.run = update_file,
		.lane = lane,
		.index = index,
		.fd = fd,
	};

	sem_init(&update.done, 0, 0);
	if (lane->attended)
		lane_post(lane, &update.work);
	else
		update_file(&update.work);
	while (sem_wait(&update.done) < 0 && errno == EINTR)
		;
	sem_destroy(&update.done);
	return MIN(update.result, 0);
}
