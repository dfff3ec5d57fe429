// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * stamp - sectors that tell who wrote them when, for whom the power goes
 *
 *	stamp write CTL SECONDS SEED FILE...	> OPERATIONS
 *	stamp check OPERATIONS CUT FILE...
 *
 * `write` changes FILEs (through bouncefs, all of one size) from several threads at once: writes of
 * any number of sectors, discards, zeroing, shrinking and growing again, and syncs. CTL is the
 *store below (tests/store), which logs: after each sync it is asked how much it has logged. `check`
 *looks at FILEs that have lived through a loss of power after the store's first CUT entries: each
 *sector must be what it was at the last sync before the cut, or what was made of it since. Files
 *whose name begins with `unsafe` may have lost anything, but no sector may be broken.
 *
 * A line of OPERATIONS is `w|z SEQUENCE FILE SECTOR COUNT` (before it is done) or
 * `s SEQUENCE FILE THREAD LOGGED` (after: the thread's earlier operations are safe).
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SECTOR 512u
#define THREADS 4
#define STRIPE 64u /* sectors in a row that belong to one thread */
#define FILES_MAX 8
#define MAGIC 0x706d617473ull

struct sector {
	uint64_t magic, file, number, sequence, fill[60];
};
_Static_assert(sizeof(struct sector) == SECTOR, "");

static int nfiles;
static char **names;
static uint64_t sectors; /* in each file */

static void make_sector(struct sector *s, uint64_t file, uint64_t number, uint64_t sequence)
{
	uint64_t x = (file << 56 ^ number << 32 ^ sequence) * 0x9e3779b97f4a7c15ull;

	*s = (struct sector){MAGIC, file, number, sequence, {0}};
	for (int i = 0; i < 60; i++)
		s->fill[i] = x += 0xbf58476d1ce4e5b9ull;
}

static int owner(uint64_t sector)
{
	return sector / STRIPE % THREADS;
}

/* ===== write ===== */

static struct target {
	int direct, cached;
} targets[FILES_MAX];
static pthread_rwlock_t sizes = PTHREAD_RWLOCK_INITIALIZER; /* written: a file's size changes */
static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;
static uint64_t last_sequence;
static const char *ctl;
static time_t deadline;
static unsigned seed;

static uint64_t log_operation(char what, int file, uint64_t a, uint64_t b)
{
	uint64_t sequence;

	pthread_mutex_lock(&output);
	sequence = ++last_sequence;
	printf("%c %lu %d %lu %lu\n", what, sequence, file, a, b);
	pthread_mutex_unlock(&output);
	return sequence;
}

static uint64_t logged(void)
{
	FILE *f = fopen(ctl, "r");
	char name[32];
	uint64_t n;

	while (f && fscanf(f, "%31s %lu", name, &n) == 2) {
		if (strcmp(name, "logged"))
			continue;
		fclose(f);
		return n;
	}
	errx(1, "%s does not tell what is logged", ctl);
}

static void write_some(int file, uint64_t first, uint64_t count, unsigned *rnd)
{
	static _Thread_local struct sector buf[STRIPE] __attribute__((aligned(4096)));
	uint64_t sequence = log_operation('w', file, first, count);
	int fd = rand_r(rnd) % 4 ? targets[file].direct : targets[file].cached;

	for (uint64_t i = 0; i < count; i++)
		make_sector(&buf[i], file, first + i, sequence);
	if (pwrite(fd, buf, count * SECTOR, first * SECTOR) != (ssize_t)(count * SECTOR))
		err(1, "write to %s", names[file]);
}

static void zero_some(int file, uint64_t first, uint64_t count, unsigned *rnd)
{
	int mode = rand_r(rnd) % 2 ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE, rc;

	log_operation('z', file, first, count);
	rc = fallocate(targets[file].cached, mode | FALLOC_FL_KEEP_SIZE, first * SECTOR,
		       count * SECTOR);
	if (rc && errno == EOPNOTSUPP) /* Btrfs and zeroing */
		rc = fallocate(targets[file].cached, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       first * SECTOR, count * SECTOR);
	if (rc)
		err(1, "fallocate %s", names[file]);
}

static void shrink_and_grow(int file, uint64_t first)
{
	pthread_rwlock_wrlock(&sizes);
	log_operation('z', file, first, sectors - first);
	if (ftruncate(targets[file].cached, first * SECTOR) ||
	    ftruncate(targets[file].cached, sectors * SECTOR))
		err(1, "truncate %s", names[file]);
	pthread_rwlock_unlock(&sizes);
}

static void sync_file(int file, int thread, uint64_t sequence)
{
	if (fsync(targets[file].cached))
		err(1, "fsync %s", names[file]);
	pthread_mutex_lock(&output);
	printf("s %lu %d %d %lu\n", sequence, file, thread, logged());
	pthread_mutex_unlock(&output);
}

static void *run(void *arg)
{
	int thread = (intptr_t)arg;
	unsigned rnd = seed * THREADS + thread;
	uint64_t mine;

	while (time(NULL) < deadline) {
		int file = rand_r(&rnd) % nfiles, what = rand_r(&rnd) % 1000;
		uint64_t stripe = rand_r(&rnd) % (sectors / STRIPE / THREADS) * THREADS + thread;
		uint64_t from = rand_r(&rnd) % STRIPE;
		uint64_t count = 1 + rand_r(&rnd) % (STRIPE - from);

		if (what < 500) { /* whole blocks */
			from &= ~7u;
			count = count < 8 ? 8 : count & ~7u;
		}
		if (what == 999) {
			shrink_and_grow(file, sectors / 2 + rand_r(&rnd) % (sectors / 2));
			continue;
		}
		pthread_rwlock_rdlock(&sizes);
		if (what < 850)
			write_some(file, stripe * STRIPE + from, count, &rnd);
		else if (what < 970)
			zero_some(file, stripe * STRIPE + from, count, &rnd);
		/* no size is being changed, and what this thread did is done */
		pthread_mutex_lock(&output);
		mine = last_sequence;
		pthread_mutex_unlock(&output);
		pthread_rwlock_unlock(&sizes);
		if (what >= 970)
			sync_file(file, thread, mine);
	}
	return NULL;
}

static int write_all(void)
{
	pthread_t threads[THREADS];

	for (int i = 0; i < nfiles; i++) {
		targets[i].direct = open(names[i], O_RDWR | O_DIRECT);
		targets[i].cached = open(names[i], O_RDWR);
		if (targets[i].direct < 0 || targets[i].cached < 0)
			err(1, "%s", names[i]);
	}
	for (intptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, run, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

/* ===== check ===== */

/* What was done to a sector, latest first. */
struct version {
	uint64_t sequence;
	bool zero;
	struct version *older;
};

static struct version **history[FILES_MAX];
static uint64_t synced[FILES_MAX][THREADS];
static unsigned long problems;

static void complain(int file, uint64_t sector, const char *what, uint64_t is)
{
	if (problems++ < 20)
		printf("%s: sector %lu: %s (%lu; synced until %lu)\n", names[file], sector, what,
		       is, synced[file][owner(sector)]);
}

static void read_operations(const char *path, uint64_t cut)
{
	FILE *f = fopen(path, "r");
	uint64_t sequence, a, b;
	struct version *v;
	int file;
	char what;

	if (!f)
		err(1, "%s", path);
	while (fscanf(f, " %c %lu %d %lu %lu", &what, &sequence, &file, &a, &b) == 5) {
		if (what == 's') {
			if (b <= cut && sequence > synced[file][a])
				synced[file][a] = sequence;
			continue;
		}
		for (uint64_t i = a; i < a + b; i++) {
			v = malloc(sizeof(*v));
			*v = (struct version){sequence, what == 'z', history[file][i]};
			history[file][i] = v;
		}
	}
	fclose(f);
}

/* Whether sector NUMBER may be the one that was written as SEQUENCE; 0: zeroes. */
static bool may_be(int file, uint64_t number, uint64_t sequence)
{
	uint64_t safe = strncmp(strrchr(names[file], '/') + 1, "unsafe", 6)
				? synced[file][owner(number)]
				: 0;

	for (struct version *v = history[file][number]; v; v = v->older) {
		if (v->zero ? !sequence : v->sequence == sequence)
			return true;
		if (v->sequence <= safe)
			return false; /* this one must be there, or a newer one */
	}
	return !sequence; /* as it was in the beginning */
}

static void check_sector(int file, uint64_t number, const struct sector *s)
{
	static const struct sector zeroes;
	struct sector right;

	if (!memcmp(s, &zeroes, SECTOR)) {
		if (!may_be(file, number, 0))
			complain(file, number, "zeroes", 0);
		return;
	}
	make_sector(&right, file, number, s->sequence);
	if (memcmp(s, &right, SECTOR))
		complain(file, number, "nobody wrote this", s->sequence);
	else if (!may_be(file, number, s->sequence))
		complain(file, number, "too old", s->sequence);
}

/* What a shorter file lacks is as good as zeroes. */
static void check_file(int file)
{
	static struct sector buf[STRIPE] __attribute__((aligned(4096)));
	int fd = open(names[file], O_RDONLY);

	if (fd < 0)
		err(1, "%s", names[file]);
	for (uint64_t at = 0; at < sectors; at += STRIPE) {
		memset(buf, 0, sizeof(buf));
		if (pread(fd, buf, sizeof(buf), at * SECTOR) < 0) {
			complain(file, at, strerror(errno), 0);
			continue;
		}
		for (unsigned i = 0; i < STRIPE; i++)
			check_sector(file, at + i, &buf[i]);
	}
	close(fd);
}

static int check_all(const char *operations, uint64_t cut)
{
	for (int i = 0; i < nfiles; i++)
		history[i] = calloc(sectors, sizeof(*history[i]));
	read_operations(operations, cut);
	for (int i = 0; i < nfiles; i++)
		check_file(i);
	printf("%lu problems\n", problems);
	return problems > 0;
}

int main(int argc, char **argv)
{
	bool writing = argc > 1 && !strcmp(argv[1], "write");
	int first = writing ? 5 : 4;
	struct stat st;

	if (argc <= first || argc > first + FILES_MAX || (!writing && strcmp(argv[1], "check")))
		errx(2,
		     "usage: stamp write CTL SECONDS SEED FILE... | check OPERATIONS CUT FILE...");
	nfiles = argc - first;
	names = argv + first;
	sectors = (8 << 20) / SECTOR;
	if (!writing)
		return check_all(argv[2], strtoull(argv[3], NULL, 0));
	for (int i = 0; i < nfiles; i++)
		if (stat(names[i], &st) || (uint64_t)st.st_size != sectors * SECTOR)
			errx(1, "%s: not of %lu bytes", names[i], sectors * SECTOR);
	ctl = argv[2];
	deadline = time(NULL) + atoi(argv[3]);
	seed = atoi(argv[4]);
	return write_all();
}
