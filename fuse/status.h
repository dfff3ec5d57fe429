/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What user.bouncefs.status and user.bouncefs.stats say. Lines "TYPE KEY=VALUE ..." with values as
 * in policy/field.h: one of TYPE mount, then one of TYPE image for each open image, and if not all
 * have room in an xattr a last one "more next=N": user.bouncefs.status.N has those from N on.
 */
#pragma once

#include <stdint.h>

struct mount;

/* To be freed; NULL if there is no memory. */
char *status_of_mount(struct mount *mount, unsigned first);

/* Counters of node ID since it was opened first: one line without TYPE. */
char *status_of_file(struct mount *mount, uint64_t id);
