// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

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

/* Whether the line of mountinfo is about a bouncefs mount. */
static bool parse(const char *line, struct ctl_mount *mount)
{
	_cleanup_free_ char *point = NULL, *type = NULL, *source = NULL;
	const char *dash = strstr(line, " - ");
	unsigned major, minor;

	if (!dash || sscanf(line, "%*s %*s %u:%u %*s %ms", &major, &minor, &point) != 3 ||
	    sscanf(dash + 3, "%ms %ms", &type, &source) != 2 || strcmp(type, FSTYPE))
		return false;
	field_unescape(point);
	field_unescape(source);
	*mount = (struct ctl_mount){point, source, makedev(major, minor)};
	point = source = NULL;
	return true;
}

/* Removes entry I of N. */
static void drop(struct ctl_mount *mounts, size_t i, size_t *n)
{
	free(mounts[i].point);
	free(mounts[i].source);
	memmove(&mounts[i], &mounts[i + 1], (*n - i) * sizeof(*mounts));
	--*n;
}

/* One entry a mount: not its bind mounts, and not what another one hides. */
static void add(struct ctl_mount *mounts, const struct ctl_mount *found, size_t *n)
{
	mounts[*n] = *found;
	mounts[++*n] = (struct ctl_mount){0};
	for (size_t i = 0; i + 1 < *n; i++) {
		if (mounts[i].device == found->device)
			drop(mounts, *n - 1, n);
		else if (!strcmp(mounts[i].point, found->point))
			drop(mounts, i--, n);
	}
}

static struct ctl_mount *read_mountinfo(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	struct ctl_mount *mounts = calloc(1, sizeof(*mounts)), *more, found;
	size_t size = 0, n = 0;

	while (f && mounts && getline(&line, &size, f) > 0) {
		if (!parse(line, &found))
			continue;
		more = reallocarray(mounts, n + 2, sizeof(*mounts));
		if (!more)
			break;
		mounts = more;
		add(mounts, &found, &n);
	}
	return mounts;
}

/* Says so if it lies in none of them. A mount that is dead is known by its name only. */
static struct ctl_mount *mount_of(struct ctl_mount *mounts, const char *path)
{
	struct statx stx;

	for (struct ctl_mount *m = mounts; m->point; m++)
		if (!strcmp(m->point, path))
			return m;
	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, 0, &stx) < 0) {
		ctl_trouble("%s: %s", path, strerror(errno));
		return NULL;
	}
	for (; mounts->point; mounts++)
		if (mounts->device == makedev(stx.stx_dev_major, stx.stx_dev_minor))
			return mounts;
	ctl_trouble("%s: not on a bouncefs mount", path);
	return NULL;
}

struct ctl_mount *ctl_mounts(char **paths)
{
	struct ctl_mount *mounts = read_mountinfo(), *mount;
	size_t n = 0;

	if (!mounts || !*paths)
		return mounts;
	for (; *paths; paths++) {
		mount = mount_of(mounts, *paths);
		if (!mount) {
			ctl_mounts_free(mounts);
			return NULL;
		}
		mount->wanted = true;
	}
	while (mounts[n].point)
		n++;
	for (size_t i = n; i-- > 0;)
		if (!mounts[i].wanted)
			drop(mounts, i, &n);
	return mounts;
}
