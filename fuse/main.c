// SPDX-License-Identifier: GPL-2.0-or-later
/* bouncefs: parses its command line, mounts, serves until it is unmounted. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "file.h"
#include "mount.h"
#include "mountpoint.h"
#include "policy/log.h"
#include "policy/util.h"
#include "process.h"

/* Slots that every worker has resident, whatever `memory=` says: they guarantee progress. */
#define RESIDENT_SLOTS 4
#define WORKERS_MAX 8
/* Images that may be open at once; fixed files of every ring, two an image. */
#define IMAGES_MAX 8192

/* The one line that says why there is no mount. */
static int complain(int rc, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "bouncefs: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, ": %s\n", strerror(-rc));
	return rc;
}

/* ===== starting ===== */

static int open_source(struct mount *mount)
{
	const char *source = mount->options.source;

	mount->root_fd = source_open(source);
	if (mount->root_fd == -EBUSY || mount->root_fd == -ELOOP)
		fprintf(stderr, "bouncefs: %s: %s\n", source,
			mount->root_fd == -EBUSY ? "the pool is served by another bouncefs"
						 : "is itself a bouncefs mount");
	else if (mount->root_fd < 0)
		complain(mount->root_fd, "%s", source);
	return MIN(mount->root_fd, 0);
}

static int load_policy(struct mount *mount)
{
	char error[POLICY_ERROR_MAX];
	int rc;

	pthread_rwlock_init(&mount->policy.lock, NULL);
	rc = policy_load(mount, error);
	if (rc < 0)
		fprintf(stderr, "bouncefs: %s\n", error);
	return rc;
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
	rc = protocol_negotiate(&mount->protocol, mount->device_fd);
	if (rc < 0) {
		mountpoint_unmount(o->mountpoint, true);
		return complain(rc, "FUSE protocol");
	}
	return 0;
}

static unsigned worker_count(const struct options *o)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return o->threads ?: (unsigned)MAX(1, MIN(cpus, WORKERS_MAX));
}

static int make_tables(struct mount *mount)
{
	unsigned images = MIN(IMAGES_MAX, process_descriptors() / 3);
	int rc = state_create(&mount->state);

	if (rc == 0)
		rc = node_table_init(&mount->nodes, &mount->state, mount->root_fd);
	if (rc == 0)
		rc = image_table_init(&mount->images, images, mount->lanes, mount->nworkers);
	return rc;
}

static int make_workers(struct mount *mount)
{
	unsigned n = mount->nworkers = worker_count(&mount->options);
	unsigned slots = MAX(mount->options.memory / n, RESIDENT_SLOTS);
	unsigned files = LANE_FILE_IMAGES + 2 * MIN(IMAGES_MAX, process_descriptors() / 3);
	int rc = 0;

	mount->lanes = calloc(n, sizeof(*mount->lanes));
	mount->workers = calloc(n, sizeof(*mount->workers));
	if (!mount->lanes || !mount->workers)
		return -ENOMEM;
	for (unsigned i = 0; i < n && rc == 0; i++) {
		rc = lane_init(&mount->lanes[i], i, RESIDENT_SLOTS, slots, files);
		if (rc == 0)
			rc = worker_init(&mount->workers[i], mount, i);
	}
	return rc;
}

static int start_threads(struct mount *mount)
{
	int rc = meta_start(mount);

	if (rc == 0)
		rc = policy_start(mount);
	for (unsigned i = 0; i < mount->nworkers && rc == 0; i++)
		rc = worker_start(&mount->workers[i]);
	return rc;
}

static int serve_setup(struct mount *mount)
{
	int rc;

	mount->gone_fd = eventfd(0, EFD_CLOEXEC);
	if (mount->gone_fd < 0)
		return complain(-errno, "eventfd");
	rc = make_workers(mount);
	if (rc == 0)
		rc = make_tables(mount);
	if (rc == 0)
		rc = start_threads(mount);
	return rc < 0 ? complain(rc, "start") : 0;
}

/* ===== serving ===== */

static void unmount(struct mount *mount)
{
	bool busy = file_count(mount) > 0;
	int rc = mountpoint_unmount(mount->options.mountpoint, busy);

	if (rc == -EBUSY)
		rc = mountpoint_unmount(mount->options.mountpoint, true);
	if (rc < 0)
		log_err("%s: unmount: %s", mount->options.mountpoint, strerror(-rc));
	else if (busy)
		log_warn("files are open: serving them until their last close");
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
	case SIGTERM:
	case SIGINT:
		log_info("signal %d: unmounting", signal);
		unmount(mount);
		break;
	}
}

/* Blocked in every thread; main takes them from a descriptor. */
static int signals_open(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void serve(struct mount *mount, int signals_fd)
{
	struct pollfd p[] = {{.fd = signals_fd, .events = POLLIN},
			     {.fd = mount->gone_fd, .events = POLLIN}};
	struct signalfd_siginfo info;

	while (!(p[1].revents & POLLIN)) {
		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			break;
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
	image_table_fini(&mount->images);
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

static int run(struct mount *mount)
{
	int ready_fd = -1, signals_fd, rc;

	if (!mount->options.foreground) {
		ready_fd = process_daemonize();
		if (ready_fd < 0)
			return complain(ready_fd, "background");
		log_daemonized();
	}
	process_prepare();
	signals_fd = signals_open();
	rc = open_source(mount);
	if (rc == 0)
		rc = load_policy(mount);
	if (rc == 0)
		rc = connect_kernel(mount);
	if (rc < 0)
		return rc;
	rc = serve_setup(mount);
	if (rc < 0) {
		mountpoint_unmount(mount->options.mountpoint, true);
		return rc;
	}
	protocol_log(&mount->protocol, "/dev/fuse");
	log_info("%s is live at %s, %u workers", mount->options.source, mount->options.mountpoint,
		 mount->nworkers);
	if (ready_fd >= 0)
		process_ready(ready_fd);
	serve(mount, signals_fd);
	finish(mount);
	close(signals_fd);
	log_info("%s is unmounted", mount->options.mountpoint);
	return 0;
}

static int remount(const struct options *o)
{
	int rc = mountpoint_remount(o->mountpoint, o->mount_flags);

	return rc < 0 ? complain(rc, "%s: remount", o->mountpoint) : 0;
}

int main(int argc, char **argv)
{
	static struct mount mount;
	int rc;

	switch (options_parse(&mount.options, argc, argv)) {
	case OPTIONS_EXIT:
		return 0;
	case OPTIONS_BAD:
		return 2;
	case OPTIONS_RUN:
		break;
	}
	log_level = mount.options.log_level;
	rc = log_open(mount.options.log_file);
	if (rc < 0)
		return complain(rc, "%s", mount.options.log_file), 1;
	rc = mount.options.remount ? remount(&mount.options) : run(&mount);
	return rc < 0 ? 1 : 0;
}
