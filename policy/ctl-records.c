// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>

#include "ctl.h"
#include "field.h"
#include "log.h"
#include "util.h"

/* "KEY=VALUE KEY=VALUE ..." */
static void parse(char *text, bool printable, struct record *record)
{
	char *save, *word = strtok_r(text, " ", &save);

	record->fields = 0;
	for (; word && record->fields < (int)ARRAY_SIZE(record->field);
	     word = strtok_r(NULL, " ", &save)) {
		char *equals = strchr(word, '=');

		if (!equals)
			continue;
		*equals = '\0';
		field_unescape(equals + 1);
		if (printable)
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

/* All pages of the status (fuse/status.h) in one. */
static char *fetch(const char *mountpoint)
{
	char *text = ctl_getxattr(mountpoint, "status"), *more, *joined, key[24];
	unsigned next, before = 0;

	while (text && (more = strstr(text, "\nmore next=")) &&
	       sscanf(more, "\nmore next=%u", &next) == 1 && next > before) {
		_cleanup_free_ char *page = NULL;

		snprintf(key, sizeof(key), "status.%u", next);
		page = ctl_getxattr(mountpoint, key);
		before = next;
		*more = '\0';
		if (!page || asprintf(&joined, "%s\n%s", text, page) < 0)
			break;
		free(text);
		text = joined;
	}
	return text;
}

void snapshot_take(const char *mountpoint, bool printable, struct snapshot *snap)
{
	char *line, *save;

	*snap = (struct snapshot){.text = fetch(mountpoint)};
	if (!snap->text) {
		snap->error = errno;
		return;
	}
	snap->time = ctl_now();
	snap->image = calloc(lines_of(snap->text), sizeof(*snap->image));
	if (!snap->image) {
		snapshot_free(snap);
		snap->error = ENOMEM;
		return;
	}
	for (line = strtok_r(snap->text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (!strncmp(line, "mount ", 6))
			parse(line + 6, printable, &snap->mount);
		else if (!strncmp(line, "image ", 6))
			parse(line + 6, printable, &snap->image[snap->images++]);
	}
}

void snapshot_free(struct snapshot *snap)
{
	free(snap->text);
	free(snap->image);
	*snap = (struct snapshot){0};
}

static const char *find(const struct record *record, const char *key)
{
	for (int i = 0; i < record->fields; i++)
		if (!strcmp(record->field[i].key, key))
			return record->field[i].value;
	return NULL;
}

bool record_has(const struct record *record, const char *key)
{
	return find(record, key);
}

const char *record_get(const struct record *record, const char *key)
{
	return find(record, key) ?: "-";
}

double record_number(const struct record *record, const char *key)
{
	return strtod(record_get(record, key), NULL);
}
