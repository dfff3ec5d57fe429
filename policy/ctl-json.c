// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdarg.h>
#include <string.h>

#include "ctl.h"

void json_string(const char *text)
{
	putchar('"');
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '"' || *p == '\\')
			printf("\\%c", *p);
		else if (*p < ' ')
			printf("\\u%04x", *p);
		else
			putchar(*p);
	}
	putchar('"');
}

/* Digits, at most one point, no leading zero: nothing that JSON reads otherwise. */
static bool is_number(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	if (!digits || (digits > 1 && *text == '0'))
		return false;
	text += digits;
	if (*text == '.' && text[1])
		text += 1 + strspn(text + 1, "0123456789");
	return !*text;
}

void json_member(bool first, const char *key, const char *value)
{
	fputs(first ? "" : ", ", stdout);
	json_string(key);
	fputs(": ", stdout);
	if (is_number(value))
		fputs(value, stdout);
	else
		json_string(value);
}

void json_object(const char *key, ...)
{
	bool first = true;
	va_list ap;

	putchar('{');
	va_start(ap, key);
	for (; key; key = va_arg(ap, const char *)) {
		json_member(first, key, va_arg(ap, const char *));
		first = false;
	}
	va_end(ap);
	puts("}");
}
