// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Opening and taking over an image with checksums, where sidecar and memory are as a broken disk or
 * a predecessor gone mad may leave them. The input is a byte of how, and a series of patches
 * (struct patch, then its bytes) to what a daemon left that died during a write, or that closed the
 * image. Whatever is made of that: nothing of an unknown version is touched, no descriptor is
 * closed twice or left open, no thread waits for ever, and what is written from then on is never
 * called bad.
 */
#include <sched.h>
#include <sys/mount.h>

#include "fuzz.h"
#include "policy/log.h"
#include "policy/util.h"

/* What is closed twice may be somebody else's the second time. */
static int close_once(int fd)
{
	expect(close(fd) == 0);
	return 0;
}
#define close close_once
#include "cache/rehash.c"
#include "cache/sidecar.c"
#include "cache/sumfile.c"
#include "cache/sumsd.c"

#define POOL "/mnt"
#define IMAGE POOL "/a.img"
#define IMAGE_BLOCKS (REGION_BLOCKS + 8) /* two regions, and the file ends within the second */
#define PAGES 6				 /* of the sidecar: headers, maps, sums of two regions */
#define RECORDS 4 /* frames, their pages, and intents that patches are about */

enum {
	HOW_TAKEOVER = 1,
	HOW_CLOSED = 2, /* the sidecar of who closed the image */
	HOW_MAKE = 4,
	HOW_DROP = 8, /* both: the sidecar belongs to another file, and is to be adopted */
	HOW_REBUILD = 16,
	HOW_REFUSE = 32,
	HOW_FULL = 64, /* all other frames are of an image that is not open yet */
	HOW_HASH = 128,
};

struct patch {
	uint8_t what;
	uint8_t right; /* its checksum; the length of the sidecar is changed, too, if it is even */
	uint16_t offset;
	uint8_t length;
};

static uint8_t how;
static int pool, store = -1;
static char sidecar_own[SIDECAR_NAME_MAX];
static char left[2][PAGES][SIDECAR_PAGE]; /* by a death; by a close */
static int memory;
static struct layout layout;
static char *memory_map, *memory_left;
static struct image_record record, record_left;
static struct image_table table;

/* ===== the daemon's parts ===== */

