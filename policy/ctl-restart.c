// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "ctl.h"
#include "settings.h"

#define PATIENCE_SECONDS 60

/* How many workers the mount has had; *ERROR: why nobody answers. */
static double lives(const char *point, int *error)
{
	struct snapshot snap;
	double n;

	snapshot_take(point, true, &snap);
	*error = snap.error;
	n = record_number(&snap.mount, "lives");
	snapshot_free(&snap);
	return n;
}

static int refused(const char *point)
{
	return ctl_trouble("%s: restart: %s; the old program goes on", point,
			   errno == EPROTO ? "the program on disk does not take over this "
					     "version's state"
					   : strerror(errno));
}

static int restart(const char *point)
{
	int error;
	double before = lives(point, &error);
	double end = ctl_now() + PATIENCE_SECONDS;

	if (!error && setxattr(point, XATTR_PREFIX "restart", "1", 1, 0) < 0)
		return refused(point);
	/* The old one answers until it has handed over. */
	while (!error && lives(point, &error) == before && !error) {
		if (ctl_now() > end)
			return ctl_trouble("%s: restart: no successor so far", point);
		ctl_sleep(0.01);
	}
	return error ? ctl_trouble("%s: %s", point, strerror(error)) : 0;
}

int ctl_restart(int argc, char **argv)
{
	struct ctl_mount *mounts;
	int status;

	if (argc != 2)
		return EXIT_USAGE;
	mounts = ctl_mounts((char *[]){argv[1], NULL});
	if (!mounts)
		return EXIT_TROUBLE;
	status = restart(mounts->point);
	ctl_mounts_free(mounts);
	return status;
}
