// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * model - changes of every kind, from many threads and on every way there is, and what must come of
 * them
 *
 *	model SECONDS SEED DIRECTORY LOOP...
 *
 * DIRECTORY has a.img, with loop devices over it, and b.img and c.img, all of 16 MiB and empty. The
 * content that they must have is kept in memory. Each thread writes, reads and compares, punches,
 * zeroes, truncates, copies, maps, renames, links, syncs, opens again and switches cache modes. It
 * holds what it does this to, or shares blocks with the others, each writing sectors of its own;
 *and one reads whatever there is, whoever may be writing it: no read may fail. Where all is said
 *and done the files must be what DIRECTORY.model/{a,b,c} is. Prints how many operations there were.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define SIZE_MAX_ (16u << 20)
#define ZONE (256u << 10)
#define ZONES (SIZE_MAX_ / ZONE)
#define SECTOR 512u
#define THREADS 6
#define SHARE 8 /* sectors in a row with different owners */
#define IO_MAX (3u << 20) / 2
#define WAYS 4

/* A file. Whoever holds a zone, shared or not, knows its size; all of them: may change it. */
static struct object {
	const char *name;
	bool fixed; /* size, name and descriptors: there are loop devices over it */
	char path[200];
	uint8_t *data;
	uint32_t size;
	pthread_rwlock_t zones[ZONES];
	int way[WAYS]; /* direct, cached, loop devices (or the first ones again) */
} objects[3] = {{"a", true}, {"b"}, {"c"}};

static const char *directory;
static double deadline;
static _Atomic unsigned long operations;
static _Atomic bool over;

static _Thread_local unsigned rnd;
static _Thread_local int me;
static _Thread_local uint8_t *io;

