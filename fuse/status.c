// SPDX-License-Identifier: GPL-2.0-or-later
#include "status.h"

#include <limits.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "keeper.h"
#include "keep.h"
#include "mount.h"
#include "policy.h"
#include "policy/facts.h"
#include "policy/field.h"
#include "policy/log.h"
#include "policy/util.h"
#include "sandbox.h"

/* "more next=N" */
#define MORE_MAX 32

static void print_field(FILE *out, const char *key, const char *value)
{
	char field[4 * PATH_MAX];

	field_escape(value, field, sizeof(field));
	fprintf(out, " %s=%s", key, field);
}

/* As long as it has to be: what follows is zeroes. */
static void print_latency(FILE *out, const char *kind, const struct kind_counters *counters)
{
	int used = LATENCY_BUCKETS;

	while (used && !counters->latency[used - 1])
		used--;
	if (!used)
		return;
	fprintf(out, " %s-us=%lu %s-latency=", kind, counters->microseconds, kind);
	for (int i = 0; i < used; i++)
		fprintf(out, "%s%lu", i ? "," : "", counters->latency[i]);
}

static void print_counters(FILE *out, const struct counters *c)
{
	static const char *const kinds[] = {"read", "write", "flush"};

	fprintf(out, " reads=%lu writes=%lu flushes=%lu read-bytes=%lu write-bytes=%lu errors=%lu",
		count_of(&c->kind[IO_READ]), count_of(&c->kind[IO_WRITE]),
		count_of(&c->kind[IO_FSYNC]), c->kind[IO_READ].bytes, c->kind[IO_WRITE].bytes,
		c->errors);
	for (int k = 0; k < IO_KINDS; k++)
		print_latency(out, kinds[k], &c->kind[k]);
}

/* What cache=auto would mean for it, whatever is in effect. */
static void print_auto(FILE *out, const struct image *image)
{
	struct file_facts facts;
	unsigned pick;

	if (facts_gather(image->cached_fd, &facts) < 0)
		return;
	pick = auto_pick(&facts);
	fprintf(out, " auto=%s", cache_traits(auto_mode(pick))->name);
	print_field(out, "auto-reason", auto_reason(pick));
}

static void print_sums(FILE *out, struct image *image, const struct settings *settings)
{
	char value[SETTINGS_VALUE_MAX];
	struct sums_state sums;

	sums_state(image, &sums);
	fprintf(out, " checksum=%s", settings_print(settings, SETTING_CHECKSUM, value));
	if (sums.phase != SUMS_NONE)
		fprintf(out, " checksum-to-do=%lu checksum-errors=%lu", sums.to_hash, sums.bad);
}

static void print_image(FILE *out, struct mount *mount, struct image *image)
{
	struct settings settings = image_settings(&mount->images, image);
	char path[PATH_MAX], value[SETTINGS_VALUE_MAX];
	struct stat st;

	fprintf(out, "image");
	print_field(out, "path", policy_name(mount, image->key, image->cached_fd, path));
	if (fstat(image->cached_fd, &st) == 0 && st.st_nlink == 0)
		fprintf(out, "\\040(deleted)");
	print_field(out, "cache", settings_print(&settings, SETTING_CACHE, value));
	print_field(out, "reason", settings_from(&settings, SETTING_CACHE));
	fprintf(out, " block-size=%lu dirty=%lu", settings.value[SETTING_BLOCK_SIZE],
		image_dirty(image));
	print_sums(out, image, &settings);
	print_auto(out, image);
	print_counters(out, &image->counters);
	fprintf(out, "\n");
}

static unsigned count_images(struct mount *mount)
{
	struct image *image;
	unsigned next = 0, n = 0;

	while ((image = image_next(&mount->images, &next))) {
		n += image->is_image;
		image_close(&mount->images, image, false);
	}
	return n;
}

/* From index FIRST on, as many as there is room for. Returns the length of it all. */
static long print_images(FILE *out, struct mount *mount, unsigned first)
{
	struct image *image;
	unsigned next = first;
	long end = ftell(out);

	while ((image = image_next(&mount->images, &next))) {
		if (image->is_image)
			print_image(out, mount, image);
		image_close(&mount->images, image, false);
		if (ftell(out) > XATTR_SIZE_MAX - MORE_MAX) {
			fseek(out, end, SEEK_SET);
			fprintf(out, "more next=%u\n", first);
			return ftell(out);
		}
		first = next;
		end = ftell(out);
	}
	return end;
}

static void print_mount(FILE *out, struct mount *mount)
{
	struct counters counters;
	char missing[PROTOCOL_NAMES_MAX];

	protocol_features_named(&mount->protocol, false, missing);
	image_table_counters(&mount->images, &counters);
	fprintf(out, "mount");
	print_field(out, "source", mount->options.source);
	print_field(out, "policy", mount->options.policy ?: "");
	print_field(out, "missing", missing);
	fprintf(out, " transport=%s transport-wanted=%s", protocol_transport(&mount->protocol),
		mount->options.uring ? "io_uring" : "dev");
	fprintf(out, " log-level=%s workers=%u lives=%lu sandbox=%s managed=%s open-images=%u",
		log_level_name(log_level), mount->nworkers,
		(unsigned long)atomic_load(&mount->state.header->lives), sandbox_in_force(),
		keep_is_managed() ? "yes" : "no", count_images(mount));
	print_counters(out, &counters);
	fprintf(out, "\n");
}

char *status_of_mount(struct mount *mount, unsigned first)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	long end;

	if (!out)
		return NULL;
	print_mount(out, mount);
	end = print_images(out, mount, first);
	fclose(out);
	if (text)
		text[end] = '\0';
	return text;
}

char *status_of_file(struct mount *mount, uint64_t id)
{
	static const struct counters none;
	struct image *image = image_find(&mount->images, id);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out) {
		fprintf(out, "dirty=%lu", image ? image_dirty(image) : 0);
		print_counters(out, image ? &image->counters : &none);
		fclose(out);
	}
	if (image)
		image_close(&mount->images, image, false);
	return text;
}
