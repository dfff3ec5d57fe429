// SPDX-License-Identifier: GPL-2.0-or-later
/* Reading and writing: open flags, offsets, unaligned ends, appends, limits. */
#include "compare.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* Write a pattern, and see it from another descriptor. */
static void write_and_read(int fd, int reader, size_t len, off_t off)
{
	char *out = malloc(len), *in = malloc(len);

	fill(out, len, len ^ off);
	note("%zu bytes at %ld", len, (long)off);
	TRY(pwrite(fd, out, len, off));
	memset(in, 0, len);
	TRY(pread(fd, in, len, off));
	EXPECT(!memcmp(in, out, len));
	memset(in, 0, len);
	TRY(pread(reader, in, len, off));
	EXPECT(!memcmp(in, out, len));
	free(out);
	free(in);
}

BEHAVIOUR(any_length_at_any_offset)
{
	static const size_t lengths[] = {1,    511,   512,    513, 4095,    4096,
					 4097, 65536, 131073, MIB, MIB + 3, 3 * MIB + 511};
	static const off_t offsets[] = {0, 1, 512, 4095, 4096 + 13, MIB - 1, 2 * MIB + 512};

	EACH_KIND (f) {
		int fd = make_file(f, 0), reader = MUST(open(f, O_RDONLY));

		for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
			for (size_t j = 0; j < ARRAY_SIZE(offsets); j++)
				write_and_read(fd, reader, lengths[i], offsets[j]);
		show(f);
		close(fd);
	}
}

BEHAVIOUR(offsets_beyond_four_gigabytes)
{
	static const off_t offsets[] = {2 * GIB - 5, 2 * GIB, 4 * GIB - 700, 4 * GIB - 4096,
					4 * GIB + 7, 5 * GIB, 40 * GIB + 513};

	EACH_KIND (f) {
		int fd = make_file(f, 0), reader = MUST(open(f, O_RDONLY));
		char byte;

		for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
			write_and_read(fd, reader, 10000, offsets[i]);
			show(f);
		}
		TRY(pread(fd, &byte, 1, 3 * GIB));
		EXPECT(byte == 0);
		TRY(lseek(fd, 0, SEEK_END));
	}
}

BEHAVIOUR(sparse_image_of_eight_tebibytes)
{
	int fd = make_file("huge.img", 0), reader = MUST(open("huge.img", O_RDONLY));
	struct stat st;
	char buf[8192];

	TRY(ftruncate(fd, 8 * TIB));
	show("huge.img");
	write_and_read(fd, reader, 4096, 0);
	write_and_read(fd, reader, 4096, 5 * TIB);
	write_and_read(fd, reader, 4096, 8 * TIB - 4096);
	TRY(fsync(fd));
	TRY(lseek(fd, 4096, SEEK_DATA));
	TRY(lseek(fd, 5 * TIB, SEEK_HOLE));
	TRY(pread(fd, buf, sizeof(buf), 8 * TIB - 100));
	TRY(pread(fd, buf, sizeof(buf), 8 * TIB));
	MUST(fstat(fd, &st));
	note("%ld blocks", (long)st.st_blocks);
	TRY(ftruncate(fd, 7 * TIB + 1));
	show("huge.img");
}

BEHAVIOUR(unaligned_end_of_an_image)
{
	static const size_t sizes[] = {1, 511, 1000, 4095, 5000, 65536 + 1000, 2 * MIB + 7};
	char buf[16384], *aligned = aligned_alloc(4096, 8192);

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t size = sizes[i];
		int fd = make_file("disk.img", size), direct;

		show("disk.img");
		memset(buf, 'a', sizeof(buf));
		TRY(pwrite(fd, buf, 1, size - 1));
		show("disk.img");
		TRY(pwrite(fd, buf, size < 300 ? size : 300, size < 300 ? 0 : size - 300));
		show("disk.img");
		TRY(pread(fd, buf, sizeof(buf), size - 1));
		TRY(pread(fd, buf, sizeof(buf), size));
		TRY(pread(fd, buf, sizeof(buf), size + 10000));
		/* over the end, then from the new end, then beyond it */
		TRY(pwrite(fd, buf, 333, size - 1));
		show("disk.img");
		TRY(lseek(fd, 0, SEEK_END));
		TRY(write(fd, buf, 700));
		show("disk.img");
		TRY(pwrite(fd, buf, 100, size + 20001));
		show("disk.img");
		TRY(fsync(fd));
		direct = MUST(OPEN(open("disk.img", O_RDWR | O_DIRECT)));
		TRY(pread(direct, aligned, 8192, (size + 20101) / 4096 * 4096));
		TRY(pread(direct, aligned, 8192, (size + 20101 + 4095) / 4096 * 4096));
		memset(aligned, 'z', 8192);
		TRY(pwrite(direct, aligned, 8192, 4096));
		show("disk.img");
		close(direct);
		close(fd);
	}
}

