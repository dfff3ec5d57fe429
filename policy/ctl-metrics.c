// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The status in Prometheus's text format, which wants all samples of one metric together. A mount
 * that does not answer has bouncefs_up 0 and nothing else.
 */
#include <ctype.h>
#include <locale.h>
#include <string.h>

#include "ctl.h"
#include "latency.h"
#include "util.h"

/* What the status calls KEY. */
struct metric {
	const char *key, *name, *type, *help;
};

static const struct metric of_mount[] = {
	{"workers", "bouncefs_workers", "gauge", "Worker threads."},
	{"lives", "bouncefs_lives_total", "counter",
	 "Processes that have served the mount, one after the other's death or restart."},
	{"open-images", "bouncefs_open_images", "gauge", "Images that are open."},
	{"read-bytes", "bouncefs_read_bytes_total", "counter", "Bytes read."},
	{"write-bytes", "bouncefs_written_bytes_total", "counter", "Bytes written."},
	{"errors", "bouncefs_errors_total", "counter", "Requests that failed."},
};

static const struct metric of_image[] = {
	{"read-bytes", "bouncefs_image_read_bytes_total", "counter",
	 "Bytes read since it was opened."},
	{"write-bytes", "bouncefs_image_written_bytes_total", "counter",
	 "Bytes written since it was opened."},
	{"errors", "bouncefs_image_errors_total", "counter",
	 "Requests that failed since it was opened."},
	{"dirty", "bouncefs_image_dirty_bytes", "gauge",
	 "Bytes in the page cache that are not on the disk yet."},
	{"checksum-to-do", "bouncefs_image_checksum_to_do_bytes", "gauge",
	 "Bytes that are still to be hashed."},
	{"checksum-errors", "bouncefs_image_checksum_errors", "gauge",
	 "Blocks that are known not to match their checksums."},
};

static const char *const info_of_mount[] = {"source", "sandbox", "transport", NULL};
static const char *const info_of_image[] = {"cache", "reason", "block-size", "checksum", NULL};
static const char *const kinds[] = {"read", "write", "flush"};

/* ===== samples ===== */

/*
 * A label's text must be UTF-8, and two files must not look the same: what does not fit is written
 * \OOO, and so is the backslash (which stands twice, as the format wants it).
 */
static void print_text(const char *text)
{
	bool utf8 = mbstowcs(NULL, text, 0) != (size_t)-1;

	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '"')
			fputs("\\\"", stdout);
		else if (iscntrl(*p) || *p == '\\' || (*p >= 0x80 && !utf8))
			printf("\\\\%03o", *p);
		else
			putchar(*p);
	}
}

static void print_label(const char *separator, const char *name, const char *value)
{
	fputs(separator, stdout);
	for (; *name; name++)
		putchar(*name == '-' ? '_' : *name);
	fputs("=\"", stdout);
	print_text(value);
	putchar('"');
}

/* NAME{mountpoint="...", image="..." without the closing brace; IMAGE may be NULL. */
static void begin(const char *name, const char *suffix, const struct ctl_mount *mount,
		  const struct record *image)
{
	printf("%s%s", name, suffix);
	print_label("{", "mountpoint", mount->point);
	if (image)
		print_label(",", "image", record_get(image, "path"));
}

