// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "ctl.h"
#include "field.h"
#include "settings.h"
#include "util.h"

/* Names of files come from anybody; they must not steer a terminal. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if (iscntrl((unsigned char)*text))
			*text = '?';
}

/* "KEY=VALUE KEY=VALUE ..." */
static void parse(char *text, struct record *record)
{
	char *save, *word = strtok_r(text, " ", &save);

	for (; word && record->fields < (int)ARRAY_SIZE(record->field);
	     word = strtok_r(NULL, " ", &save)) {
		char *equals = strchr(word, '=');

		if (!equals)
			continue;
		*equals = '\0';
		field_unescape(equals + 1);
		if (!ctl_json)
			make_printable(equals + 1);
		record->field[record->fields].key = word;
		record->field[record->fields++].value = equals + 1;
	}
}

/* How many lines TEXT can have at most. */
static size_t lines_of(const char *text)
{
	size_t n = 1;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

void snapshot_take(const char *mountpoint, struct snapshot *snap)
{
	struct timespec now;
	char *line, *save;

	*snap = (struct snapshot){.text = ctl_getxattr(mountpoint, XATTR_PREFIX "status")};
	if (!snap->text) {
		snap->error = errno;
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	snap->time = now.tv_sec + now.tv_nsec / 1e9;
	snap->image = calloc(lines_of(snap->text), sizeof(*snap->image));
	if (!snap->image) {
		snapshot_free(snap);
		snap->error = ENOMEM;
		return;
	}
	for (line = strtok_r(snap->text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (!strncmp(line, "mount ", 6))
			parse(line + 6, &snap->mount);
		else if (!strncmp(line, "image ", 6))
			parse(line + 6, &snap->image[snap->images++]);
	}
}

void snapshot_free(struct snapshot *snap)
{
	free(snap->text);
	free(snap->image);
	*snap = (struct snapshot){0};
}

const char *record_get(const struct record *record, const char *key)
{
	for (int i = 0; i < record->fields; i++)
		if (!strcmp(record->field[i].key, key))
			return record->field[i].value;
	return "-";
}
