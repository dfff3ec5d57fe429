// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "settings.h"
#include "util.h"

/* False: KEY is not set there. */
static bool print_setting(const char *path, const char *key, const char *separator)
{
	_cleanup_free_ char *value = NULL, *from = NULL;

	if (!ctl_setting(path, key, &value, &from))
		return false;
	if (!ctl_json) {
		printf("%s=%s (%s)\n", key, value, from);
		return true;
	}
	fputs(separator, stdout);
	json_string(key);
	printf(": {");
	json_member(true, "value", value);
	json_member(false, "from", from);
	putchar('}');
	return true;
}

static int get_all(const char *path)
{
	const char *separator = "{";

	for (int key = 0; key < SETTINGS; key++)
		if (print_setting(path, settings_name(key), separator))
			separator = ", ";
	if (ctl_json)
		puts(*separator == '{' ? "{}" : "}");
	return 0;
}

/* One setting, or what else the daemon lets one read, such as stats: the bare value. */
static int get_one(const char *path, const char *key)
{
	_cleanup_free_ char *value = NULL, *from = NULL;

	if (settings_key(key) < 0)
		value = ctl_getxattr(path, key);
	else
		ctl_setting(path, key, &value, &from);
	if (!value)
		return ctl_xattr_trouble(path, key);
	if (ctl_json)
		json_object(key, value, NULL);
	else
		puts(value);
	return 0;
}

int ctl_get(int argc, char **argv)
{
	if (argc < 2 || argc > 3)
		return EXIT_USAGE;
	if (access(argv[1], F_OK) < 0)
		return ctl_trouble("%s: %s", argv[1], strerror(errno));
	return argc == 3 ? get_one(argv[1], argv[2]) : get_all(argv[1]);
}
