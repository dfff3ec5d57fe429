// SPDX-License-Identifier: GPL-2.0-or-later
/* A lane: a real ring that one thread runs, and what the others may ask of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "cache/lane.h"
#include "policy/util.h"

#define FILES 8

struct runner {
	struct lane lane;
	pthread_t thread;
	bool stop;
	int rc;
	struct lane_work stop_work;
};

static struct runner runner;
static struct helper helper;

static void stop(struct lane_work *work)
{
	container_of(work, struct runner, stop_work)->stop = true;
}

static void *run(void *arg)
{
	struct runner *r = arg;

	r->rc = lane_enable(&r->lane);
	while (r->rc == 0 && !r->stop)
		r->rc = lane_run_once(&r->lane);
	lane_disable(&r->lane);
	return NULL;
}

static int setup(void **state)
{
	(void)state;
	runner = (struct runner){.stop_work.run = stop};
	if (lane_init(&runner.lane, 0, 2, 4, FILES, false) < 0)
		return -1;
	runner.lane.helper = &helper;
	if (helper_start(&helper) < 0)
		return -1;
	lane_attend(&runner.lane);
	return pthread_create(&runner.thread, NULL, run, &runner);
}

static int teardown(void **state)
{
	(void)state;
	lane_post(&runner.lane, &runner.stop_work);
	pthread_join(runner.thread, NULL);
	helper_stop(&helper);
	lane_fini(&runner.lane);
	return runner.rc;
}

/* ===== posting ===== */

#define POSTERS 4
#define POSTS 2000

struct post {
	struct lane_work work;
	unsigned poster, number;
};

/* Only the lane's thread touches these: the thread sanitizer sees if that is not so. */
static unsigned last_number[POSTERS], out_of_order, posts_run;
static sem_t all_run;

static void run_post(struct lane_work *work)
{
	struct post *p = container_of(work, struct post, work);

	if (p->number != ++last_number[p->poster])
		out_of_order++;
	if (++posts_run == POSTERS * POSTS)
		sem_post(&all_run);
}

static void *post_many(void *arg)
{
	struct post *posts = arg;

	for (unsigned i = 0; i < POSTS; i++)
		lane_post(&runner.lane, &posts[i].work);
	return NULL;
}

