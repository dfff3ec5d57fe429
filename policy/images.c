// SPDX-License-Identifier: GPL-2.0-or-later
#include "images.h"

#include <fnmatch.h>
#include <limits.h>
#include <string.h>

bool images_match(const char *globs, const char *name)
{
	char glob[NAME_MAX + 1];
	size_t len;

	for (; *globs; globs += len + (globs[len] == ':')) {
		len = strcspn(globs, ":");
		if (len >= sizeof(glob))
			continue;
		memcpy(glob, globs, len);
		glob[len] = '\0';
		if (!fnmatch(glob, name, 0))
			return true;
	}
	return false;
}