static void head(const char *name, const char *type, const char *help)
{
	printf("# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* ===== what one record has ===== */

static void print_value(const struct metric *metric, const struct ctl_mount *mount,
			const struct record *record, const struct record *image)
{
	if (!record_has(record, metric->key))
		return;
	begin(metric->name, "", mount, image);
	printf("} %.0f\n", record_number(record, metric->key));
}

static void print_info(const char *const keys[], const char *name, const struct ctl_mount *mount,
		       const struct record *record, const struct record *image)
{
	begin(name, "", mount, image);
	for (; *keys; keys++)
		if (record_has(record, *keys))
			print_label(",", *keys, record_get(record, *keys));
	puts("} 1");
}

static void print_histogram(const char *name, const char *kind, const struct ctl_mount *mount,
			    const struct record *record, const struct record *image)
{
	char key[32], *end;
	const char *count;
	unsigned long long n = 0;

	snprintf(key, sizeof(key), "%s-latency", kind);
	if (!record_has(record, key))
		return;
	count = record_get(record, key);
	for (int i = 0; i < LATENCY_BUCKETS; i++) {
		n += strtoull(count, &end, 10);
		count = *end == ',' ? end + 1 : "";
		begin(name, "_bucket", mount, image);
		if (i + 1 < LATENCY_BUCKETS)
			printf(",kind=\"%s\",le=\"%.6f\"} %llu\n", kind,
			       (1ul << (i + LATENCY_FIRST_BITS)) / 1e6, n);
		else
			printf(",kind=\"%s\",le=\"+Inf\"} %llu\n", kind, n);
	}
	snprintf(key, sizeof(key), "%s-us", kind);
	begin(name, "_sum", mount, image);
	printf(",kind=\"%s\"} %.6f\n", kind, record_number(record, key) / 1e6);
	begin(name, "_count", mount, image);
	printf(",kind=\"%s\"} %llu\n", kind, n);
}

/* ===== all of them ===== */

static struct ctl_mount *mounts;
static struct snapshot *snaps; /* of each */

#define FOR_EACH_MOUNT(i) for (int i = 0; mounts[i].point; i++)
#define FOR_EACH_IMAGE(i, r) \
	FOR_EACH_MOUNT(i)    \
	for (const struct record *r = snaps[i].image; r < snaps[i].image + snaps[i].images; r++)

static void print_mounts(void)
{
	head("bouncefs_up", "gauge", "Whether the mount answers.");
	FOR_EACH_MOUNT(i)
	{
		begin("bouncefs_up", "", &mounts[i], NULL);
		printf("} %d\n", snaps[i].text != NULL);
	}
	head("bouncefs_info", "gauge", "What the mount is.");
	FOR_EACH_MOUNT(i)
	if (snaps[i].text)
		print_info(info_of_mount, "bouncefs_info", &mounts[i], &snaps[i].mount, NULL);
	for (size_t m = 0; m < ARRAY_SIZE(of_mount); m++) {
		head(of_mount[m].name, of_mount[m].type, of_mount[m].help);
		FOR_EACH_MOUNT(i)
		print_value(&of_mount[m], &mounts[i], &snaps[i].mount, NULL);
	}
	head("bouncefs_request_duration_seconds", "histogram",
	     "Time that requests took in the daemon, from receipt to completion.");
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		FOR_EACH_MOUNT(i)
	print_histogram("bouncefs_request_duration_seconds", kinds[k], &mounts[i], &snaps[i].mount,
			NULL);
}

static void print_images(void)
{
	head("bouncefs_image_info", "gauge", "Settings in effect for an open image.");
	FOR_EACH_IMAGE(i, r)
	print_info(info_of_image, "bouncefs_image_info", &mounts[i], r, r);
	for (size_t m = 0; m < ARRAY_SIZE(of_image); m++) {
		head(of_image[m].name, of_image[m].type, of_image[m].help);
		FOR_EACH_IMAGE(i, r)
		print_value(&of_image[m], &mounts[i], r, r);
	}
	head("bouncefs_image_request_duration_seconds", "histogram",
	     "The same for one image, since it was opened.");
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		FOR_EACH_IMAGE(i, r)
	print_histogram("bouncefs_image_request_duration_seconds", kinds[k], &mounts[i], r, r);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(record_get(a, "path"), record_get(b, "path"));
}

/* Files that were removed while they are open may be called the same, and no series may stand
 * twice: one of them counts. (The mount's numbers have all of them.) */
static void leave_one_a_name(struct snapshot *snap)
{
	int n = 0;

	if (!snap->images)
		return;
	qsort(snap->image, snap->images, sizeof(*snap->image), by_path);
	for (int i = 1; i < snap->images; i++)
		if (by_path(&snap->image[n], &snap->image[i]))
			snap->image[++n] = snap->image[i];
	snap->images = n + 1;
}

int ctl_metrics(int argc, char **argv)
{
	int n = 0;

	if (ctl_json)
		return EXIT_USAGE;
	(void)argc;
	setlocale(LC_CTYPE, "C.UTF-8");
	mounts = ctl_mounts(argv + 1);
	if (!mounts)
		return EXIT_TROUBLE;
	while (mounts[n].point)
		n++;
	snaps = calloc(n + 1, sizeof(*snaps));
	if (!snaps)
		return ctl_trouble("%s", strerror(ENOMEM));
	FOR_EACH_MOUNT(i)
	{
		snapshot_take(mounts[i].point, false, &snaps[i]);
		leave_one_a_name(&snaps[i]);
	}
	print_mounts();
	print_images();
	FOR_EACH_MOUNT(i)
	snapshot_free(&snaps[i]);
	free(snaps);
	ctl_mounts_free(mounts);
	return 0;
}
