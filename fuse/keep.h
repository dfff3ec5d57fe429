/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker's side of the keeper (keeper.h): descriptors that must outlive this process, by name.
 * All functions may be called by any thread; each waits until the keeper has it (and the service
 * manager, if there is one): what they name is safe when they return.
 */
#pragma once

#include <stdbool.h>

/* Takes what the keeper handed over (LISTEN_FDS) and connects to it. -errno. */
int keep_init(void);

/* The descriptor kept as NAME, still ours to close; -1 if there is none. */
int keep_get(const char *name);

/* The names of all that was handed over, by INDEX from 0; NULL at the end. */
const char *keep_name(unsigned index);

/* A copy of FD is kept as NAME (KEEPER_NAME_MAX). -errno. */
int keep_store(const char *name, int fd);

/* Several at once, before the answer that depends on them. */
struct keep_item {
	const char *name;
	int fd;
};
int keep_store_all(const struct keep_item *items, unsigned n);

/* Forgets NAME. Does not wait. */
void keep_remove(const char *name);

/* Passes on a state such as "READY=1\nSTATUS=...". Does not wait. */
void keep_notify(const char *state);

/* Has the program on disk take over: we get SIGQUIT soon. -EPROTO: it does not understand our
 * state; other -errno of open(2), execve(2); -ETIMEDOUT. */
int keep_restart(void);

/* Whether a service manager keeps the same as the keeper. */
bool keep_is_managed(void);

/* How our predecessor ended, as in wait(2). */
int keep_death(void);
