/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages by level. They go to the journal when systemd started us (JOURNAL_STREAM names our
 * stderr), else to stderr; a daemon without either writes to syslog or to the file of `-o log=`.
 *
 * Thread-safe. log_level may be changed at any time by any thread (a signal, an xattr).
 */
#pragma once

#include <errno.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_TRACE
};

extern _Atomic int log_level;

/* Where a message is about: any part may be left out (NULL, -1, 0). Becomes journal fields. */
struct log_where {
	const char *image; /* path in the pool */
	int64_t offset;	   /* bytes */
	int error;	   /* errno, positive */
};

/* Decides where messages go. FILE may be NULL. Returns -errno if FILE cannot be opened. */
int log_open(const char *file);

/* After this, messages no longer go to a terminal that is about to vanish. */
void log_daemonized(void);

/* error, warning, info, debug, trace; -EINVAL for anything else. */
int log_level_parse(const char *name);
const char *log_level_name(int level);

/* One level up (+1) or down (-1), within the bounds; says the new level. For signal handling
 * threads, not for signal handlers. */
void log_level_step(int step);

/* Names and values come from anybody: they must not make lines of their own, or steer a terminal.
 */
void make_printable(char *text);

/* Why there is no mount: one line for who started us. */
void log_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void log_write(int level, const struct log_where *where, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_at(level, where, ...)                             \
	do {                                                  \
		if ((level) <= log_level)                     \
			log_write(level, where, __VA_ARGS__); \
	} while (0)

#define log_err(...) log_at(LOG_LEVEL_ERROR, NULL, __VA_ARGS__)
#define log_warn(...) log_at(LOG_LEVEL_WARNING, NULL, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_INFO, NULL, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, NULL, __VA_ARGS__)
#define log_trace(...) log_at(LOG_LEVEL_TRACE, NULL, __VA_ARGS__)
