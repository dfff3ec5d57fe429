/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which names are images (-o images=). */
#pragma once

#include <stdbool.h>

#define IMAGES_DEFAULT "*.img:*.raw:*.qcow2"

/* Whether NAME (the last component of a path) matches one of the globs, separated by ':'. */
bool images_match(const char *globs, const char *name);