static int open_image(void *context, int flags)
{
	int fd = open(context ?: IMAGE, flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int resolve(void *context, int fd, bool *is_image, struct settings *settings)
{
	(void)context, (void)fd;
	*is_image = true;
	*settings = settings_default;
	settings->value[SETTING_CACHE] = CACHE_WRITEBACK;
	settings->value[SETTING_CHECKSUM] = how & HOW_MAKE ? CHECKSUM_XXH3 : CHECKSUM_OFF;
	settings->from[SETTING_CHECKSUM] = how & (HOW_MAKE | HOW_DROP) ? FROM_MOUNT : FROM_DEFAULT;
	settings->value[SETTING_FOREIGN_CHANGE] = how & HOW_REFUSE    ? FOREIGN_REFUSE
						  : how & HOW_REBUILD ? FOREIGN_REBUILD
								      : FOREIGN_VERIFY;
	return 0;
}

static const struct image_request request = {
	.key = 1,
	.is_image = true,
	.write = true,
	.open = open_image,
	.resolve = resolve,
};

static int keep(unsigned index, unsigned first, const int *witnesses, unsigned n)
{
	(void)index, (void)first, (void)witnesses, (void)n;
	return 0;
}
static void forget(unsigned index, unsigned witness)
{
	(void)index, (void)witness;
}
static void ended(void *context, struct image_record *ended)
{
	(void)context, (void)ended;
}
static const struct image_keeper keeper = {NULL, keep, forget, ended};

static const char *name(void *context, const struct image *image, char path[PATH_MAX])
{
	(void)context, (void)image, (void)path;
	return "a.img";
}

static struct sums *start(void)
{
	static struct sums_config config = {.name = name};
	struct sums *sums;

	config.root_fd = pool;
	if (sums_init(&sums, &config, fcntl(memory, F_DUPFD_CLOEXEC, 0)) < 0)
		return NULL;
	expect(image_table_init(&table, 1, &record, &keeper, sums, NULL, 0) == 0);
	return sums;
}

static void stop(struct sums *sums)
{
	image_table_fini(&table);
	sums_stop(sums);
}

/* ===== reading and writing ===== */

static void ready(struct sums_op *op)
{
	op->ready = NULL;
}

/* Nobody else is there who could end a wait. */
static void begin(struct sums_op *op)
{
	op->ready = ready;
	if (!sums_begin(op))
		expect(!op->ready);
}

static struct sums_op op_of(struct image *image, uint64_t block, bool write)
{
	return (struct sums_op){
		.file = image->sums, .first = block, .blocks = 1, .write = write, .whole_end = 1};
}

static bool differs(struct image *image, uint64_t block)
{
	char data[SUM_BLOCK] __attribute__((aligned(SUM_BLOCK)));
	struct sums_op op = op_of(image, block, false);
	bool bad;

	expect(image_read_blocks(image, data, SUM_BLOCK, block * SUM_BLOCK, true) == 0);
	begin(&op);
	bad = sums_differ(&op, data, 0, 1) == 0;
	sums_end(&op);
	return bad;
}

/* The data are on their way, and have not arrived, if we die before the commit. */
static void write_block(struct image *image, uint64_t block, char c, bool commit)
{
	static struct sum_intent *intent;
	char data[SUM_BLOCK] __attribute__((aligned(SUM_BLOCK)));
	struct sums_op op = op_of(image, block, true);

	intent = sums_intent(image->sums->sums, 0);
	memset(data, c, sizeof(data));
	begin(&op);
	expect(op.error <= 0);
	if (!op.error) {
		sums_intend(&op, data, intent);
		expect(image_write_block(image, data, block * SUM_BLOCK) == 0);
		if (commit)
			sums_commit(&op, intent);
	}
	sums_end(&op);
}

static const uint64_t written[] = {0, 70, REGION_BLOCKS - 1, REGION_BLOCKS, IMAGE_BLOCKS - 1};
#define ZEROED_FIRST (REGION_BLOCKS - 30)
#define ZEROED_END (REGION_BLOCKS + 3)

/* What is read differs, perhaps; and is reported, and overwritten, and does not differ any more. */
static void use(struct image *image)
{
	char data[SUM_BLOCK] __attribute__((aligned(SUM_BLOCK))) = "";
	uint64_t start = ZEROED_FIRST * SUM_BLOCK, end = ZEROED_END * SUM_BLOCK, bad = 0, length;
	struct sums_state state;

	if (!image->sums)
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(written); i++)
		if (differs(image, written[i]))
			sums_report(image, data, written[i] * SUM_BLOCK);
	expect(sums_compare(image, data, 0, SUM_BLOCK, &bad) >= 0);
	for (int64_t at = 0; (at = sums_seek(image, at)) >= 0; at += REGION_BYTES)
		expect(at < (int64_t)SUMS_BYTES_MAX);
	for (uint64_t at = 0; sums_error_next(image, &at, &length); at += length)
		expect(length && at + length > at);
	sums_state(image, &state);
	if (how & HOW_HASH)
		sums_repair(image, data, 0);
	if (sums_change(image, start, end, true) == 0) {
		expect(fallocate(image->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start,
				 end - start) == 0);
		sums_zeroed(image, start, end);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(written); i++)
		write_block(image, written[i], 'a' + i, true);
	sums_doubt(image);
	look_after(image->sums->sums);
}

static void check(struct image *image)
{
	for (unsigned i = 0; image->sums && i < ARRAY_SIZE(written); i++)
		expect(!differs(image, written[i]));
}

static void hash(struct sums *sums)
{
	static char data[CHUNK] __attribute__((aligned(SIDECAR_PAGE)));

	for (unsigned i = 0; i < 4 && do_one(sums, data); i++)
		;
	rounds(sums);
	rounds(sums);
}

/* ===== what was left ===== */

static void read_sidecar(char page[PAGES][SIDECAR_PAGE])
{
	int fd = openat(store, sidecar_own, O_RDONLY | O_CLOEXEC);

	expect(fd >= 0);
	expect(pread(fd, page, PAGES * SIDECAR_PAGE, 0) == PAGES * SIDECAR_PAGE);
	close(fd);
}

static void make_pool(void)
{
	int fd;

	log_level = -1;
	expect(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	expect(mount("fuzz", POOL, "tmpfs", MS_NODEV | MS_NOSUID, "size=64m") == 0);
	pool = open(POOL, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = open(IMAGE, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	expect(fd >= 0 && ftruncate(fd, IMAGE_BLOCKS * SUM_BLOCK) == 0);
	expect(sidecar_name(pool, fd, sidecar_own) == 0);
	close(fd);
	memory = sums_memory(RECORDS);
	layout = layout_of(FRAMES, RECORDS);
	memory_map = mmap(NULL, layout.size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	memory_left = malloc(layout.size);
	expect(memory_map != MAP_FAILED && memory_left);
}

static void make_left(void)
{
	struct image *image;
	struct sums *sums;

	make_pool();
	sums = start();
	how = HOW_MAKE;
	expect(sums && image_open(&table, &request, &image) == 1 && image->sums);
	store = openat(pool, STORE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	write_block(image, 0, 'x', true);
	write_block(image, 1, 'x', true);
	write_block(image, REGION_BLOCKS + 1, 'x', true);
	sums_settle(image, true);
	write_block(image, 1, 'y', false);
	read_sidecar(left[0]);
	memcpy(memory_left, memory_map, layout.size);
	record_left = record;
	sums_commit(&(struct sums_op){.begun = false}, NULL);
	stop(sums);
	read_sidecar(left[1]);
}

static void clear_store(void)
{
	DIR *list = fdopendir(openat(store, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *d;

	expect(list);
	while ((d = readdir(list)))
		if (*d->d_name != '.')
			expect(unlinkat(store, d->d_name, 0) == 0);
	closedir(list);
}

static bool is_moved(void)
{
	return (how & HOW_MAKE) && (how & HOW_DROP);
}

/* Another image's, so that no frame is free; it will never be opened. */
static void fill_memory(void)
{
	struct sum_frame *frame = (struct sum_frame *)(memory_map + layout.frames);

	for (unsigned i = 0; i < FRAMES; i++)
		if (!atomic_load(&frame[i].id))
			atomic_store(&frame[i].id, 4711);
}

/* Memory, image and sidecar; the sidecar is open then. */
static int restore(void)
{
	int fd = open(IMAGE, O_WRONLY | O_TRUNC | O_CLOEXEC);
	char x[SUM_BLOCK];

	memset(x, 'x', sizeof(x));
	expect(fd >= 0 && ftruncate(fd, IMAGE_BLOCKS * SUM_BLOCK) == 0);
	expect(pwrite(fd, x, SUM_BLOCK, 0) == SUM_BLOCK);
	expect(pwrite(fd, x, SUM_BLOCK, SUM_BLOCK) == SUM_BLOCK);
	expect(pwrite(fd, x, SUM_BLOCK, (REGION_BLOCKS + 1) * SUM_BLOCK) == SUM_BLOCK);
	close(fd);
	memcpy(memory_map, memory_left, layout.pages + RECORDS * SIDECAR_PAGE);
	if (how & HOW_FULL)
		fill_memory();
	record = record_left;
	clear_store();
	fd = openat(store, is_moved() ? "moved" : sidecar_own, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	expect(fd >= 0 && ftruncate(fd, group_place(1)) == 0);
	expect(pwrite(fd, left[!!(how & HOW_CLOSED)], PAGES * SIDECAR_PAGE, 0) ==
	       PAGES * SIDECAR_PAGE);
	return fd;
}

/* ===== patches ===== */

static void patch_page(int fd, const struct patch *p, const uint8_t *data, size_t length)
{
	uint64_t place = p->what % PAGES * SIDECAR_PAGE, check;
	char page[SIDECAR_PAGE] __attribute__((aligned(8))) = "";

	expect(pread(fd, page, SIDECAR_PAGE, place) >= 0);
	memcpy(page + p->offset % SIDECAR_PAGE, data,
	       MIN(length, SIDECAR_PAGE - p->offset % SIDECAR_PAGE));
	check = check_of(page, 8, SIDECAR_PAGE);
	if (p->right & 1)
		memcpy(page, &check, sizeof(check));
	expect(pwrite(fd, page, SIDECAR_PAGE, place) == SIDECAR_PAGE);
}

static void patch_memory(const struct patch *p, const uint8_t *data, size_t length)
{
	const struct {
		uint64_t start, size;
	} part[] = {
		{0, sizeof(struct sums_memory)},
		{layout.intents, RECORDS * sizeof(struct sum_intent)},
		{layout.frames, RECORDS * sizeof(struct sum_frame)},
		{layout.pages, RECORDS * SIDECAR_PAGE},
	};
	unsigned i = p->what % ARRAY_SIZE(part);
	uint64_t at = p->offset % part[i].size;

	memcpy(memory_map + part[i].start + at, data, MIN(length, part[i].size - at));
}

static void apply(int fd, const uint8_t *data, size_t size)
{
	struct patch p;

	while (size > sizeof(p)) {
		size_t length;

		memcpy(&p, data, sizeof(p));
		data += sizeof(p);
		size -= sizeof(p);
		length = MIN(p.length, size);
		if (p.what < 128)
			patch_page(fd, &p, data, length);
		else if (p.what < 192)
			patch_memory(&p, data, length);
		else
			expect(ftruncate(fd, group_place(p.offset % 8192) + p.right) == 0);
		data += length;
		size -= length;
	}
}

/* ===== an input ===== */

static bool is_unknown(int fd)
{
	struct sidecar s = {.fd = fd};

	return read_header(&s) == -EPROTONOSUPPORT;
}

static uint64_t fingerprint(int fd)
{
	static char page[PAGES][SIDECAR_PAGE];
	struct stat st;

	memset(page, 0, sizeof(page));
	expect(fstat(fd, &st) == 0 && pread(fd, page, sizeof(page), 0) >= 0);
	return XXH3_64bits_withSeed(page, sizeof(page), st.st_size + !!st.st_nlink);
}

static int open_or_adopt(struct image **image)
{
	static const int none[IMAGE_WITNESSES] = {-1, -1};
	int rc;

	if (!(how & HOW_TAKEOVER))
		return image_open(&table, &request, image);
	rc = image_adopt(&table, 0, &request, 1, 1, 0, none);
	*image = table.images[0];
	return rc;
}

static int lowest_free_fd(void)
{
	int fd = fcntl(0, F_DUPFD, 0);

	close(fd);
	return fd;
}

/* By a first daemon, and by one after its death or its end. */
static void live(int fd)
{
	bool unknown = is_unknown(fd) && !is_moved();
	uint64_t before = fingerprint(fd);
	struct image *image;
	struct sums *sums = start();

	if (!sums)
		return;
	if (open_or_adopt(&image) < 0) {
		expect(!unknown || fingerprint(fd) == before);
		stop(sums);
		return;
	}
	expect(!unknown || how & HOW_DROP);
	sums_settle_orphans(sums);
	if (is_moved())
		image_adopt_sums(&table, image, "a.img");
	if (how & HOW_HASH)
		hash(sums);
	use(image);
	check(image);
	if (how & HOW_HASH)
		hash(sums);
	check(image);
	expect(image_close(&table, image, true) == 0);
	expect(image_open(&table, &request, &image) == 1);
	check(image);
	stop(sums);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd, first_free;

	if (store < 0)
		make_left();
	if (!size)
		return 0;
	how = *data;
	first_free = lowest_free_fd();
	fd = restore();
	apply(fd, data + 1, size - 1);
	live(fd);
	close(fd);
	expect(lowest_free_fd() == first_free);
	return 0;
}
