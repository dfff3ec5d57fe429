// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * All requests, as a kernel gone mad might send them: a series of messages (struct step, then its
 * bytes) that go through the worker's decoder, the metadata threads' dispatcher and libfuse to a
 * pool in memory, and are answered into a socket in the device's place. In the end everything is
 * closed and forgotten, and nothing may be left over.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "fuse/meta.c"
#include "fuse/transport-dev.c"
#include "fuse/takeover.h"
#include "fuzz.h"

#define POOL "/mnt/pool" /* beside /mnt/outside, where nobody has a business */
#define SLOTS 4
#define KNOWN 8 /* nodes, files and directories that the messages are about */
#define STEPS_MAX 32

enum {
	STEP_WILD_HANDLE = 1, /* handles stay what the input says */
	STEP_UNTERMINATED = 2,
	STEP_USER = 4,
	STEP_RESENT = 8,
};

struct step {
	uint8_t opcode;
	uint8_t node, handle; /* which of the known ones */
	uint8_t flags;
	uint16_t length; /* of the bytes that follow; times 17 for a WRITE */
};

static struct mount served;
static struct lane lane;
static struct worker worker = {.lane = &lane, .mount = &served};
static int answers, outside, first_free_fd;
static struct timespec outside_changed;

static uint64_t nodes[KNOWN], files[KNOWN], dirs[KNOWN];
static unsigned nnodes, nfiles, ndirs;

/* ===== the daemon's parts, without threads and kernel ===== */

