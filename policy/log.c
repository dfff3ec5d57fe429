// SPDX-License-Identifier: GPL-2.0-or-later
#include "log.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>
#endif

_Atomic int log_level = LOG_LEVEL_INFO;

static enum { SINK_STDERR, SINK_JOURNAL, SINK_SYSLOG } sink = SINK_STDERR;
static int sink_fd = STDERR_FILENO;

static const char *const level_names[] = {"error", "warning", "info", "debug", "trace"};
static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_DEBUG};

#define LEVELS ((int)(sizeof(level_names) / sizeof(level_names[0])))

int log_level_parse(const char *name)
{
	for (int i = 0; i < LEVELS; i++)
		if (!strcmp(name, level_names[i]))
			return i;
	return -EINVAL;
}

const char *log_level_name(int level)
{
	return level_names[level];
}

/* systemd tells which device and inode our stderr is when that is the journal (systemd.exec(5)). */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

int log_open(const char *file)
{
	if (file) {
		int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

		if (fd < 0)
			return -errno;
		sink_fd = fd;
		return 0;
	}
#ifdef HAVE_SYSTEMD
	if (stderr_is_journal())
		sink = SINK_JOURNAL;
#else
	(void)stderr_is_journal;
#endif
	return 0;
}

void log_daemonized(void)
{
	if (sink == SINK_STDERR && sink_fd == STDERR_FILENO) {
		openlog("bouncefs", LOG_PID, LOG_DAEMON);
		sink = SINK_SYSLOG;
	}
}

void log_level_step(int step)
{
	int level = log_level + step;

	if (level < LOG_LEVEL_ERROR)
		level = LOG_LEVEL_ERROR;
	if (level > LOG_LEVEL_TRACE)
		level = LOG_LEVEL_TRACE;
	log_level = level;
	log_write(LOG_LEVEL_ERROR, NULL, "log level is now %s", log_level_name(level));
}

#ifdef HAVE_SYSTEMD
static void write_journal(int level, const struct log_where *where, const char *text)
{
	char message[1100], priority[16], image[4200], offset[40], error[24];
	struct iovec v[5];
	int n = 0;

#define FIELD(buf, ...) \
	(v[n].iov_len = (size_t)snprintf(buf, sizeof(buf), __VA_ARGS__), v[n++].iov_base = buf)
	FIELD(message, "MESSAGE=%s", text);
	FIELD(priority, "PRIORITY=%d", priorities[level]);
	if (where && where->image)
		FIELD(image, "IMAGE=%s", where->image);
	if (where && where->offset >= 0)
		FIELD(offset, "OFFSET=%lld", (long long)where->offset);
	if (where && where->error)
		FIELD(error, "ERRNO=%d", where->error);
#undef FIELD
	for (int i = 0; i < n; i++)
		if (v[i].iov_len > 4199)
			v[i].iov_len = 4199;
	sd_journal_sendv(v, n);
}
#endif

void make_printable(char *text)
{
	for (char *c = text; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
}

void log_complain(const char *fmt, ...)
{
	char text[PATH_MAX + 512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	make_printable(text);
	fprintf(stderr, "bouncefs: %s\n", text);
}

void log_write(int level, const struct log_where *where, const char *fmt, ...)
{
	char text[1024], line[1100];
	int saved = errno;
	va_list ap;
	int n;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	make_printable(text);

	switch (sink) {
#ifdef HAVE_SYSTEMD
	case SINK_JOURNAL:
		write_journal(level, where, text);
		break;
#endif
	case SINK_SYSLOG:
		syslog(priorities[level], "%s", text);
		break;
	default:
		(void)where;
		n = snprintf(line, sizeof(line), "bouncefs: %s\n", text);
		if (write(sink_fd, line, n) < 0) {
			/* Nowhere left to say it. */
		}
	}
	errno = saved;
}