BEHAVIOUR(direct_io_of_aligned_blocks)
{
	char *buf = aligned_alloc(4096, 2 * MIB), *back = aligned_alloc(4096, 2 * MIB);

	EACH_KIND (f) {
		int fd = MUST(OPEN(open(f, O_RDWR | O_CREAT | O_DIRECT, 0644)));
		int cached = MUST(OPEN(open(f, O_RDWR)));

		fill(buf, 2 * MIB, 1);
		TRY(pwrite(fd, buf, 2 * MIB, 0));
		TRY(pread(cached, back, 2 * MIB, 0));
		EXPECT(!memcmp(buf, back, 2 * MIB));
		fill(buf, 2 * MIB, 2);
		TRY(pwrite(cached, buf, 2 * MIB, 4096));
		memset(back, 0, 2 * MIB);
		TRY(pread(fd, back, 2 * MIB, 4096));
		EXPECT(!memcmp(buf, back, 2 * MIB));
		TRY(pread(fd, back, 2 * MIB, 2 * MIB));
		show(f);
	}
}

BEHAVIOUR(open_flags_mean_what_they_say)
{
	EACH_KIND (f) {
		char buf[100];
		int fd, other;

		fd = MUST(OPEN(open(f, O_WRONLY | O_CREAT | O_EXCL, 0600)));
		TRY(write(fd, "0123456789", 10));
		TRY(read(fd, buf, 10));
		OPEN(open(f, O_WRONLY | O_CREAT | O_EXCL, 0600));
		other = MUST(OPEN(open(f, O_RDONLY)));
		TRY(write(other, "x", 1));
		TRY(ftruncate(other, 0));
		TRY(read(other, buf, 100));
		TRY(read(other, buf, 100));
		other = MUST(OPEN(open(f, O_RDWR | O_TRUNC)));
		show(f);
		TRY(pwrite(other, "abc", 3, 2));
		show(f);
		TRY(write(fd, "tail", 4));
		show(f);
		OPEN(open(f, O_RDONLY | O_DIRECTORY));
		OPEN(open(f, O_RDONLY | O_CREAT | O_TRUNC, 0644));
		show(f);
		other = MUST(OPEN(open(f, O_PATH)));
		TRY(read(other, buf, 1));
		TRY(fchmod(other, 0600));
		show_fd(other);
		for (int flag = 0; flag < 3; flag++) {
			static const int sync_flags[] = {O_SYNC, O_DSYNC, O_SYNC | O_APPEND};

			other = MUST(OPEN(open(f, O_RDWR | sync_flags[flag])));
			TRY(pwrite(other, "synchronous", 11, 100 * flag));
			show(f);
		}
	}
	OPEN(open(".", O_RDWR));
	OPEN(open(".", O_WRONLY));
	OPEN(open("absent", O_RDONLY));
	OPEN(open(".", O_RDONLY | O_CREAT, 0644));
}

BEHAVIOUR(appends_go_to_the_end)
{
	EACH_KIND (f) {
		int fd = MUST(open(f, O_RDWR | O_CREAT | O_APPEND, 0644));
		int other = MUST(open(f, O_WRONLY | O_APPEND));
		char buf[10000];
		struct iovec iov = {buf, 100};

		fill(buf, sizeof(buf), 3);
		for (int i = 1; i < 40; i++) {
			EXPECT(write(fd, buf, i * 97) == i * 97);
			EXPECT(write(other, buf + i, i * 13) == i * 13);
		}
		show(f);
		TRY(lseek(fd, 5, SEEK_SET));
		TRY(write(fd, "end", 3));
		TRY(lseek(fd, 0, SEEK_CUR));
		TRY(pwrite(fd, "also", 4, 0));
		show(f);
		TRY(ftruncate(fd, 100));
		TRY(write(other, "short", 5));
		show(f);
		TRY(fcntl(other, F_SETFL, 0));
		TRY(pwrite(other, "start", 5, 0));
		TRY(pwritev2(other, &iov, 1, 0, RWF_APPEND));
		show(f);
	}
}

