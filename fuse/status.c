// SPDX-License-Identifier: GPL-2.0-or-later
#include "status.h"

#include <limits.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "mount.h"
#include "policy.h"
#include "policy/field.h"
#include "policy/log.h"
#include "policy/util.h"
#include "sandbox.h"

static void print_field(FILE *out, const char *key, const char *value)
{
	char field[4 * PATH_MAX];

	field_escape(value, field, sizeof(field));
	fprintf(out, " %s=%s", key, field);
}

/* IMAGE may be NULL: nothing happened to a file that is not open. */
static void print_counters(FILE *out, struct image *image)
{
	static const struct image unused;
	const struct image *i = image ?: &unused;

	fprintf(out, "reads=%lu writes=%lu read-bytes=%lu write-bytes=%lu errors=%lu dirty=%lu",
		atomic_load(&i->reads), atomic_load(&i->writes), atomic_load(&i->read_bytes),
		atomic_load(&i->written_bytes), atomic_load(&i->errors),
		image ? image_dirty(image) : 0);
}

static void print_image(FILE *out, struct mount *mount, struct image *image)
{
	struct settings settings = image_settings(&mount->images, image);
	char path[PATH_MAX], value[SETTINGS_VALUE_MAX];

	fprintf(out, "image");
	print_field(out, "path", policy_name(mount, image->key, image->cached_fd, path));
	print_field(out, "cache", settings_print(&settings, SETTING_CACHE, value));
	print_field(out, "reason", settings_from(&settings, SETTING_CACHE));
	fprintf(out, " block-size=%lu ", settings.value[SETTING_BLOCK_SIZE]);
	print_counters(out, image);
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

/* Returns where the last line ends that fits into an xattr. */
static long print_images(FILE *out, struct mount *mount)
{
	struct image *image;
	unsigned next = 0;
	long end = ftell(out);

	while (end <= XATTR_SIZE_MAX && (image = image_next(&mount->images, &next))) {
		long before = end;

		if (image->is_image)
			print_image(out, mount, image);
		image_close(&mount->images, image, false);
		end = ftell(out);
		if (end > XATTR_SIZE_MAX)
			return before;
	}
	return end;
}

char *status_of_mount(struct mount *mount)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	long end;

	if (!out)
		return NULL;
	fprintf(out, "mount");
	print_field(out, "source", mount->options.source);
	fprintf(out, " log-level=%s workers=%u lives=%lu sandbox=%s open-images=%u\n",
		log_level_name(log_level), mount->nworkers,
		(unsigned long)atomic_load(&mount->state.header->lives), sandbox_in_force(),
		count_images(mount));
	end = print_images(out, mount);
	fclose(out);
	if (text)
		text[end] = '\0';
	return text;
}

char *status_of_file(struct mount *mount, uint64_t id)
{
	struct image *image = image_find(&mount->images, id);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out) {
		print_counters(out, image);
		fclose(out);
	}
	if (image)
		image_close(&mount->images, image, false);
	return text;
}
