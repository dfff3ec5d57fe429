// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl.h"
#include "field.h"
#include "util.h"

#define FSTYPE "fuse.bouncefs"

void ctl_mounts_free(struct ctl_mount *mounts)
{
	for (struct ctl_mount *m = mounts; m && m->point; m++) {
		free(m->point);
		free(m->source);
	}
	free(mounts);
}

/* Whether the line of mountinfo is about a bouncefs mount with that ID, or any with 0. */
static bool parse(const char *line, uint64_t id, struct ctl_mount *mount)
{
	_cleanup_free_ char *point = NULL, *type = NULL, *source = NULL;
	const char *dash = strstr(line, " - ");

	if (!dash || (id && strtoull(line, NULL, 10) != id) ||
	    sscanf(line, "%*s %*s %*s %*s %ms", &point) != 1 ||
	    sscanf(dash + 3, "%ms %ms", &type, &source) != 2 || strcmp(type, FSTYPE))
		return false;
	field_unescape(point);
	field_unescape(source);
	*mount = (struct ctl_mount){point, source};
	point = source = NULL;
	return true;
}

static struct ctl_mount *read_mountinfo(uint64_t id)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	struct ctl_mount *mounts = calloc(1, sizeof(*mounts)), *more, found;
	size_t size = 0, n = 0;

	while (f && mounts && getline(&line, &size, f) > 0) {
		if (!parse(line, id, &found))
			continue;
		more = reallocarray(mounts, n + 2, sizeof(*mounts));
		if (!more)
			break;
		mounts = more;
		mounts[n++] = found;
		mounts[n] = (struct ctl_mount){0};
	}
	return mounts;
}

struct ctl_mount *ctl_mounts(const char *path)
{
	struct ctl_mount *mounts;
	struct statx stx;

	if (!path)
		return read_mountinfo(0);
	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) < 0) {
		ctl_trouble("%s: %s", path, strerror(errno));
		return NULL;
	}
	mounts = read_mountinfo(stx.stx_mnt_id);
	if (mounts && !mounts->point) {
		ctl_trouble("%s: not on a bouncefs mount", path);
		ctl_mounts_free(mounts);
		return NULL;
	}
	return mounts;
}
