// SPDX-License-Identifier: GPL-2.0-or-later
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "keep.h"
#include "keeper.h"
#include "mount.h"
#include "mountpoint.h"
#include "policy.h"
#include "policy/log.h"
#include "policy/probe.h"
#include "policy/util.h"
#include "process.h"
#include "sandbox.h"
#include "takeover.h"

/* Slots that every worker has resident, whatever `memory=` says: they guarantee progress. */
#define RESIDENT_SLOTS 4
#define WORKERS_MAX 8

/* How long a hand-over waits for what is under way. What is not done by then is done again by the
 * successor, after it has landed. */
#define DRAIN_MS 2000

static int complain(int rc, const char *fmt, ...)
{
	char what[PATH_MAX + 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	log_complain("%s: %s", what, strerror(-rc));
	return rc;
}

/* ===== a new mount ===== */

static int open_source(struct mount *mount)
{
	const char *source = mount->options.source;
	_cleanup_free_ char *overlap = NULL;
	int rc = mountpoint_clear(mount->options.mountpoint);

	if (rc < 0)
		return complain(rc, "%s: a mount without a daemon", mount->options.mountpoint);
	mount->root_fd = source_open(source);
	if (mount->root_fd == -EBUSY || mount->root_fd == -ELOOP)
		log_complain("%s: %s", source,
			     mount->root_fd == -EBUSY ? "the pool is served by another bouncefs"
						      : "is itself a bouncefs mount");
	else if (mount->root_fd < 0)
		complain(mount->root_fd, "%s", source);
	if (mount->root_fd < 0)
		return mount->root_fd;
	overlap = source_overlaps(source);
	if (overlap)
		log_complain("%s: lies in the pool that is served at %s, or around it", source,
			     overlap);
	return overlap ? -EBUSY : 0;
}

static int load_policy(struct mount *mount)
{
	char error[POLICY_ERROR_MAX];
	int rc;

	pthread_rwlock_init(&mount->policy.lock, NULL);
	rc = policy_load(mount, error);
	if (rc < 0)
		log_complain("%s", error);
	return rc;
}

static unsigned worker_count(const struct options *o)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return o->threads ?: (unsigned)MAX(1, MIN(cpus, WORKERS_MAX));
}

static int new_state(struct mount *mount)
{
	int rc = state_create(&mount->state);

	if (rc < 0)
		return complain(rc, "state");
	mount->state.header->workers = worker_count(&mount->options);
	mount->state.header->images = MIN(IMAGES_MAX, process_descriptors() / 5);
	rc = node_table_init(&mount->nodes, &mount->state, mount->root_fd);
	if (rc < 0)
		return complain(rc, "node table");
	mount->sums_fd = sums_memory(EXECUTING_MAX);
	return mount->sums_fd < 0 ? complain(mount->sums_fd, "checksums") : 0;
}

/* Features that are asked for by options. What cannot be had is said in one line. */
static uint64_t extra_features(const struct options *o)
{
	const char *lacking = o->uring ? uring_lacking() : NULL;

	if (lacking)
		log_warn("transport=io_uring cannot be had: %s; requests come over /dev/fuse",
			 lacking);
	return (o->passthrough ? FUSE_PASSTHROUGH : 0) |
	       (o->uring && !lacking ? FUSE_OVER_IO_URING : 0);
}

static int connect_kernel(struct mount *mount)
{
	const struct options *o = &mount->options;
	int rc;

	mount->device_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (mount->device_fd < 0)
		return complain(-errno, "/dev/fuse");
	rc = mountpoint_mount(o->source, o->mountpoint, o->mount_flags, mount->device_fd);
	if (rc < 0)
		return complain(rc, "%s: mount", o->mountpoint);
	rc = protocol_negotiate(&mount->protocol, mount->device_fd, extra_features(o));
	if (rc < 0) {
		mountpoint_unmount(o->mountpoint, true);
		return complain(rc, "FUSE protocol");
	}
	mount->state.header->protocol = mount->protocol;
	return 0;
}

