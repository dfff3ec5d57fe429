// SPDX-License-Identifier: GPL-2.0-or-later
#include <sys/xattr.h>

#include "ctl.h"
#include "settings.h"

int ctl_restart(int argc, char **argv)
{
	struct ctl_mount *mounts;
	int status = 0;

	if (argc != 2)
		return EXIT_USAGE;
	mounts = ctl_mounts((char *[]){argv[1], NULL});
	if (!mounts)
		return EXIT_TROUBLE;
	if (setxattr(mounts->point, XATTR_PREFIX "restart", "1", 1, 0) < 0)
		status = ctl_xattr_trouble(mounts->point, "restart");
	ctl_mounts_free(mounts);
	return status;
}
