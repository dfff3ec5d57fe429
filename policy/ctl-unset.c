// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl.h"
#include "settings.h"

int ctl_unset(int argc, char **argv)
{
	if (argc < 3)
		return EXIT_USAGE;
	for (int i = 2; i < argc; i++)
		if (settings_key(argv[i]) < 0)
			return ctl_trouble("unknown key \"%s\"", argv[i]);
	for (int i = 2; i < argc; i++)
		if (ctl_setxattr(argv[1], argv[i], NULL))
			return EXIT_TROUBLE;
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