static int clone_devices(struct mount *mount)
{
	char name[KEEPER_NAME_MAX];
	int rc = 0;

	for (unsigned i = 0; i < mount->nworkers && rc == 0; i++) {
		mount->clones[i] = dev_clone(mount->device_fd);
		snprintf(name, sizeof(name), "clone-%u", i);
		rc = mount->clones[i] < 0 ? mount->clones[i] : keep_store(name, mount->clones[i]);
	}
	return rc;
}

/* What is kept is known to be so before the first request is read. */
static int keep_mount(struct mount *mount)
{
	const struct keep_item items[] = {
		{"root", mount->root_fd},
		{"fuse", mount->device_fd},
		{"state", mount->state.fd},
		{"sums", mount->sums_fd},
	};
	int rc = clone_devices(mount);

	return rc < 0 ? rc : keep_store_all(items, ARRAY_SIZE(items));
}

static int mount_new(struct mount *mount)
{
	int rc = open_source(mount);

	if (rc == 0)
		rc = load_policy(mount);
	if (rc == 0)
		rc = new_state(mount);
	if (rc == 0)
		rc = connect_kernel(mount);
	if (rc < 0)
		return rc;
	mount->nworkers = mount->state.header->workers;
	rc = keep_mount(mount);
	if (rc < 0) {
		mountpoint_unmount(mount->options.mountpoint, true);
		return complain(rc, "keeper");
	}
	return 0;
}

/* ===== a predecessor's mount ===== */

/* How often the service manager hears of us: three times in what it allows. -1: never. */
static int watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	long long n = usec ? atoll(usec) : 0;

	return n > 0 ? (int)MAX(n / 3000, 1) : -1;
}

static void kept_devices(const struct mount *mount, int device_fd[DEVICES_MAX])
{
	char name[KEEPER_NAME_MAX];

	device_fd[0] = mount->root_fd;
	for (unsigned i = 1; i < DEVICES_MAX; i++) {
		snprintf(name, sizeof(name), "device-%u", i);
		device_fd[i] = keep_get(name);
	}
}

static int mount_taken_over(struct mount *mount)
{
	int device_fd[DEVICES_MAX];
	char name[KEEPER_NAME_MAX];
	int rc;

	mount->root_fd = keep_get("root");
	mount->device_fd = keep_get("fuse");
	mount->sums_fd = keep_get("sums");
	rc = takeover_wait(watchdog_ms());
	if (rc == 0)
		rc = state_open(&mount->state, keep_get("state"));
	if (rc < 0)
		return complain(rc, "take-over: state");
	if (protocol_has_uring(&mount->state.header->protocol)) {
		log_err("a mount with transport=io_uring is not taken over");
		keep_notify("X_BOUNCEFS_RESEND=0");
		return -EOPNOTSUPP;
	}
	mount->protocol = mount->state.header->protocol;
	mount->nworkers = mount->state.header->workers;
	for (unsigned i = 0; i < mount->nworkers; i++) {
		snprintf(name, sizeof(name), "clone-%u", i);
		mount->clones[i] = keep_get(name);
	}
	/* A policy file that is broken by now must not keep the mount from living on. */
	load_policy(mount);
	takeover_note_death(mount);
	kept_devices(mount, device_fd);
	rc = node_table_restore(&mount->nodes, &mount->state, device_fd);
	return rc < 0 ? complain(rc, "take-over: node table") : 0;
}

/* ===== starting ===== */

static int make_lanes(struct mount *mount)
{
	bool uring = protocol_has_uring(&mount->protocol);
	unsigned slots = uring ? uring_slots(mount)
			       : MAX(mount->options.memory / mount->nworkers, RESIDENT_SLOTS);
	unsigned files = LANE_FILE_IMAGES + 2 * mount->state.header->images;
	int fence = -1, rc;

	mount->lanes = calloc(mount->nworkers, sizeof(*mount->lanes));
	mount->workers = calloc(mount->nworkers, sizeof(*mount->workers));
	if (!mount->lanes || !mount->workers)
		return -ENOMEM;
	rc = takeover_fence(mount, &fence);
	for (unsigned i = 0; i < mount->nworkers && rc == 0; i++) {
		rc = lane_init(&mount->lanes[i], i, RESIDENT_SLOTS, slots, files, uring);
		mount->lanes[i].helper = &mount->helper;
		if (rc == 0)
			rc = lane_set_file(&mount->lanes[i], LANE_FILE_FENCE, fence);
		if (rc == 0)
			rc = lane_set_file(&mount->lanes[i], LANE_FILE_POOL, mount->root_fd);
		if (rc == 0)
			rc = worker_init(&mount->workers[i], mount, i, mount->clones[i]);
	}
	/* From now on only the rings hold it. */
	if (fence >= 0)
		close(fence);
	return rc;
}

