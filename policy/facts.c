// SPDX-License-Identifier: GPL-2.0-or-later
#include "facts.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "field.h"
#include "util.h"

/*
 * Since 6.15 Btrfs buffers direct writes to checksummed files; since 7.0 also to the others where
 * the data profile has copies or parity. Both went to stable kernels. Erring here costs speed,
 * never data: both ways of writing are correct.
 */
struct kernel_version {
	unsigned major, minor, patch;
};

static const struct kernel_version checksummed_since[] = {{6, 12, 77}, {6, 15, 0}};
static const struct kernel_version duplicated_since[] = {
	{6, 12, 77}, {6, 18, 16}, {6, 19, 6}, {7, 0, 0}};

static bool same_series(const struct kernel_version *a, const struct kernel_version *b)
{
	return a->major == b->major && a->minor == b->minor;
}

static bool not_older(const struct kernel_version *v, const struct kernel_version *than)
{
	if (v->major != than->major)
		return v->major > than->major;
	if (v->minor != than->minor)
		return v->minor > than->minor;
	return v->patch >= than->patch;
}

bool facts_btrfs_buffers(const char *release, bool duplicated)
{
	const struct kernel_version *since = duplicated ? duplicated_since : checksummed_since;
	size_t n = duplicated ? ARRAY_SIZE(duplicated_since) : ARRAY_SIZE(checksummed_since);
	struct kernel_version v = {0};

	if (sscanf(release, "%u.%u.%u", &v.major, &v.minor, &v.patch) < 2)
		return false;

	/* All but the last are backports: they hold for their own series only. */
	for (size_t i = 0; i + 1 < n; i++)
		if (same_series(&v, &since[i]) && not_older(&v, &since[i]))
			return true;
	return not_older(&v, &since[n - 1]);
}

/* Whether the data profile keeps copies or parity. Right after mkfs several profiles may have block
 * groups; one that duplicates decides. */
static bool btrfs_duplicates(int fd)
{
	struct btrfs_ioctl_space_args count = {0};
	_cleanup_free_ struct btrfs_ioctl_space_args *args = NULL;
	uint64_t slots;

	if (ioctl(fd, BTRFS_IOC_SPACE_INFO, &count) < 0)
		return false;
	slots = count.total_spaces;
	args = calloc(1, sizeof(*args) + slots * sizeof(args->spaces[0]));
	if (!args)
		return false;
	args->space_slots = slots;
	if (ioctl(fd, BTRFS_IOC_SPACE_INFO, args) < 0)
		return false;

	for (uint64_t i = 0; i < MIN(args->total_spaces, slots); i++) {
		uint64_t flags = args->spaces[i].flags;

		if ((flags & BTRFS_BLOCK_GROUP_DATA) &&
		    (flags & BTRFS_BLOCK_GROUP_PROFILE_MASK & ~BTRFS_BLOCK_GROUP_RAID0))
			return true;
	}
	return false;
}

static bool has_option(const char *options, const char *name)
{
	size_t len = strlen(name);

	for (const char *o = options; o; o = strchr(o, ',')) {
		o += *o == ',';
		if (!strncmp(o, name, len) && strchr(",=\n", o[len]))
			return true;
	}
	return false;
}

char *facts_mount_line(int fd, const char *path)
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	struct statx stx;
	size_t size = 0;

	if (statx(fd, path, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, STATX_MNT_ID,
		  &stx) < 0 ||
	    !(stx.stx_mask & STATX_MNT_ID))
		return NULL;
	f = fopen("/proc/self/mountinfo", "re");
	while (f && getline(&line, &size, f) > 0)
		if (strtoull(line, NULL, 10) == stx.stx_mnt_id)
			return strdup(line);
	return NULL;
}

bool path_lies_in(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	while (len && dir[len - 1] == '/')
		len--;
	return !strncmp(path, dir, len) && (!path[len] || path[len] == '/');
}

void place_free(struct place *place)
{
	free(place->type);
	free(place->path);
}

/* ROOT of a filesystem is at POINT: where in it is PATH? */
static char *path_within(const char *root, const char *point, const char *path)
{
	const char *rest = path + (strcmp(point, "/") ? strlen(point) : 0);
	char *within;

	if (asprintf(&within, "%s%s", strcmp(root, "/") || !*rest ? root : "", rest) < 0)
		return NULL;
	return within;
}

void facts_place(const char *path, struct place *place)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0, best = 0;

	*place = (struct place){0};
	while (f && getline(&line, &size, f) > 0) {
		_cleanup_free_ char *root = NULL, *point = NULL, *type = NULL;
		const char *dash = strstr(line, " - ");
		char device[sizeof(place->device)];

		if (!dash || sscanf(line, "%*s %*s %23s %ms %ms", device, &root, &point) != 3 ||
		    sscanf(dash + 3, "%ms", &type) != 1)
			continue;
		field_unescape(root);
		field_unescape(point);
		if (!strcmp(type, "fuse.bouncefs") || !path_lies_in(path, point) ||
		    strlen(point) < best)
			continue;
		best = strlen(point);
		place_free(place);
		place->type = type;
		place->path = path_within(root, point, path);
		type = NULL;
		memcpy(place->device, device, sizeof(device));
	}
}

static bool compression_property(int fd, bool *on)
{
	char value[16] = "";
	ssize_t n = fgetxattr(fd, "btrfs.compression", value, sizeof(value) - 1);

	if (n <= 0)
		return false;
	*on = strcmp(value, "no") && strcmp(value, "none");
	return true;
}

static void gather_btrfs(int fd, struct file_facts *facts)
{
	_cleanup_free_ char *line = facts_mount_line(fd, "");
	/* They come last and have their blanks escaped. */
	const char *options = line ? strrchr(line, ' ') + 1 : NULL;
	struct utsname uts;
	int flags = 0;
	bool on;

	ioctl(fd, FS_IOC_GETFLAGS, &flags);
	facts->nodatasum = (flags & FS_NOCOW_FL) || has_option(options, "nodatasum") ||
			   has_option(options, "nodatacow");

	if (has_option(options, "compress-force"))
		facts->compressed = true;
	else if (compression_property(fd, &on))
		facts->compressed = on;
	else if (!(flags & FS_NOCOMP_FL))
		facts->compressed = (flags & FS_COMPR_FL) || has_option(options, "compress");

	uname(&uts);
	facts->buffers_direct_writes =
		(!facts->nodatasum && facts_btrfs_buffers(uts.release, false)) ||
		(btrfs_duplicates(fd) && facts_btrfs_buffers(uts.release, true));
}

/* Kernels before 6.1, and filesystems that do not tell, are believed to do it. */
static bool takes_direct_io(int fd)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) < 0)
		return true;
	return !(stx.stx_mask & STATX_DIOALIGN) || stx.stx_dio_offset_align;
}

int facts_gather(int fd, struct file_facts *facts)
{
	struct statfs sfs;

	*facts = (struct file_facts){0};
	if (fstatfs(fd, &sfs) < 0)
		return -errno;
	facts->fs_magic = sfs.f_type;
	facts->direct_io = takes_direct_io(fd);
	if (facts->fs_magic == BTRFS_SUPER_MAGIC)
		gather_btrfs(fd, facts);
	return 0;
}
