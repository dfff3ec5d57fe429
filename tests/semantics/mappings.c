// SPDX-License-Identifier: GPL-2.0-or-later
/* mmap, and programs, which are mapped. */
#include "compare.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define SIZE 100000

static char *map_file(int fd, int protection, int flags)
{
	char *map = mmap(NULL, SIZE, protection, flags, fd, 0);

	EXPECT(map != MAP_FAILED);
	return map;
}

BEHAVIOUR(shared_mappings_and_files_are_one)
{
	EACH_KIND (f) {
		int fd = make_file(f, SIZE), reader = MUST(open(f, O_RDONLY));
		char *map = map_file(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
		char *view = map_file(reader, PROT_READ, MAP_SHARED);
		char buf[100];

		for (int i = 0; i < 20; i++) {
			char text[16] = "";

			snprintf(text, sizeof(text), "round %d", i);
			/* write, seen in the mappings */
			MUST(pwrite(fd, text, sizeof(text), 4090 + i * 4096));
			EXPECT(!memcmp(map + 4090 + i * 4096, text, sizeof(text)));
			EXPECT(!memcmp(view + 4090 + i * 4096, text, sizeof(text)));
			/* store, seen by read */
			text[0] = 'R';
			memcpy(map + 2000 + i * 4096, text, sizeof(text));
			EXPECT(view[2000 + i * 4096] == 'R');
			MUST(pread(reader, buf, sizeof(text), 2000 + i * 4096));
			EXPECT(!memcmp(buf, text, sizeof(text)));
		}
		TRY(msync(map, SIZE, MS_SYNC));
		show(f);
		TRY(munmap(view, SIZE));
		map[SIZE - 1] = 'e';
		TRY(munmap(map, SIZE));
		TRY(fsync(fd));
		show(f);
	}
}

BEHAVIOUR(private_mappings_stay_private)
{
	EACH_KIND (f) {
		int fd = make_file(f, SIZE), reader = MUST(open(f, O_RDONLY));
		char *map = map_file(reader, PROT_READ | PROT_WRITE, MAP_PRIVATE);

		memset(map + 5000, 'p', 5000);
		TRY(msync(map, SIZE, MS_SYNC));
		show(f);
		MUST(pwrite(fd, "visible", 7, 50000));
		EXPECT(!memcmp(map + 50000, "visible", 7));
		EXPECT(map[5000] == 'p');
	}
}

BEHAVIOUR(mapping_rights_follow_the_descriptor)
{
	EACH_KIND (f) {
		int both = make_file(f, SIZE), reader = MUST(open(f, O_RDONLY));
		int writer = MUST(open(f, O_WRONLY));
		int rw = PROT_READ | PROT_WRITE;

		TRY(mmap(NULL, SIZE, rw, MAP_SHARED, reader, 0) == MAP_FAILED ? -1 : 0);
		TRY(mmap(NULL, SIZE, PROT_READ, MAP_SHARED, writer, 0) == MAP_FAILED ? -1 : 0);
		TRY(mmap(NULL, SIZE, rw, MAP_PRIVATE, reader, 0) == MAP_FAILED ? -1 : 0);
		TRY(mmap(NULL, SIZE, rw, MAP_SHARED, both, 4096) == MAP_FAILED ? -1 : 0);
		TRY(mmap(NULL, SIZE, rw, MAP_SHARED, both, 1) == MAP_FAILED ? -1 : 0);
		TRY(mmap(NULL, SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE, both, 0) == MAP_FAILED
			    ? -1
			    : 0);
	}
}

BEHAVIOUR(mappings_outlive_descriptor_and_name)
{
	EACH_KIND (f) {
		int fd = make_file(f, SIZE), second;
		char *map = map_file(fd, PROT_READ | PROT_WRITE, MAP_SHARED);

		MUST(link(f, "second"));
		second = MUST(open("second", O_RDONLY));
		close(fd);
		memset(map + 100, 'c', 100);
		TRY(unlink(f));
		memset(map + 9000, 'u', 100);
		TRY(msync(map, SIZE, MS_SYNC));
		show_fd(second);
		TRY(unlink("second"));
		close(second);
		memset(map + 20000, 'x', 100);
		EXPECT(map[100] == 'c' && map[9000] == 'u' && map[20000] == 'x');
		TRY(msync(map, SIZE, MS_SYNC));
		TRY(munmap(map, SIZE));
	}
}

static sigjmp_buf escape;

static void on_bus_error(int sig)
{
	siglongjmp(escape, sig);
}

static const char *touch(volatile char *byte, bool store)
{
	signal(SIGBUS, on_bus_error);
	if (sigsetjmp(escape, 1))
		return "SIGBUS";
	if (store)
		*byte = 'x';
	else
		(void)*byte;
	return "fine";
}

BEHAVIOUR(beyond_the_end_is_a_bus_error)
{
	EACH_KIND (f) {
		int fd = make_file(f, SIZE);
		char *map = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		EXPECT(map != MAP_FAILED);
		note("last page: %s, tail %d", touch(map + SIZE + 10, false), map[SIZE + 10]);
		note("beyond: %s", touch(map + SIZE + 8192, false));
		note("store beyond: %s", touch(map + SIZE + 8192, true));
		TRY(madvise(map + 2 * SIZE / 4096 * 4096 - 4096, 4096, MADV_POPULATE_READ));
		TRY(ftruncate(fd, 20000));
		note("cut off: %s", touch(map + 30000, false));
		TRY(ftruncate(fd, SIZE));
		note("grown again: %s, %d", touch(map + 30000, false), map[30000]);
		TRY(madvise(map, 4096 * 20, MADV_POPULATE_READ));
		TRY(madvise(map, 4096 * 20, MADV_POPULATE_WRITE));
		show(f);
	}
}

static int run_program(const char *program)
{
	int status;
	pid_t pid = MUST(fork());

	if (pid == 0) {
		execl(program, program, NULL);
		_exit(errno);
	}
	MUST(waitpid(pid, &status, 0));
	return WEXITSTATUS(status);
}

BEHAVIOUR(programs_run)
{
	int fd;

	MUST(system("cp /bin/false program"));
	note("a copy of false says %d", run_program("./program"));
	TRY(chmod("program", 0644));
	note("not executable: %s", strerrorname_np(run_program("./program")));
	fd = MUST(open("script", O_WRONLY | O_CREAT, 0700));
	MUST(write(fd, "#!/bin/sh\nexit 7\n", 17));
	note("open for writing: %s", strerrorname_np(run_program("./script")));
	close(fd);
	note("a script says %d", run_program("./script"));
	TRY(access("script", X_OK));
}