/* Nothing is lost, and what one thread posts runs in its order. */
static void test_post(void **state)
{
	static struct post posts[POSTERS][POSTS];
	pthread_t threads[POSTERS];

	(void)state;
	sem_init(&all_run, 0, 0);
	for (unsigned i = 0; i < POSTERS; i++) {
		for (unsigned j = 0; j < POSTS; j++)
			posts[i][j] = (struct post){{.run = run_post}, i, j + 1};
		assert_int_equal(pthread_create(&threads[i], NULL, post_many, posts[i]), 0);
	}
	for (unsigned i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	while (sem_wait(&all_run) < 0)
		;
	assert_int_equal(posts_run, POSTERS * POSTS);
	assert_int_equal(out_of_order, 0);
}

/* ===== operations ===== */

/* One operation, prepared and completed in the lane's thread. */
struct trial {
	struct lane_work work;
	struct lane_op op;
	void (*prepare)(struct io_uring_sqe *sqe, struct trial *trial);
	int fd, result;
	char buffer[8];
	sem_t done;
};

static void trial_complete(struct lane_op *op, int res)
{
	struct trial *t = container_of(op, struct trial, op);

	t->result = res;
	sem_post(&t->done);
}

static void trial_start(struct lane_work *work)
{
	struct trial *t = container_of(work, struct trial, work);

	t->op.complete = trial_complete;
	t->prepare(lane_sqe(&runner.lane, &t->op), t);
}

static int try(struct trial *t, void (*prepare)(struct io_uring_sqe *, struct trial *))
{
	t->work.run = trial_start;
	t->prepare = prepare;
	sem_init(&t->done, 0, 0);
	lane_post(&runner.lane, &t->work);
	while (sem_wait(&t->done) < 0)
		;
	sem_destroy(&t->done);
	return t->result;
}

static void read_fixed_file(struct io_uring_sqe *sqe, struct trial *t)
{
	io_uring_prep_read(sqe, LANE_FILE_IMAGES, t->buffer, sizeof(t->buffer), 0);
	sqe->flags |= IOSQE_FIXED_FILE;
}

static int memory_file(const char *content)
{
	int fd = memfd_create("lane", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	return fd;
}

static void test_set_file(void **state)
{
	_cleanup_close_ int first = memory_file("first"), second = memory_file("second");
	struct trial t = {0};

	(void)state;
	assert_int_equal(try(&t, read_fixed_file), -EBADF);
	assert_int_equal(lane_set_file(&runner.lane, LANE_FILE_IMAGES, first), 0);
	assert_int_equal(try(&t, read_fixed_file), 5);
	assert_memory_equal(t.buffer, "first", 5);
	assert_int_equal(lane_set_file(&runner.lane, LANE_FILE_IMAGES, second), 0);
	assert_int_equal(try(&t, read_fixed_file), 6);
	assert_memory_equal(t.buffer, "second", 6);
	assert_int_equal(lane_set_file(&runner.lane, LANE_FILE_IMAGES, -1), 0);
	assert_int_equal(try(&t, read_fixed_file), -EBADF);
	assert_int_equal(lane_set_file(&runner.lane, FILES, first), -EINVAL);
	assert_int_equal(lane_set_file(&runner.lane, LANE_FILE_IMAGES, 1 << 20), -EBADF);
}

static void open_file(struct io_uring_sqe *sqe, struct trial *t)
{
	(void)t;
	io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY, 0);
}

static void make_socket(struct io_uring_sqe *sqe, struct trial *t)
{
	(void)t;
	io_uring_prep_rw(IORING_OP_SOCKET, sqe, AF_UNIX, NULL, 0, SOCK_STREAM);
}

static void unlink_file(struct io_uring_sqe *sqe, struct trial *t)
{
	(void)t;
	io_uring_prep_unlinkat(sqe, AT_FDCWD, "/nonexistent", 0);
}

static void accept_connection(struct io_uring_sqe *sqe, struct trial *t)
{
	io_uring_prep_accept(sqe, t->fd, NULL, NULL, 0);
}

static void splice_pages(struct io_uring_sqe *sqe, struct trial *t)
{
	io_uring_prep_splice(sqe, t->fd, 0, t->fd, 0, 8, 0);
}

static void set_xattr(struct io_uring_sqe *sqe, struct trial *t)
{
	io_uring_prep_fsetxattr(sqe, t->fd, "user.x", "1", 0, 1);
}

static void linked_read(struct io_uring_sqe *sqe, struct trial *t)
{
	read_fixed_file(sqe, t);
	sqe->flags |= IOSQE_IO_LINK;
}

/* What seccomp cannot see, the ring itself refuses. */
static void test_restricted(void **state)
{
	static void (*const forbidden[])(struct io_uring_sqe *, struct trial *) = {
		open_file,    make_socket, unlink_file, accept_connection,
		splice_pages, set_xattr,   linked_read,
	};
	_cleanup_close_ int fd = memory_file("here");
	struct trial t = {.fd = fd};

	(void)state;
	assert_int_equal(lane_set_file(&runner.lane, LANE_FILE_IMAGES, fd), 0);
	assert_int_equal(try(&t, read_fixed_file), 4);
	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++)
		assert_int_equal(try(&t, forbidden[i]), -EACCES);
}

/* ===== memory ===== */

/* Takes all slots that there are; the trial's fd tells how many. */
static void burst(struct io_uring_sqe *sqe, struct trial *t)
{
	struct slot *slot[4];

	t->fd = 0;
	while (t->fd < 4 && (slot[t->fd] = pool_get(&runner.lane.pool)))
		t->fd++;
	for (int i = 0; i < t->fd; i++)
		pool_put(&runner.lane.pool, slot[i]);
	read_fixed_file(sqe, t);
}

static void count_burst(struct io_uring_sqe *sqe, struct trial *t)
{
	t->fd = 0;
	for (struct slot *slot = runner.lane.pool.free_burst; slot; slot = slot->next)
		t->fd++;
	read_fixed_file(sqe, t);
}

/* A lane gets memory when it wants it, from its helper, and an idle one gives it back. */
static void test_memory(void **state)
{
	struct trial t = {0};

	(void)state;
	try(&t, burst);
	assert_int_equal(t.fd, 2); /* the resident ones, at once */
	for (unsigned i = 0; i < 300 && t.fd < 4; i++) {
		usleep(10000);
		try(&t, burst);
	}
	assert_int_equal(t.fd, 4);
	for (unsigned i = 0; i < 300 && t.fd; i++) {
		usleep(100000);
		try(&t, count_burst);
	}
	assert_int_equal(t.fd, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_post, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restricted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
