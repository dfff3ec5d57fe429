/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the daemon asks of the kernel for itself: it stands in the way of memory being freed. */
#pragma once

/* As many descriptors as the system lets us have. */
void process_raise_descriptors(void);

/* Before any thread or ring exists. What cannot be had is a log line, not an end. */
void process_prepare(void);

/* Blocks the signals that both our processes handle and returns a signalfd(2) of them; threads that
 * are started later inherit that. -errno. */
int process_signals(void);

/* How many descriptors we may have. */
unsigned process_descriptors(void);

/* Goes to the background. Returns, in the daemon, a descriptor for process_ready(); the calling
 * process waits for that and exits, with status 0 only if it came. -errno. */
int process_daemonize(void);
void process_ready(int fd);

/* Lets go of the terminal. */
void process_detach(void);
