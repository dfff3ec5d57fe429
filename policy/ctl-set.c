// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "ctl.h"
#include "settings.h"
#include "util.h"

/* Splits KEY=VALUE in place; NULL if it is none. */
static char *split(char *arg)
{
	char *equals = strchr(arg, '=');

	if (!equals)
		return NULL;
	*equals = '\0';
	return equals + 1;
}

int ctl_set(int argc, char **argv)
{
	_cleanup_free_ char **value = calloc(argc, sizeof(*value));
	struct settings_error err;
	struct settings scratch;

	if (argc < 3 || !value)
		return EXIT_USAGE;
	/* All of them are looked at before the first is set. */
	for (int i = 2; i < argc; i++) {
		value[i] = split(argv[i]);
		if (!value[i])
			return EXIT_USAGE;
		if (settings_set_named(&scratch, argv[i], value[i], FROM_FILE, &err) < 0)
			return ctl_trouble("%s", err.text);
	}
	for (int i = 2; i < argc; i++)
		if (ctl_setxattr(argv[1], argv[i], value[i]))
			return EXIT_TROUBLE;
	if (ctl_json) {
		fputs("{", stdout);
		for (int i = 2; i < argc; i++)
			json_member(i == 2, argv[i], value[i]);
		fputs("}\n", stdout);
	}
	return 0;
}
