// SPDX-License-Identifier: GPL-2.0-or-later
#include <sys/xattr.h>

#include "ctl.h"
#include "settings.h"

int ctl_unset(int argc, char **argv)
{
	char xattr[64];

	if (argc < 3)
		return EXIT_USAGE;
	for (int i = 2; i < argc; i++)
		if (settings_key(argv[i]) < 0)
			return ctl_trouble("unknown key \"%s\"", argv[i]);
	for (int i = 2; i < argc; i++) {
		snprintf(xattr, sizeof(xattr), XATTR_PREFIX "%s", argv[i]);
		if (removexattr(argv[1], xattr) < 0)
			return ctl_xattr_trouble(argv[1], argv[i]);
	}
	if (ctl_json) {
		fputs("[", stdout);
		for (int i = 2; i < argc; i++) {
			fputs(i == 2 ? "" : ", ", stdout);
			json_string(argv[i]);
		}
		fputs("]\n", stdout);
	}
	return 0;
}
