/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fields as in /proc/self/mountinfo: blanks, control characters and backslashes are written \OOO.
 * user.bouncefs.status consists of lines "TYPE KEY=VALUE KEY=VALUE ..." whose values are fields.
 */
#pragma once

#include <stddef.h>

/* Returns what snprintf would. */
int field_escape(const char *text, char *buf, size_t size);

/* In place. */
void field_unescape(char *text);
