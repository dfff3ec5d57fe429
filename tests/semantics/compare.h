/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A behaviour is a short program that runs in an empty directory and tells what it saw. It runs
 * twice, on the bare directory and through the mount, and both transcripts must be the same.
 */
#ifndef TESTS_SEMANTICS_COMPARE_H
#define TESTS_SEMANTICS_COMPARE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define KIB 1024L
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))

struct behaviour {
	const char *name;
	void (*setup)(void); /* as root */
	void (*run)(void);   /* as the caller */
	struct behaviour *next;
};

void behaviour_register(struct behaviour *behaviour);

#define REGISTER_BEHAVIOUR(id, prepare, act)                                   \
	static void id(void);                                                  \
	__attribute__((constructor)) static void id##_register(void)           \
	{                                                                      \
		static struct behaviour behaviour = {#id, prepare, act, NULL}; \
		behaviour_register(&behaviour);                                \
	}                                                                      \
	static void id(void)
#define BEHAVIOUR_AFTER(prepare, id) REGISTER_BEHAVIOUR(id, prepare, id)
#define BEHAVIOUR(id) REGISTER_BEHAVIOUR(id, NULL, id)
/* Stays root, and may become others in children. */
#define ROOT_BEHAVIOUR(id) REGISTER_BEHAVIOUR(id, id, NULL)

/* What a behaviour may look at besides its own directory. */
extern int below;	  /* its directory on the bare filesystem */
extern bool through;	  /* it runs through the mount */
extern uid_t caller;	  /* the user it runs as ... */
extern gid_t group;	  /* ... and the user's own group */
#define SECOND_GROUP 4712 /* a supplementary group of every caller */
#define STRANGER 4999	  /* a user and a group that no caller is */

__attribute__((format(printf, 1, 2))) void note(const char *fmt, ...);
long note_result(const char *call, long result);
int note_open(const char *call, int fd);
long must_succeed(const char *call, long result);
void must_hold(const char *condition, bool holds);

/* A call whose result (or errno) is part of the transcript. */
#define TRY(call) note_result(#call, (long)(call))
/* The same for a file descriptor, whose number tells nothing. */
#define OPEN(call) note_open(#call, call)
/* Without this the rest would show nothing: ends the behaviour as failed. */
#define MUST(call) must_succeed(#call, (long)(call))
/* True on both sides, not only the same on both. */
#define EXPECT(condition) must_hold(#condition, condition)

/* lstat and contents of a file; never its times. */
void show(const char *path);
void show_fd(int fd);
void show_times(const char *path);
uint64_t digest(int fd);

void fill(void *buf, size_t len, unsigned int seed);
/* Make a file of this size with contents that depend on the offset. */
int make_file(const char *path, size_t size);
void become_caller(void);
/* Run in a child, and wait for it. */
void in_child(void (*run)(void));

/* Most of what concerns data must hold for images (direct I/O) and other files alike. */
extern const char *const file_kinds[];
#define EACH_KIND(f) for (const char *const *f##_ = file_kinds, *f; (f = *f##_) != NULL; f##_++)

#endif
