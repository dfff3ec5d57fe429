// SPDX-License-Identifier: GPL-2.0-or-later
/* What bouncectl makes of user.bouncefs.status. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "policy/ctl.h"

bool ctl_json;

static const uint8_t *status;
static size_t status_size;

/* In the place of ctl-xattr.c: the mount says what the fuzzer wants. */
char *ctl_getxattr(const char *path, const char *key)
{
	char *text = malloc(status_size + 1);

	(void)path, (void)key;
	if (text) {
		memcpy(text, status, status_size);
		text[status_size] = 0;
	}
	return text;
}

/* In the place of ctl-files.c. */
double ctl_now(void)
{
	return 0;
}

static void check(const struct record *record)
{
	for (int i = 0; i < record->fields; i++) {
		expect(record->field[i].key && !strchr(record->field[i].key, '='));
		if (ctl_json) {
			json_member(i == 0, record->field[i].key, record->field[i].value);
			continue;
		}
		for (const char *p = record->field[i].value; *p; p++)
			expect(!iscntrl((unsigned char)*p)); /* it would steer a terminal */
	}
	expect(record_get(record, "no such key"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct snapshot snap;

	if (!size)
		return 0;
	ctl_json = data[0] & 1;
	status = data + 1;
	status_size = size - 1;
	snapshot_take("/", !ctl_json, &snap);
	expect(snap.text);
	check(&snap.mount);
	for (int i = 0; i < snap.images; i++)
		check(&snap.image[i]);
	snapshot_free(&snap);
	return 0;
}
