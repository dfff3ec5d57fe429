// SPDX-License-Identifier: GPL-2.0-or-later
#include "field.h"

#include <stdbool.h>
#include <stdio.h>

#include "util.h"

int field_escape(const char *text, char *buf, size_t size)
{
	int len = 0;

	if (size)
		*buf = '\0';
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		bool plain = *p > ' ' && *p != '\\' && *p != 0x7f;
		size_t used = MIN((size_t)len, size);

		len += snprintf(buf + used, size - used, plain ? "%c" : "\\%03o", *p);
	}
	return len;
}

static bool is_octal(const char *p)
{
	return p[0] >= '0' && p[0] <= '3' && p[1] >= '0' && p[1] <= '7' && p[2] >= '0' &&
	       p[2] <= '7';
}

void field_unescape(char *text)
{
	char *out = text;

	for (const char *p = text; *p; p++) {
		if (*p == '\\' && is_octal(p + 1)) {
			*out++ = (p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0');
			p += 3;
		} else {
			*out++ = *p;
		}
	}
	*out = '\0';
}