static int start_threads(struct mount *mount)
{
	int rc = helper_start(&mount->helper);

	if (rc == 0)
		rc = sums_start(mount->sums);
	if (rc == 0)
		rc = meta_start(mount);
	if (rc == 0)
		rc = policy_start(mount);
	if (rc == 0)
		rc = reporter_start(mount);
	for (unsigned i = 0; i < mount->nworkers; i++)
		lane_attend(&mount->lanes[i]);
	for (unsigned i = 0; i < mount->nworkers && rc == 0; i++)
		rc = worker_start(&mount->workers[i]);
	return rc;
}

static int start(struct mount *mount, bool taken_over)
{
	int rc;

	mount->gone_fd = eventfd(0, EFD_CLOEXEC);
	if (mount->gone_fd < 0)
		return -errno;
	mount->sums_config = (struct sums_config){mount->root_fd, mount, policy_image_name};
	rc = sums_init(&mount->sums, &mount->sums_config, mount->sums_fd);
	if (rc == 0)
		rc = make_lanes(mount);
	takeover_image_keeper(mount, &mount->image_keeper);
	if (rc == 0)
		rc = image_table_init(&mount->images, mount->state.header->images,
				      mount->state.images, &mount->image_keeper, mount->sums,
				      mount->lanes, mount->nworkers);
	if (rc == 0 && taken_over) {
		rc = file_restore(mount);
		sums_settle_orphans(mount->sums);
		takeover_forget(mount);
		if (rc == 0)
			rc = takeover_resend(mount);
	}
	if (rc == 0 && protocol_has_uring(&mount->protocol))
		rc = uring_meta_init(mount);
	if (rc < 0)
		return rc;
	if (!mount->options.no_sandbox)
		sandbox_enter();
	return start_threads(mount);
}

static void report_start(const struct mount *mount, bool taken_over)
{
	bool survives = protocol_survives(&mount->protocol);

	if (taken_over) {
		PROBE(taken_over, file_count(mount));
		log_info("took over %s with %u open files", mount->options.mountpoint,
			 file_count(mount));
	} else {
		protocol_log(&mount->protocol);
		if (mount->options.passthrough &&
		    !(protocol_features(&mount->protocol) & FUSE_PASSTHROUGH))
			log_warn(
				"this kernel has no FUSE passthrough (needs Linux 6.9): reads come "
				"to the daemon");
		if (!survives)
			log_warn("%s: if the daemon dies, requests fail with I/O errors and the "
				 "mount is gone",
				 protocol_has_uring(&mount->protocol)
					 ? "transport=io_uring"
					 : "this kernel cannot send requests again (needs Linux "
					   "6.9)");
		log_info("%s is live at %s, %u workers", mount->options.source,
			 mount->options.mountpoint, mount->nworkers);
	}
	keep_notify(survives ? "X_BOUNCEFS_RESEND=1" : "X_BOUNCEFS_RESEND=0");
	if (!mount->options.foreground)
		process_detach();
	/* A manager does not count a successor's READY: its watchdog is fed at once. */
	keep_notify("READY=1\nWATCHDOG=1");
}

/* ===== serving ===== */

static void unmount(struct mount *mount)
{
	int rc = mountpoint_unmount(mount->options.mountpoint, false);

	if (rc == -EBUSY) {
		log_warn("%s is busy: it serves what is open until the last close",
			 mount->options.mountpoint);
		rc = mountpoint_unmount(mount->options.mountpoint, true);
	}
	if (rc < 0)
		log_err("%s: unmount: %s", mount->options.mountpoint, strerror(-rc));
}

static bool drained(struct mount *mount)
{
	for (unsigned i = 0; i < mount->nworkers; i++)
		if (!worker_drained(&mount->workers[i]))
			return false;
	return meta_idle(mount);
}

