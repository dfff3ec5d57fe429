/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What user.bouncefs.status and user.bouncefs.stats say. Lines "TYPE KEY=VALUE ..." with values as
 * in policy/field.h: one of TYPE mount, then one of TYPE image for each open image.
 */
#pragma once

#include <stdint.h>

struct mount;

/* To be freed; NULL if there is no memory. What exceeds an xattr's size is left out, whole lines.
 */
char *status_of_mount(struct mount *mount);

/* Counters of node ID since it was opened first: one line without TYPE. */
char *status_of_file(struct mount *mount, uint64_t id);
