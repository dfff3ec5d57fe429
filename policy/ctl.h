/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bouncectl: what its commands share. A command gets its own argv (argv[0] is its name) and returns
 * the exit status: 0, 1 for trouble (it has said which), 2 for a wrong command line.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

enum { EXIT_TROUBLE = 1, EXIT_USAGE = 2 };

extern bool ctl_json; /* --json was given */

int ctl_attach(int argc, char **argv);
int ctl_checksum(int argc, char **argv);
int ctl_detach(int argc, char **argv);
int ctl_doctor(int argc, char **argv);
int ctl_get(int argc, char **argv);
int ctl_log_level(int argc, char **argv);
int ctl_metrics(int argc, char **argv);
int ctl_restart(int argc, char **argv);
int ctl_scrub(int argc, char **argv);
int ctl_set(int argc, char **argv);
int ctl_status(int argc, char **argv);
int ctl_top(int argc, char **argv);
int ctl_unset(int argc, char **argv);

/* "bouncectl: ..." on stderr; returns EXIT_TROUBLE. */
int ctl_trouble(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ===== ctl-xattr.c ===== */

/* What user.bouncefs.KEY of PATH, whose symlinks are followed, is, terminated, to be freed; NULL
 * and errno. */
char *ctl_getxattr(const char *path, const char *key);

/* VALUE NULL: removes it. Returns an exit status, and says what was in the way. */
int ctl_setxattr(const char *path, const char *key, const char *value);

/* The message for an xattr call that failed with errno; returns EXIT_TROUBLE. */
int ctl_xattr_trouble(const char *path, const char *key);

/*
 * The value in effect for setting KEY of PATH, and where it comes from; both to be freed. On a
 * backing file, which nobody can ask for what is in effect, its own xattr. False: not set there.
 */
bool ctl_setting(const char *path, const char *key, char **value, char **from);

/* ===== ctl-mount.c ===== */

struct ctl_mount {
	char *point;
	char *source;
	dev_t device;
	bool wanted; /* ctl-mount.c's */
};

/* The mounts that PATHS (up to a NULL) lie in, each once, or without any path all of bouncefs; the
 * last one has no point. NULL if a path lies in none (and says so). */
struct ctl_mount *ctl_mounts(char **paths);
void ctl_mounts_free(struct ctl_mount *mounts);

/* ===== ctl-json.c ===== */

void json_string(const char *text);
/* "KEY": VALUE, with a comma before it unless FIRST; VALUE as a number if it is one. */
void json_member(bool first, const char *key, const char *value);
/* A line with the object that has these keys and values, up to a NULL. */
void json_object(const char *key, ...);

/* ===== ctl-files.c ===== */

/* Calls VISIT with each regular file among PATHS and below them, in order of their names, until it
 * returns false. False: it did, or not all could be visited (it has said so). */
bool ctl_walk(char **paths, bool (*visit)(void *context, const char *path), void *context);

/* open(2) without following a symlink; says what is in the way. */
int ctl_open(const char *path, int flags);

/* The message for an ioctl that failed with errno; returns EXIT_TROUBLE. */
int ctl_ioctl_trouble(const char *path);

/* CLOCK_MONOTONIC, seconds. */
double ctl_now(void);
void ctl_sleep(double seconds);

/* Without what would steer a terminal. */
void ctl_print_path(FILE *out, const char *path);

/* "PATH: OFFSET LENGTH REASON", or an element of a JSON array. */
struct bad_range;
void ctl_print_range(const char *path, const struct bad_range *range, bool first);

/* A line on standard error that is written over, if that is a terminal: DONE of ALL bytes, and how
 * many more a second. */
bool ctl_progress_wanted(void);
void ctl_progress(const char *path, double done, double all, double speed);
void ctl_progress_end(void);

/* ===== ctl-records.c ===== */

/* One line of user.bouncefs.status. */
struct record {
	struct {
		const char *key, *value;
	} field[32];
	int fields;
};

/* What a mount said, and when. */
struct snapshot {
	double time; /* CLOCK_MONOTONIC, seconds */
	int error;   /* errno, where it did not answer */
	char *text;  /* the strings of the records; NULL: no answer */
	struct record mount, *image;
	int images;
};

/* PRINTABLE: names of files come from anybody, and must not steer a terminal. */
void snapshot_take(const char *mountpoint, bool printable, struct snapshot *snap);
void snapshot_free(struct snapshot *snap);

bool record_has(const struct record *record, const char *key);

/* The field's value, or "-". */
const char *record_get(const struct record *record, const char *key);

/* The same as a number; 0 if it is none. */
double record_number(const struct record *record, const char *key);

/* ===== ctl-status.c ===== */

/* Shows what the mounts of PATHS (ctl_mounts) did within SECONDS; returns an exit status. */
int status_show(char **paths, double seconds, bool clear);

/* ===== ctl-loop.c ===== */

/* The loop device over the file of PATH ("/dev/loop3"), to be freed; NULL if there is none. */
char *loop_over(const char *path);

/* Device and inode number of the file that the loop device is over; false if there is none. */
bool loop_file(const char *device, struct stat *st);

/* An attribute of the loop device's sysfs directory ("loop/dio"), to be freed, or NULL. */
char *loop_sysfs(const char *device, const char *attribute);