/* Without devices: whoever opens one by an accident of the fuzzer's touches nothing. */
static void make_pool(void)
{
	expect(unshare(CLONE_NEWNS) == 0);
	expect(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	expect(mount("fuzz", "/mnt", "tmpfs", MS_NODEV | MS_NOSUID, "size=64m,nr_inodes=4096") ==
	       0);
	expect(mkdir(POOL, 0777) == 0 && mkdir("/mnt/outside", 0700) == 0);
	outside = open("/mnt", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void make_requests(void)
{
	worker.requests = calloc(SLOTS, sizeof(*worker.requests));
	expect(worker.requests);
	for (unsigned i = 0; i < SLOTS; i++)
		worker.requests[i] = (struct request){
			.worker = &worker,
			.io.lane = &lane,
			.executing = &served.state.executing[i],
		};
}

static void make_daemon(void)
{
	int pair[2], room = 4 * PAYLOAD_MAX;
	struct stat st;

	make_pool();
	expect(log_open("/dev/null") == 0);
	umask(0);
	expect(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	expect(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) == 0);
	worker.dev.fd = served.device_fd = pair[0];
	answers = pair[1];
	served.options = (struct options){.images = "*.img", .settings = settings_default};
	served.options.source = served.options.mountpoint = POOL;
	served.root_fd = open(POOL, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	served.protocol.in = (struct fuse_init_in){.major = 7, .minor = 38, .flags = ~0u};
	served.protocol.out =
		(struct fuse_init_out){.major = 7, .minor = 38, .max_write = PAYLOAD_MAX};
	expect(state_create(&served.state) == 0);
	expect(node_table_init(&served.nodes, &served.state, served.root_fd) == 0);
	pthread_rwlock_init(&served.policy.lock, NULL);
	sem_init(&served.policy.wanted, 0, 0);
	takeover_image_keeper(&served, &served.image_keeper);
	/* No file has checksums: for want of a pool's root they cannot be stored. */
	served.sums_config = (struct sums_config){-1, &served, policy_image_name};
	expect(sums_init(&served.sums, &served.sums_config, sums_memory(SLOTS)) == 0);
	expect(lane_init(&lane, 0, 1, SLOTS, LANE_FILE_IMAGES + 2 * KNOWN, false) == 0);
	expect(image_table_init(&served.images, KNOWN, served.state.images, &served.image_keeper,
				served.sums, &lane, 1) == 0);
	expect(lane_enable(&lane) == 0);
	make_requests();
	pthread_mutex_init(&served.meta.lock, NULL);
	served.meta.last = &served.meta.first;
	served.meta.stopping = true; /* take() does not wait */
	worker.session = ops_session(&served, worker.dev.fd);
	expect(worker.session);
	while (recv(answers, &st, sizeof(st), MSG_DONTWAIT) > 0)
		; /* libfuse's word to the kernel that it has started */
	expect(fstat(outside, &st) == 0);
	outside_changed = st.st_ctim;
}

/* What a worker and a metadata thread do with a message. */
static void serve(const struct fuse_in_header *header, const void *body)
{
	struct slot *slot = pool_get(&lane.pool);
	char *message = slot->payload - WRITE_HEADERS;
	struct meta_message *meta;

	memset(message, 0, WRITE_HEADERS);
	memcpy(message, header, sizeof(*header));
	memcpy(message + sizeof(*header), body, header->len - sizeof(*header));
	if (!decode(&worker, slot, header->len))
		pool_put(&lane.pool, slot);
	while (lane.pool.busy)
		expect(lane_run_once(&lane) == 0);
	while ((meta = take(&served.meta, false))) {
		current_unique = ((struct fuse_in_header *)meta->bytes)->unique;
		process(&served, 0, meta);
		served.meta.busy = 0;
		free(meta);
	}
}

/* ===== what is known from answers ===== */

static void know(uint64_t *list, unsigned *n, uint64_t what)
{
	list[*n < KNOWN ? (*n)++ : what % KNOWN] = what;
}

/* The look-ups of READDIRPLUS count, too, but who they are is of no use here: all nodes are
 * forgotten in the end. */
static void learn(unsigned opcode, const char *body, size_t length)
{
	const struct fuse_entry_out *entry = (const void *)body;

	switch (opcode) {
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		expect(length >= sizeof(*entry));
		know(nodes, &nnodes, entry->nodeid);
		if (length >= sizeof(struct entry_open_out))
			know(files, &nfiles, ((const struct entry_open_out *)body)->open.fh);
		break;
	case FUSE_OPEN:
		know(files, &nfiles, ((const struct fuse_open_out *)body)->fh);
		break;
	case FUSE_OPENDIR:
		/* beyond these none is opened: an unknown one could not be closed */
		dirs[ndirs++] = ((const struct fuse_open_out *)body)->fh;
		break;
	}
}

/* One answer, to this message, with an error that there is; none to FORGET. */
static void check_answer(const struct fuse_in_header *in)
{
	static char buf[sizeof(struct fuse_out_header) + PAYLOAD_MAX] __attribute__((aligned(8)));
	const struct fuse_out_header *out = (void *)buf;
	ssize_t n = recv(answers, buf, sizeof(buf), MSG_DONTWAIT);

	if (in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET) {
		expect(n < 0);
		return;
	}
	expect(n >= (ssize_t)sizeof(*out) && out->len == n);
	expect(out->unique == in->unique);
	expect(out->error <= 0 && out->error > -512);
	expect(!out->error || n == (ssize_t)sizeof(*out));
	expect(recv(answers, &n, sizeof(n), MSG_DONTWAIT) < 0);
	if (!out->error)
		learn(in->opcode, buf + sizeof(*out), out->len - sizeof(*out));
}

/* ===== a message ===== */

/* Where a request's body has a handle: its offset, or -1. */
static int handle_offset(unsigned opcode)
{
	switch (opcode) {
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		return 8;
	case FUSE_READ:
	case FUSE_WRITE:
	case FUSE_FSYNC:
	case FUSE_RELEASE:
	case FUSE_FALLOCATE:
	case FUSE_LSEEK:
	case FUSE_IOCTL:
	case FUSE_COPY_FILE_RANGE:
	case FUSE_COPY_FILE_RANGE_64:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_RELEASEDIR:
	case FUSE_FSYNCDIR:
	case FUSE_LINK:
	case FUSE_RENAME:
	case FUSE_RENAME2:
		return 0;
	default:
		return -1;
	}
}

static uint64_t handle_of(unsigned opcode, unsigned which)
{
	switch (opcode) {
	case FUSE_LINK:
	case FUSE_RENAME:
	case FUSE_RENAME2:
		return nodes[which % nnodes];
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_RELEASEDIR:
	case FUSE_FSYNCDIR:
		return dirs[which % KNOWN];
	default:
		return files[which % KNOWN];
	}
}

static void put(char *body, size_t length, size_t offset, const void *value, size_t size)
{
	if (length >= offset + size)
		memcpy(body + offset, value, size);
}

/* Most messages shall come past the first checks. */
static void correct(const struct step *step, unsigned opcode, char *body, size_t length)
{
	uint64_t handle = handle_of(opcode, step->handle);
	int at = handle_offset(opcode);
	uint32_t rest = length - sizeof(struct fuse_write_in), mode = 0;

	if (!(step->flags & STEP_WILD_HANDLE)) {
		if (at >= 0)
			put(body, length, at, &handle, sizeof(handle));
		if (opcode == FUSE_COPY_FILE_RANGE || opcode == FUSE_COPY_FILE_RANGE_64) {
			put(body, length, 24, &handle, sizeof(handle));
			put(body, length, 16, &nodes[step->handle % nnodes], sizeof(handle));
		}
		if (opcode == FUSE_WRITE)
			put(body, length, 16, &rest, sizeof(rest));
		/* and so it is known no more */
		if (opcode == FUSE_RELEASEDIR && length >= sizeof(struct fuse_release_in))
			dirs[step->handle % KNOWN] = 0;
	}
	if (!(step->flags & STEP_UNTERMINATED) && length)
		body[length - 1] = 0;
	/* A FIFO's OPEN, which no kernel sends us, would wait for somebody to come. */
	if (opcode == FUSE_MKNOD && length >= sizeof(mode)) {
		memcpy(&mode, body, sizeof(mode));
		if (S_ISFIFO(mode))
			memcpy(body, &(uint32_t){S_IFREG | 0644}, sizeof(mode));
	}
}

static bool forbidden(const struct step *step, unsigned opcode)
{
	/* An address that was never given out is the kernel's own fault; those known may be gone.
	 */
	bool dir = opcode == FUSE_READDIR || opcode == FUSE_READDIRPLUS ||
		   opcode == FUSE_RELEASEDIR || opcode == FUSE_FSYNCDIR;

	return (dir && step->flags & STEP_WILD_HANDLE) ||
	       (opcode == FUSE_OPENDIR && ndirs == KNOWN);
}

/* Takes one step off the input. False: there is no more. */
static bool take_step(const uint8_t **data, size_t *size, uint64_t unique)
{
	static char body[PAYLOAD_MAX] __attribute__((aligned(8)));
	struct fuse_in_header header = {.unique = unique};
	struct step step;
	size_t length, given;

	if (*size < sizeof(step))
		return false;
	memcpy(&step, *data, sizeof(step));
	*data += sizeof(step);
	*size -= sizeof(step);
	given = MIN(step.length, *size);
	header.opcode = step.opcode % 64;
	length = header.opcode == FUSE_WRITE ? given * 17 : given;
	if (length > sizeof(body))
		length = sizeof(body);
	memset(body, 'w', length);
	memcpy(body, *data, MIN(given, length));
	*data += given;
	*size -= given;
	if (forbidden(&step, header.opcode))
		return true;
	correct(&step, header.opcode, body, length);
	header.len = sizeof(header) + length;
	header.nodeid = nodes[step.node % nnodes];
	header.uid = header.gid = step.flags & STEP_USER ? 1000 : 0;
	if (step.flags & STEP_RESENT)
		header.unique |= FUSE_UNIQUE_RESEND;
	serve(&header, body);
	check_answer(&header);
	return true;
}

/* ===== the end ===== */

static void empty(int dir_fd)
{
	DIR *dir = fdopendir(dir_fd);
	struct dirent *e;

	ioctl(dir_fd, FS_IOC_SETFLAGS, &(int){0}); /* chattr: nothing in it could be removed */
	while ((e = readdir(dir))) {
		int fd;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		fd = openat(dir_fd, e->d_name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0) {
			ioctl(fd, FS_IOC_SETFLAGS, &(int){0});
			close(fd);
		}
		if (unlinkat(dir_fd, e->d_name, 0) == 0)
			continue;
		fd = openat(dir_fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		expect(fd >= 0);
		empty(fd);
		expect(unlinkat(dir_fd, e->d_name, AT_REMOVEDIR) == 0);
	}
	closedir(dir);
}

static void close_all(void)
{
	struct fuse_in_header header = {.opcode = FUSE_RELEASEDIR, .unique = 2};
	struct fuse_release_in in = {0};

	header.len = sizeof(header) + sizeof(in);
	for (unsigned i = 0; i < ndirs; i++) {
		in.fh = dirs[i];
		serve(&header, &in);
		check_answer(&header);
	}
	for (unsigned i = 0; atomic_load(&served.open_files); i++) {
		expect(i < FILES_MAX);
		file_close(&served, atomic_load(&served.state.files[i].id));
	}
	for (uint64_t i = 1; i < atomic_load(&served.state.header->nodes_used); i++)
		node_forget(&served.nodes, atomic_load(&served.state.nodes[i].id), UINT64_MAX);
	served.file_rover = 0;
}

static int lowest_free_fd(void)
{
	int fd = fcntl(0, F_DUPFD, 0);

	close(fd);
	return fd;
}

static void check_end(void)
{
	struct stat st;

	for (unsigned i = 0; i < KNOWN; i++)
		expect(!served.images.images[i]);
	empty(fcntl(served.root_fd, F_DUPFD_CLOEXEC, 0));
	lseek(served.root_fd, 0, SEEK_SET);
	expect(fstat(outside, &st) == 0 &&
	       !memcmp(&st.st_ctim, &outside_changed, sizeof(st.st_ctim)));
	expect(lowest_free_fd() == first_free_fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!worker.session)
		make_daemon();
	first_free_fd = lowest_free_fd();
	log_level = LOG_LEVEL_TRACE;
	nodes[0] = FUSE_ROOT_ID;
	nnodes = 1;
	nfiles = ndirs = 0;
	memset(files, 0, sizeof(files));
	memset(dirs, 0, sizeof(dirs));
	for (unsigned i = 0; i < STEPS_MAX && take_step(&data, &size, 4 + 2 * i); i++)
		;
	close_all();
	check_end();
	return 0;
}
