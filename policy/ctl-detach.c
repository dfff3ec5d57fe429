// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "ctl.h"
#include "util.h"

/* The kernel ends a device that is in use only with its last user, and does not say so. udev's
 * probing is such a user, but soon gone. */
static bool wait_gone(const char *device)
{
	for (int i = 0; i < 100; i++) {
		_cleanup_free_ char *backing = loop_sysfs(device, "loop/backing_file");

		if (!backing)
			return true;
		ctl_sleep(0.02);
	}
	return false;
}

static int clear(const char *device)
{
	_cleanup_close_ int fd = open(device, O_RDONLY | O_CLOEXEC);

	return fd < 0 || ioctl(fd, LOOP_CLR_FD) < 0 ? -errno : 0;
}

int ctl_detach(int argc, char **argv)
{
	_cleanup_free_ char *device = NULL;
	struct stat st;
	int r;

	if (argc != 2)
		return EXIT_USAGE;
	if (stat(argv[1], &st) < 0)
		return ctl_trouble("%s: %s", argv[1], strerror(errno));
	device = S_ISBLK(st.st_mode) ? realpath(argv[1], NULL) : loop_over(argv[1]);
	if (!device)
		return ctl_trouble("%s: not attached", argv[1]);

	r = clear(device);
	if (r < 0)
		return ctl_trouble("%s: %s", device, r == -ENXIO ? "not attached" : strerror(-r));
	if (!wait_gone(device))
		return ctl_trouble("%s: in use, goes with its last user", device);
	if (ctl_json)
		json_object("device", device, NULL);
	return 0;
}
