// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl.h"
#include "log.h"
#include "util.h"

static int show(const char *root)
{
	_cleanup_free_ char *level = ctl_getxattr(root, "log-level");

	if (!level)
		return ctl_xattr_trouble(root, "log-level");
	if (ctl_json)
		json_object("log-level", level, NULL);
	else
		puts(level);
	return 0;
}

static int change(const char *root, const char *level)
{
	int status;

	if (log_level_parse(level) < 0)
		return ctl_trouble(
			"bad log level \"%s\", good ones: error warning info debug trace", level);
	status = ctl_setxattr(root, "log-level", level);
	return !status && ctl_json ? show(root) : status;
}

int ctl_log_level(int argc, char **argv)
{
	struct ctl_mount *mounts;
	int status;

	if (argc < 2 || argc > 3)
		return EXIT_USAGE;
	mounts = ctl_mounts((char *[]){argv[1], NULL});
	if (!mounts)
		return EXIT_TROUBLE;
	status = argc == 3 ? change(mounts->point, argv[2]) : show(mounts->point);
	ctl_mounts_free(mounts);
	return status;
}