static uint32_t draw(uint32_t n)
{
	return (((uint32_t)rand_r(&rnd) << 15) ^ (uint32_t)rand_r(&rnd)) % n;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* ===== holding ===== */

static void hold(struct object *o, uint32_t from, uint32_t to, bool alone)
{
	for (uint32_t z = from / ZONE; z < ZONES && z * ZONE < to; z++)
		(alone ? pthread_rwlock_wrlock : pthread_rwlock_rdlock)(&o->zones[z]);
}

static void drop(struct object *o, uint32_t from, uint32_t to)
{
	for (uint32_t z = from / ZONE; z < ZONES && z * ZONE < to; z++)
		pthread_rwlock_unlock(&o->zones[z]);
}

/* ===== what was done ===== */

#define PAST 65536

static struct past {
	const struct object *object;
	const char *what;
	uint32_t from, n;
	int way, thread;
} past[PAST];
static _Atomic unsigned npast;

static void note(const struct object *o, const char *what, uint32_t from, uint32_t n, int way)
{
	past[npast++ % PAST] = (struct past){o, what, from, n, way, me};
}

/* The last operations that may have to do with these bytes, latest first, and the end. */
static void __attribute__((format(printf, 4, 5), noreturn))
wrong(const struct object *o, uint32_t from, uint32_t n, const char *fmt, ...)
{
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
	unsigned end = npast, shown = 0;
	va_list ap;

	pthread_mutex_lock(&once); /* for good */
	fprintf(stderr, "%s at %u, %u bytes: ", o->path, from, n);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	for (unsigned i = 1; i <= PAST && i <= end && shown < 25; i++) {
		const struct past *p = &past[(end - i) % PAST];

		if (p->object != o || p->from / 4096 > (from + n) / 4096 ||
		    p->from + p->n < from / 4096 * 4096)
			continue;
		fprintf(stderr, "  %u ago: %s at %u, %u bytes, way %d, thread %d\n", i, p->what,
			p->from, p->n, p->way, p->thread);
		shown++;
	}
	_exit(1);
}

/* ===== data ===== */

static void fill(uint8_t *to, uint32_t n)
{
	static _Atomic uint64_t stamp;
	uint64_t x = ++stamp * 0x9e3779b97f4a7c15ull;

	for (uint32_t i = 0; i < n; i++, x = x * 6364136223846793005ull + 1442695040888963407ull)
		to[i] = x >> 56;
}

static void compare(const struct object *o, const uint8_t *is, uint32_t from, uint32_t n,
		    const char *what)
{
	if (!memcmp(is, o->data + from, n))
		return;
	for (uint32_t i = 0; i < n; i++)
		if (is[i] != o->data[from + i])
			wrong(o, from + i, 1, "%s: %02x, expected %02x", what, is[i],
			      o->data[from + i]);
}

static void read_exactly(struct object *o, int way, uint32_t from, uint32_t n)
{
	ssize_t got = pread(o->way[way], io, n, from);

	if (got != n)
		wrong(o, from, n, "read, way %d: %zd: %s", way, got, strerror(got < 0 ? errno : 0));
}

static void write_exactly(struct object *o, int way, const void *data, uint32_t from, uint32_t n)
{
	ssize_t put = pwrite(o->way[way], data, n, from);

	note(o, "write", from, n, way);
	if (put != n)
		wrong(o, from, n, "write, way %d: %zd: %s", way, put,
		      strerror(put < 0 ? errno : 0));
}

/* ===== operations on a range that is held; it lies within the file ===== */

static void do_write(struct object *o, int way, uint32_t from, uint32_t n)
{
	if (draw(16))
		fill(io, n);
	else
		memset(io, 0, n);
	write_exactly(o, way, io, from, n);
	memcpy(o->data + from, io, n);
}

static void do_read(struct object *o, int way, uint32_t from, uint32_t n)
{
	read_exactly(o, way, from, n);
	compare(o, io, from, n, "read");
}

static void do_zero(struct object *o, int way, uint32_t from, uint32_t n)
{
	uint64_t range[] = {from, n};
	bool punch = draw(2);
	int rc;

	if (way > 1) {
		rc = ioctl(o->way[way], punch ? BLKDISCARD : BLKZEROOUT, range);
	} else {
		rc = fallocate(o->way[way],
			       FALLOC_FL_KEEP_SIZE |
				       (punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE),
			       from, n);
	}
	if (rc && errno == EOPNOTSUPP)
		return;
	if (rc)
		wrong(o, from, n, "%s, way %d: %m", punch ? "punch" : "zero", way);
	note(o, punch ? "punch" : "zero", from, n, way);
	memset(o->data + from, 0, n);
}

static void do_allocate(struct object *o, int way, uint32_t from, uint32_t n)
{
	if (way < 2 && fallocate(o->way[way], FALLOC_FL_KEEP_SIZE, from, n) && errno != EOPNOTSUPP)
		wrong(o, from, n, "fallocate: %m");
	note(o, "fallocate", from, n, way);
}

static void do_map(struct object *o, int way, uint32_t from, uint32_t n)
{
	uint32_t start = from & ~4095u;
	uint8_t *p;

	if (way > 1)
		return;
	p = mmap(NULL, from + n - start, PROT_READ | PROT_WRITE, MAP_SHARED, o->way[1], start);
	if (p == MAP_FAILED) {
		if (errno == ENODEV) /* before Linux 6.6 */
			return;
		err(1, "mmap of %s", o->path);
	}
	compare(o, p + from - start, from, n, "mapping");
	fill(o->data + from, n);
	memcpy(p + from - start, o->data + from, n);
	if (msync(p, from + n - start, MS_SYNC))
		err(1, "msync of %s", o->path);
	note(o, "write to a mapping", from, n, 1);
	munmap(p, from + n - start);
}

static void on_range(struct object *o)
{
	static void (*const what[])(struct object *, int, uint32_t, uint32_t) = {
		do_write, do_write, do_write, do_read,	   do_read, do_read,
		do_write, do_zero,  do_zero,  do_allocate, do_read, do_map,
	};
	static const uint32_t sizes[] = {SECTOR, SECTOR, 4096,	4096, 4096,
					 16384,	 16384,	 65536, ZONE, IO_MAX};
	uint32_t n = 1 + draw(sizes[draw(10)]), from = draw(SIZE_MAX_), end;
	unsigned w = draw(sizeof(what) / sizeof(*what));
	int way = draw(WAYS);

	if (way != 1 || draw(2)) { /* not through the page cache, or at random */
		uint32_t unit = draw(2) ? SECTOR : 4096;

		from &= ~(unit - 1);
		n = (n + unit - 1) & ~(unit - 1);
	}
	end = MIN(from + n, SIZE_MAX_);
	if (what[w] == do_map) { /* pages around it are written back, too */
		hold(o, 0, SIZE_MAX_, true);
	} else {
		hold(o, from, end, true);
	}
	if (from < o->size && (o->fixed || way < 2)) {
		uint32_t m = MIN(end, o->size) - from;

		if (way == 1 || m % SECTOR == 0 || !o->fixed)
			what[w](o, way, from, m);
	}
	if (what[w] == do_map)
		drop(o, 0, SIZE_MAX_);
	else
		drop(o, from, end);
}

/* ===== blocks that all write to, each its own sectors ===== */

static void share(struct object *o)
{
	uint32_t from = draw(SIZE_MAX_ / SECTOR / SHARE) * SHARE * SECTOR;
	uint32_t mine = from + me * SECTOR, n = SECTOR * SHARE * (1 + draw(4));
	int way = draw(o->fixed ? WAYS : 2);

	hold(o, from, from + n, false);
	if (from + n <= o->size) {
		if (draw(2)) {
			fill(io, SECTOR);
			write_exactly(o, way, io, mine, SECTOR);
			memcpy(o->data + mine, io, SECTOR);
		} else {
			read_exactly(o, way, from, n);
			for (uint32_t at = me * SECTOR; at < n; at += SHARE * SECTOR)
				compare(o, io + at, from + at, SECTOR, "shared read");
		}
	}
	drop(o, from, from + n);
}

/* ===== on whole files ===== */

static void empty(struct object *o)
{
	int fd = open(o->path, O_WRONLY | O_TRUNC);

	if (fd < 0 || close(fd))
		err(1, "O_TRUNC of %s", o->path);
	note(o, "O_TRUNC", 0, SIZE_MAX_, -1);
	memset(o->data, 0, SIZE_MAX_);
	o->size = 0;
}

/* Smaller or larger, in one of the ways that there are. */
static void resize(struct object *o)
{
	uint32_t size = draw(4) ? draw(SIZE_MAX_) : SIZE_MAX_;
	int rc;

	if (o->fixed)
		return;
	if (draw(2))
		size &= ~4095u;
	hold(o, 0, SIZE_MAX_, true);
	if (!draw(8))
		empty(o);
	if (size > o->size && draw(2))
		rc = fallocate(o->way[1], 0, 0, size);
	else
		rc = ftruncate(o->way[1], size);
	if (rc)
		err(1, "size of %s from %u to %u", o->path, o->size, size);
	note(o, "new size from here on", MIN(size, o->size), SIZE_MAX_, 1);
	if (size < o->size)
		memset(o->data + size, 0, o->size - size);
	o->size = size;
	drop(o, 0, SIZE_MAX_);
}

static void append(struct object *o)
{
	uint32_t n = 1 + draw(100000), gap = draw(4) ? 0 : draw(50000);

	if (o->fixed)
		return;
	hold(o, 0, SIZE_MAX_, true);
	if (o->size + gap + n <= SIZE_MAX_) {
		fill(io, n);
		write_exactly(o, draw(2), io, o->size + gap, n);
		memcpy(o->data + o->size + gap, io, n);
		o->size += gap + n;
	}
	drop(o, 0, SIZE_MAX_);
}

/* Both are held, in one order. */
static void copy(struct object *to)
{
	struct object *from = &objects[draw(3)], *first = MIN(from, to), *second = MAX(from, to);
	off_t in = draw(SIZE_MAX_), out = draw(SIZE_MAX_);
	off_t n = 1 + draw(4 << 20);
	ssize_t done;

	if (from == to)
		return;
	if (draw(4))
		in &= ~4095u, out &= ~4095u, n = (n + 4095) & ~4095u;
	hold(first, 0, SIZE_MAX_, true);
	hold(second, 0, SIZE_MAX_, true);
	if (in < from->size && out < to->size) {
		off_t at = in, at_out = out;

		n = MIN(n, MIN(from->size - in, to->size - out));
		done = copy_file_range(from->way[1], &at, to->way[1], &at_out, n, 0);
		if (done < 0)
			err(1, "copy from %s at %ld to %s at %ld, %ld bytes", from->path, in,
			    to->path, out, n);
		note(to, "copy to", out, done, from - objects);
		note(from, "copy from", in, done, to - objects);
		memcpy(to->data + out, from->data + in, done);
	}
	drop(second, 0, SIZE_MAX_);
	drop(first, 0, SIZE_MAX_);
}

static void open_files(struct object *o)
{
	for (int i = 0; i < 2; i++) {
		o->way[i] = open(o->path, O_RDWR | (i ? 0 : O_DIRECT));
		if (o->way[i] < 0)
			err(1, "%s", o->path);
		if (!o->fixed)
			o->way[i + 2] = o->way[i];
	}
}

static void close_files(struct object *o)
{
	for (int i = 0; i < 2; i++)
		if (close(o->way[i]))
			err(1, "close of %s", o->path);
}

/* Another name, and perhaps another one for a while; and all opened again, perhaps after nobody had
 * it open. */
static void move(struct object *o)
{
	char path[sizeof(o->path)], second[sizeof(o->path) + 16];
	struct object old;
	bool last_close = draw(2);

	if (o->fixed)
		return;
	hold(o, 0, SIZE_MAX_, true);
	old = *o;
	snprintf(path, sizeof(path), "%s/%s%u.img", directory, o->name, draw(1000));
	snprintf(second, sizeof(second), "%s.link.img", o->path);
	if (last_close)
		close_files(o);
	if (link(o->path, second))
		err(1, "link of %s", o->path);
	if (strcmp(path, o->path) && rename(o->path, path))
		err(1, "rename of %s", o->path);
	strcpy(o->path, path);
	open_files(o);
	note(o, last_close ? "last close" : "rename", 0, SIZE_MAX_, -1);
	if (!last_close)
		close_files(&old);
	if (unlink(second))
		err(1, "unlink of %s", second);
	drop(o, 0, SIZE_MAX_);
}

/* A new file in the place of the old one. */
static void replace(struct object *o)
{
	if (o->fixed || draw(8))
		return;
	hold(o, 0, SIZE_MAX_, true);
	close_files(o);
	if (unlink(o->path))
		err(1, "unlink of %s", o->path);
	close(open(o->path, O_CREAT | O_RDWR, 0600));
	open_files(o);
	note(o, "new file", 0, SIZE_MAX_, -1);
	memset(o->data, 0, SIZE_MAX_);
	o->size = 0;
	drop(o, 0, SIZE_MAX_);
}

static void set(struct object *o, const char *key, const char *value)
{
	if (fsetxattr(o->way[1], key, value, strlen(value), 0))
		wrong(o, 0, 0, "%s=%s: %m", key, value);
	note(o, value, 0, SIZE_MAX_, -1);
}

/* While it is in use: the first zone is shared, so that the descriptors stay. */
static void settings(struct object *o)
{
	static const char *const modes[] = {"none",	 "directsync",	 "writeback",
					    "dontcache", "writethrough", "unsafe"};
	static const char *const zeroes[] = {"off", "on", "unmap"};

	hold(o, 0, 1, false);
	if (draw(4))
		set(o, "user.bouncefs.cache", modes[draw(6)]);
	else
		set(o, "user.bouncefs.detect-zeroes", zeroes[draw(3)]);
	drop(o, 0, 1);
}

static void sync_(struct object *o)
{
	int way = draw(o->fixed ? WAYS : 2);

	hold(o, 0, 1, false);
	if (fsync(o->way[way]))
		err(1, "fsync of %s, way %d", o->path, way);
	drop(o, 0, 1);
}

/* ===== threads ===== */

static const char *only; /* names of operations: no others */

static void operate(void)
{
	static const struct {
		const char *name;
		void (*what)(struct object *);
		int weight;
	} choice[] = {
		{"range", on_range, 500}, {"share", share, 500},     {"resize", resize, 8},
		{"append", append, 8},	  {"copy", copy, 10},	     {"move", move, 3},
		{"replace", replace, 4},  {"settings", settings, 4}, {"sync", sync_, 20},
	};
	int n = draw(1057);

	for (unsigned i = 0; i < sizeof(choice) / sizeof(*choice); i++) {
		n -= choice[i].weight;
		if (n >= 0 || (only && !strstr(only, choice[i].name)))
			continue;
		choice[i].what(&objects[draw(3)]);
		operations++;
		return;
	}
}

static void prepare(int thread, unsigned seed)
{
	me = thread;
	rnd = seed * 100 + thread;
	io = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (io == MAP_FAILED)
		err(1, "memory");
}

static unsigned seed;

static void *run(void *arg)
{
	prepare((intptr_t)arg, seed);
	while (now() < deadline)
		operate();
	return NULL;
}

/* Whatever is there, and whoever writes it. */
static void *read_all_the_time(void *arg)
{
	prepare(THREADS, seed);
	while (!over && (!only || strstr(only, "read"))) {
		struct object *o = &objects[draw(3)];
		int way = draw(o->fixed ? WAYS : 1);
		int fd = o->fixed ? o->way[way] : open(o->path, O_RDONLY);

		uint32_t at = draw(SIZE_MAX_ / SECTOR) * SECTOR, n = SECTOR * (1 + draw(2000));

		if (fd < 0) /* it has another name by now */
			continue;
		if (pread(fd, io, n, at) < 0)
			wrong(o, at, n, "racing read, way %d: %m", way);
		if (!o->fixed)
			close(fd);
	}
	return arg;
}

/* What the files must be, and whether they are. */
static void finish(void)
{
	char path[300];

	for (struct object *o = objects; o < objects + 3; o++) {
		FILE *f;

		for (uint32_t at = 0; at < o->size; at += ZONE)
			do_read(o, 1, at, MIN(ZONE, o->size - at));
		set(o, "user.bouncefs.cache", "none"); /* a close after `unsafe` is no clean one */
		if (fsync(o->way[1]))
			err(1, "fsync of %s", o->path);
		snprintf(path, sizeof(path), "%s.model/%s", directory, o->name);
		f = fopen(path, "w");
		if (!f || fwrite(o->data, 1, o->size, f) != o->size || fclose(f))
			err(1, "%s", path);
		snprintf(path, sizeof(path), "%s/%s.img", directory, o->name);
		if (strcmp(path, o->path) && rename(o->path, path))
			err(1, "rename of %s", o->path);
	}
	printf("%lu\n", operations);
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS + 1];

	if (argc < 5)
		errx(2, "usage: model SECONDS SEED DIRECTORY LOOP...");
	deadline = now() + atof(argv[1]);
	seed = atoi(argv[2]);
	directory = argv[3];
	only = getenv("MODEL");
	for (struct object *o = objects; o < objects + 3; o++) {
		snprintf(o->path, sizeof(o->path), "%s/%s.img", directory, o->name);
		o->data = calloc(1, SIZE_MAX_ + (4 << 20));
		o->size = SIZE_MAX_;
		for (unsigned z = 0; z < ZONES; z++)
			pthread_rwlock_init(&o->zones[z], NULL);
		open_files(o);
	}
	for (int i = 0; i < 2; i++)
		objects[0].way[2 + i] = open(argv[4 + i % (argc - 4)], O_RDWR | O_DIRECT);
	if (objects[0].way[2] < 0 || objects[0].way[3] < 0)
		err(1, "loop device");
	for (intptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, run, (void *)i);
	pthread_create(&threads[THREADS], NULL, read_all_the_time, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	over = true;
	pthread_join(threads[THREADS], NULL);
	prepare(0, seed);
	finish();
	return 0;
}