#define RECORD 100
#define RECORDS 300

/* Two processes append records; none is torn or lost. */
BEHAVIOUR(appends_of_two_processes_do_not_mix)
{
	EACH_KIND (f) {
		unsigned int count[2] = {0};
		char buf[RECORD];
		int status, fd;

		close(make_file(f, 0));
		for (int who = 0; who < 2; who++) {
			if (MUST(fork()) > 0)
				continue;
			fd = open(f, O_WRONLY | O_APPEND);
			memset(buf, 'A' + who, sizeof(buf));
			for (int i = 0; i < RECORDS; i++)
				if (write(fd, buf, sizeof(buf)) != sizeof(buf))
					_exit(1);
			_exit(0);
		}
		for (int who = 0; who < 2; who++) {
			MUST(wait(&status));
			EXPECT(status == 0);
		}
		fd = MUST(open(f, O_RDONLY));
		while (read(fd, buf, sizeof(buf)) == sizeof(buf)) {
			for (int i = 1; i < RECORD; i++)
				EXPECT(buf[i] == buf[0]);
			count[buf[0] - 'A']++;
		}
		note("%u and %u records", count[0], count[1]);
		/* their order is chance */
		MUST(unlink(f));
	}
}

BEHAVIOUR(vectors_and_pipes)
{
	EACH_KIND (f) {
		int fd = make_file(f, 3 * 4096 + 5), copy = make_file("copy", 0), pipes[2];
		char a[1000], b[7], c[5000];
		struct iovec iov[] = {{a, sizeof(a)}, {b, sizeof(b)}, {c, sizeof(c)}};
		off_t off = 17;

		TRY(preadv(fd, iov, 3, 9));
		TRY(pwritev(fd, iov, 3, 8001));
		TRY(pwritev2(fd, iov, 2, 20000, RWF_DSYNC));
		show(f);
		TRY(sendfile(copy, fd, &off, 15000));
		show("copy");
		MUST(pipe(pipes));
		off = 3;
		TRY(splice(fd, &off, pipes[1], NULL, 5000, 0));
		off = 30001;
		TRY(splice(pipes[0], NULL, fd, &off, 5000, 0));
		TRY(fsync(fd));
		show(f);
		TRY(readv(fd, iov, 0));
		TRY(lseek(fd, -5, SEEK_SET));
		TRY(lseek(fd, -5, SEEK_END));
		TRY(pread(fd, a, 1, -1));
		TRY(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
		TRY(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
		show(f);
		MUST(unlink("copy"));
	}
}

BEHAVIOUR(syncing_succeeds_on_every_descriptor)
{
	EACH_KIND (f) {
		int fd = make_file(f, 100000), reader = MUST(open(f, O_RDONLY));

		TRY(fsync(fd));
		TRY(pwrite(fd, "x", 1, 5));
		TRY(fdatasync(fd));
		TRY(pwrite(fd, "y", 1, 100000));
		TRY(fsync(reader));
		TRY(fdatasync(reader));
		TRY(syncfs(reader));
		show(f);
	}
}

BEHAVIOUR(limits_on_the_size_of_a_file)
{
	struct rlimit limit = {100000, 100000};
	char buf[1000] = "";

	signal(SIGXFSZ, SIG_IGN);
	EACH_KIND (f) {
		int fd = make_file(f, 10);

		/* the filesystem's own */
		TRY(pwrite(fd, buf, 10, INT64_MAX - 10));
		TRY(pwrite(fd, buf, 10, INT64_MAX - 5));
		TRY(ftruncate(fd, INT64_MAX));
		TRY(ftruncate(fd, 10));
		close(fd);
	}
	MUST(setrlimit(RLIMIT_FSIZE, &limit));
	EACH_KIND (f) {
		int fd = MUST(open(f, O_RDWR));

		TRY(pwrite(fd, buf, sizeof(buf), 99500));
		TRY(pwrite(fd, buf, sizeof(buf), 100000));
		TRY(ftruncate(fd, 100001));
		TRY(truncate(f, 100000));
		TRY(fallocate(fd, 0, 0, 100001));
		show(f);
	}
}