/* Leaves everything to a successor. Nothing is undone or flushed: it is as if we had died at a good
 * moment. */
static void hand_over(struct mount *mount)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	for (unsigned i = 0; i < mount->nworkers; i++)
		worker_drain(&mount->workers[i]);
	for (int ms = 0; ms < DRAIN_MS && !drained(mount); ms++)
		nanosleep(&pause, NULL);
	_exit(KEEPER_EXIT_HANDOVER);
}

static void handle_signal(struct mount *mount, int signal)
{
	switch (signal) {
	case SIGUSR1:
		log_level_step(+1);
		break;
	case SIGUSR2:
		log_level_step(-1);
		break;
	case SIGHUP:
		policy_reload(mount);
		break;
	case SIGQUIT:
		if (!protocol_survives(&mount->protocol)) {
			log_err("requests cannot be sent again here: there is no handing over");
			break;
		}
		log_info("handing over");
		hand_over(mount);
		break;
	case SIGTERM:
	case SIGINT:
		if (file_count(mount) && keep_is_managed() && protocol_survives(&mount->protocol)) {
			log_info("files are open: the mount waits for a successor");
			hand_over(mount);
		}
		log_info("signal %d: unmounting", signal);
		unmount(mount);
		break;
	}
}

/* Healthy is who comes by: a disk that hangs stops no loop. */
static void watch(struct mount *mount)
{
	bool all = true;

	for (unsigned i = 0; i < mount->nworkers; i++) {
		struct worker *worker = &mount->workers[i];

		if (atomic_load(&worker->pongs) == worker->pings)
			worker_ping(worker);
		else
			all = false;
	}
	if (all)
		keep_notify("WATCHDOG=1");
	else
		log_err("a worker's loop does not come by");
}

static void serve(struct mount *mount, int signals_fd)
{
	struct pollfd p[] = {{.fd = signals_fd, .events = POLLIN},
			     {.fd = mount->gone_fd, .events = POLLIN}};
	struct signalfd_siginfo info;
	int watchdog = watchdog_ms();

	while (!(p[1].revents & POLLIN)) {
		int n = poll(p, ARRAY_SIZE(p), watchdog);

		if (n == 0)
			watch(mount);
		if (n <= 0)
			continue;
		if ((p[0].revents & POLLIN) && read(signals_fd, &info, sizeof(info)) > 0)
			handle_signal(mount, info.ssi_signo);
	}
}

/* The connection is gone: nothing new comes. What was taken on is done, then synced. */
static void finish(struct mount *mount)
{
	meta_stop(mount);
	policy_stop(mount);
	for (unsigned i = 0; i < mount->nworkers; i++)
		worker_stop(&mount->workers[i]);
	reporter_stop(mount);
	helper_stop(&mount->helper);
	image_table_fini(&mount->images);
	sums_stop(mount->sums);
	uring_meta_fini(mount);
	for (unsigned i = 0; i < mount->nworkers; i++) {
		worker_fini(&mount->workers[i]);
		lane_fini(&mount->lanes[i]);
	}
	node_table_fini(&mount->nodes);
	state_unmap(&mount->state);
	free(mount->workers);
	free(mount->lanes);
	close(mount->gone_fd);
	close(mount->device_fd);
	close(mount->root_fd);
}

int server_run(const struct options *options)
{
	static struct mount mount;
	int rc = keep_init(), signals_fd;
	bool taken_over;

	if (rc < 0)
		return complain(rc, "keeper"), 1;
	mount.options = *options;
	process_prepare();
	signals_fd = process_signals();
	taken_over = takeover_due();
	rc = taken_over ? mount_taken_over(&mount) : mount_new(&mount);
	if (rc < 0)
		return 1;
	rc = start(&mount, taken_over);
	if (rc < 0) {
		complain(rc, "start");
		if (!taken_over)
			mountpoint_unmount(options->mountpoint, true);
		return 1;
	}
	report_start(&mount, taken_over);
	serve(&mount, signals_fd);
	finish(&mount);
	close(signals_fd);
	log_info("%s is unmounted", options->mountpoint);
	return 0;
}
