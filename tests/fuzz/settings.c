// SPDX-License-Identifier: GPL-2.0-or-later
/* Values of settings, as an xattr holds them (not terminated): the first byte chooses the key. */
#include <ctype.h>
#include <string.h>

#include "fuzz.h"
#include "policy/settings.h"
#include "policy/util.h"

/* What was taken is printed so that it is taken again, as the same. */
static void check_taken(const struct settings *s, enum setting key)
{
	char text[SETTINGS_VALUE_MAX], effective[512];
	struct settings again = {0};

	settings_print(s, key, text);
	expect(settings_set(&again, key, text, strlen(text), FROM_FILE, NULL) == 0);
	expect(again.value[key] == s->value[key]);
	expect(settings_effective(s, effective, sizeof(effective)) < (int)sizeof(effective));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings s = settings_default;
	struct settings_error err = {0};
	enum setting key;
	char *value;

	if (!size)
		return 0;
	key = data[0] % SETTINGS;
	value = malloc(size); /* of its own: reading beyond it is seen */
	expect(value);
	memcpy(value, data + 1, size - 1);
	if (settings_set(&s, key, value, size - 1, FROM_FILE, &err) == 0) {
		check_taken(&s, key);
	} else {
		expect(*err.text && strnlen(err.text, sizeof(err.text)) < sizeof(err.text));
		for (const char *p = err.text; *p; p++)
			expect(!iscntrl((unsigned char)*p)); /* it goes into a log */
	}
	free(value);
	return 0;
}
