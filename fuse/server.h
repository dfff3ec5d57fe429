/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker process: mounts, or takes over what a predecessor had mounted, serves, and ends with
 * the connection or by handing over.
 */
#pragma once

#include "options.h"

/* Returns the process's exit status (keeper.h tells which the keeper understands). */
int server_run(const struct options *options);
