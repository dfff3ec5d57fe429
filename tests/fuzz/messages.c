// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Messages of the hot path: READ, WRITE, FSYNC and INTERRUPT as a kernel gone mad might send them,
 * decoded, executed on a real file and answered into a socket in the device's place. The first
 * byte chooses the request, the second which open file it is about; the rest is its body.
 */
#include <fcntl.h>
#include <sys/socket.h>

#include "fuse/worker.c"
#include "fuzz.h"

static struct mount mount;
static struct lane lane;
static struct worker worker = {.lane = &lane, .mount = &mount};
static struct file *file;
static int answers, backing;

#define SLOTS 4
#define FILE_SIZE (2 * PAYLOAD_MAX) /* more than a request may ask for */

static void open_file(void)
{
	int root_fd = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct node *node;
	struct stat st;
	uint64_t id;

	backing = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	expect(backing >= 0 && ftruncate(backing, FILE_SIZE) == 0);
	expect(state_create(&mount.state) == 0);
	expect(node_table_init(&mount.nodes, &mount.state, root_fd) == 0);
	mount.root_fd = root_fd;
	pthread_rwlock_init(&mount.policy.lock, NULL);
	takeover_image_keeper(&mount, &mount.image_keeper);
	expect(image_table_init(&mount.images, SLOTS, mount.state.images, &mount.image_keeper,
				&lane, 1) == 0);
	expect(node_of_fd(&mount.nodes, backing, &st, &node) == 0);
	expect(file_open(&mount, node, O_RDWR, 2, &id) == 0);
	file = file_get(&mount.state, id);
}

static void make_worker(void)
{
	int pair[2], room = 4 * PAYLOAD_MAX;

	log_level = -1;
	expect(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	expect(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) == 0);
	worker.device_fd = pair[0];
	answers = pair[1];
	expect(lane_init(&lane, 0, 1, SLOTS, LANE_FILE_IMAGES + 2 * SLOTS) == 0);
	open_file();
	expect(lane_enable(&lane) == 0);
	worker.requests = calloc(SLOTS, sizeof(*worker.requests));
	expect(worker.requests);
	for (unsigned i = 0; i < SLOTS; i++)
		worker.requests[i] = (struct request){
			.worker = &worker,
			.io.lane = &lane,
			.executing = &mount.state.executing[i],
		};
}

/* One answer, to this message, with an error that there is. */
static void check_answer(const struct fuse_in_header *in)
{
	static char buf[sizeof(struct fuse_out_header) + PAYLOAD_MAX];
	const struct fuse_out_header *out = (void *)buf;
	ssize_t n = recv(answers, buf, sizeof(buf), MSG_DONTWAIT);

	expect(n >= (ssize_t)sizeof(*out) && out->len == n);
	expect(out->unique == in->unique);
	expect(out->error <= 0 && out->error > -512);
	expect(!out->error || n == (ssize_t)sizeof(*out));
	expect(recv(answers, buf, sizeof(buf), MSG_DONTWAIT) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t opcodes[] = {FUSE_READ, FUSE_WRITE, FUSE_FSYNC, FUSE_INTERRUPT};
	struct fuse_in_header header;
	struct slot *slot;
	char *message;
	uint64_t fh;

	if (!file)
		make_worker();
	if (size < 2 || size - 2 > PAYLOAD_MAX)
		return 0;
	slot = pool_get(&lane.pool);
	message = slot->payload - WRITE_HEADERS;
	header = (struct fuse_in_header){
		.len = sizeof(header) + size - 2,
		.opcode = opcodes[data[0] % ARRAY_SIZE(opcodes)],
		.unique = 4,
		.nodeid = file->node,
	};
	memset(message, 0, WRITE_HEADERS);
	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), data + 2, size - 2);
	fh = atomic_load(&file->id);
	/* Each of these requests has the fh first. Most shall come past its check. */
	if (data[1] & 7 && size - 2 >= sizeof(fh))
		memcpy(message + sizeof(header), &fh, sizeof(fh));
	if (!decode(&worker, slot, header.len))
		pool_put(&lane.pool, slot);
	while (lane.pool.busy)
		expect(lane_run_once(&lane) == 0);
	check_answer(&header);
	expect(ftruncate(backing, FILE_SIZE) == 0);
	return 0;
}
