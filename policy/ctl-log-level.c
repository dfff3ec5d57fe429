// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>
#include <sys/xattr.h>

#include "ctl.h"
#include "log.h"
#include "settings.h"
#include "util.h"

#define XATTR XATTR_PREFIX "log-level"

static int show(const char *root)
{
	_cleanup_free_ char *level = ctl_getxattr(root, XATTR);

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
	if (log_level_parse(level) < 0)
		return ctl_trouble(
			"bad log level \"%s\", good ones: error warning info debug trace", level);
	if (setxattr(root, XATTR, level, strlen(level), 0) < 0)
		return ctl_xattr_trouble(root, "log-level");
	return ctl_json ? show(root) : 0;
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
