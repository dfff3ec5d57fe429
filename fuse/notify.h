/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What keep.h and keeper.h have in common of systemd's protocol (sd_notify(3), sd_listen_fds(3)).
 * Our own few lines and not libsystemd: that is optional, and its functions allocate.
 */
#pragma once

/* Where passed descriptors begin. */
#define NOTIFY_FDS_START 3

/* A socket connected to $NOTIFY_SOCKET; -ENOENT if there is no such variable; -errno. */
int notify_connect(void);

/*
 * The descriptors that were passed to this process, each marked close-on-exec, and their names,
 * separated by ':', in *NAMES (the environment's, to be taken apart). 0: none.
 */
int notify_passed(char **names);
