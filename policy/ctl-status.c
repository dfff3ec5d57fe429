// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "ctl.h"
#include "util.h"

static const struct record *same_image(const struct snapshot *snap, const struct record *image)
{
	const char *path = record_get(image, "path");

	for (int i = 0; i < snap->images; i++)
		if (!strcmp(record_get(&snap->image[i], "path"), path))
			return &snap->image[i];
	return NULL;
}

/* Sum of two counters, a second. Those that ran backwards belong to an image that was closed and
 * opened again meanwhile. */
static double rate(const struct snapshot *before, const struct snapshot *after,
		   const struct record *image, const char *reads, const char *writes)
{
	const struct record *then = same_image(before, image);
	double was = then ? record_number(then, reads) + record_number(then, writes) : 0;
	double is = record_number(image, reads) + record_number(image, writes);

	return (is < was ? is : is - was) / (after->time - before->time);
}

#define IOPS(before, after, image) rate(before, after, image, "reads", "writes")
#define MBPS(before, after, image) (rate(before, after, image, "read-bytes", "write-bytes") / 1e6)

static void print_table(const struct ctl_mount *mount, const struct snapshot *before,
			const struct snapshot *after)
{
	int width = strlen("IMAGE");

	for (int i = 0; i < after->images; i++)
		width = MAX(width, (int)strlen(record_get(&after->image[i], "path")));

	printf("%s on %s\n%-*s  %-12s %5s %8s %8s %6s %9s  %s\n", mount->source, mount->point,
	       width, "IMAGE", "MODE", "BLOCK", "IOPS", "MB/s", "ERRORS", "DIRTY MiB", "REASON");
	for (int i = 0; i < after->images; i++) {
		const struct record *r = &after->image[i];

		printf("%-*s  %-12s %5s %8.0f %8.1f %6s %9.1f  %s\n", width, record_get(r, "path"),
		       record_get(r, "cache"), record_get(r, "block-size"), IOPS(before, after, r),
		       MBPS(before, after, r), record_get(r, "errors"),
		       record_number(r, "dirty") / (1 << 20), record_get(r, "reason"));
	}
}

/* All fields, as the daemon calls them. */
static void json_fields(const struct record *r)
{
	for (int i = 0; i < r->fields; i++)
		json_member(!i, r->field[i].key, r->field[i].value);
}

static void json_mount(const struct ctl_mount *mount, const struct snapshot *before,
		       const struct snapshot *after)
{
	printf("{");
	json_fields(&after->mount);
	json_member(!after->mount.fields, "mountpoint", mount->point);
	printf(", \"images\": [");
	for (int i = 0; i < after->images; i++) {
		const struct record *r = &after->image[i];

		printf(i ? ", {" : "{");
		json_fields(r);
		printf(", \"iops\": %.1f, \"mb-per-second\": %.3f}", IOPS(before, after, r),
		       MBPS(before, after, r));
	}
	printf("]}");
}

static void take_all(const struct ctl_mount *mounts, struct snapshot *snap)
{
	for (int i = 0; mounts[i].point; i++)
		snapshot_take(mounts[i].point, !ctl_json, &snap[i]);
}

/* A mount that does not answer must not hide the others. */
static int print_all(const struct ctl_mount *mounts, const struct snapshot *before,
		     const struct snapshot *after)
{
	int status = 0;
	bool first = true;

	printf(ctl_json ? "[" : "");
	for (int i = 0; mounts[i].point; i++) {
		if (!before[i].text || !after[i].text) {
			status = ctl_trouble("%s: no status: %s", mounts[i].point,
					     strerror(MAX(before[i].error, after[i].error)));
			continue;
		}
		printf(first ? "" : ctl_json ? ", " : "\n");
		(ctl_json ? json_mount : print_table)(&mounts[i], &before[i], &after[i]);
		first = false;
	}
	printf(ctl_json ? "]\n" : "");
	return status;
}

int status_show(char **paths, double seconds, bool clear)
{
	struct ctl_mount *mounts = ctl_mounts(paths);
	_cleanup_free_ struct snapshot *before = NULL, *after = NULL;
	int status = EXIT_TROUBLE, n = 0;

	if (!mounts)
		return EXIT_TROUBLE;
	while (mounts[n].point)
		n++;
	before = calloc(n + 1, sizeof(*before));
	after = calloc(n + 1, sizeof(*after));
	if (before && after) {
		take_all(mounts, before);
		ctl_sleep(seconds);
		take_all(mounts, after);
		printf(clear ? "\033[H\033[2J" : "");
		status = print_all(mounts, before, after);
		for (int i = 0; i < n; i++) {
			snapshot_free(&before[i]);
			snapshot_free(&after[i]);
		}
	}
	ctl_mounts_free(mounts);
	return status;
}

int ctl_status(int argc, char **argv)
{
	(void)argc;
	return status_show(argv + 1, 1, false);
}
