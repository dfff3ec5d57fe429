// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * slay - kills a daemon's worker at random moments
 *
 *	slay KEEPER DEATHS GAP SIGNAL...
 *
 * Sends the child of process KEEPER one signal after the other (numbers), DEATHS times: at once
 *when it has been started (one in eight), or up to GAP milliseconds later. At most three in a row
 *die before they have their threads, which is when they begin to serve, and the next one has time
 *to say so: a keeper may give up after five. SLOWER=N in the environment: it needs N times longer.
 * Ends early when KEEPER does. Prints the number of deaths.
 */
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define YOUNG_MAX 3
#define SERVED_US 50000
#define PATIENCE_US 250000

static void sleep_us(long us)
{
	struct timespec t = {us / 1000000, us % 1000000 * 1000};

	nanosleep(&t, NULL);
}

static bool gone(pid_t pid)
{
	return kill(pid, 0) && errno == ESRCH;
}

/* 0 if it has none. */
static pid_t child_of(pid_t pid)
{
	char path[64], text[64] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (!fgets(text, sizeof(text), f))
		*text = '\0';
	fclose(f);
	return atoi(text);
}

/* The field NAME of /proc/PID/status begins with VALUE. */
static bool status_is(pid_t pid, const char *name, const char *value)
{
	char path[64], line[256];
	bool is = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			is = !strncmp(line + strlen(name) + 2, value, strlen(value));
	if (f)
		fclose(f);
	return is;
}

/* A sanitizer's daemon has a second thread from the beginning. */
static bool serves(pid_t pid)
{
	return !status_is(pid, "Threads", "1\n") && !status_is(pid, "Threads", "2\n");
}

static pid_t next_worker(pid_t keeper, pid_t last)
{
	while (!gone(keeper)) {
		pid_t pid = child_of(keeper);

		if (pid && pid != last && !status_is(pid, "State", "Z"))
			return pid;
		sleep_us(500);
	}
	return 0;
}

static long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static long slower(void)
{
	const char *times = getenv("SLOWER");

	return times ? atoi(times) : 1;
}

/* Waits so long. True if the worker has served for a while then; in the end it must have, if
 * PATIENT. */
static bool wait_for(pid_t worker, long us, bool patient)
{
	long end = now_us() + us, since = 0, now, served;

	served = (patient ? PATIENCE_US : SERVED_US) * slower();
	for (;;) {
		now = now_us();
		if (!since && serves(worker))
			since = now;
		if (gone(worker) || (now >= end && !patient))
			return since && now - since >= served;
		if (now >= end && since && now - since >= served)
			return true;
		sleep_us(now + 2000 < end || patient ? 2000 : end - now);
	}
}

int main(int argc, char **argv)
{
	int deaths = 0, young = 0, wanted, gap;
	pid_t keeper, worker = 0;

	if (argc < 5) {
		fprintf(stderr, "usage: slay KEEPER DEATHS GAP SIGNAL...\n");
		return 2;
	}
	keeper = atoi(argv[1]);
	wanted = atoi(argv[2]);
	gap = atoi(argv[3]);
	srand(getpid() ^ time(NULL));
	while (deaths < wanted && (worker = next_worker(keeper, worker))) {
		long us = rand() % 8 ? rand() % (gap * 1000L) : rand() % 5000;

		young = wait_for(worker, us, young == YOUNG_MAX) ? 0 : young + 1;
		if (kill(worker, atoi(argv[4 + deaths % (argc - 4)])) == 0)
			deaths++;
	}
	printf("%d\n", deaths);
	return deaths < wanted;
}
