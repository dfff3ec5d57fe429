/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From one worker process to the next: what is kept outside (keep.h) and under which names, the
 * fence, and the take-over itself.
 *
 *   root         SOURCE, with the pool's lock       state        the memfd (state.h)
 *   fuse         the device                         device-N     one directory a filesystem below
 *   clone-N      worker N's clone of it             image-N-M    witness M of the image at index N
 *   fence-N      N the life: the pipe's read end    pid-N        its pidfd
 *   sums         the memfd of the checksums (cache/sums.h)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cache/image.h"

struct mount;

/* Whether there is something to take over. */
bool takeover_due(void);

/*
 * Waits until nothing of any predecessor can reach the disk any more: each has died, and each ring
 * of theirs is gone with all its I/O (a process's end does not end its direct writes). No timeout:
 * as long as a dead one's write may land, a newer one must not be answered. The service manager hears
 * of us every WATCHDOG_MS (-1: never).
 */
int takeover_wait(int watchdog_ms);

/* Before the first ring: makes this life's fence and has it kept. The write end is in *FD, to be
 * registered in every ring and then closed. -errno. */
int takeover_fence(struct mount *mount, int *fd);

/* The predecessors' fences are not needed any more, nor are witnesses of files that are closed. */
void takeover_forget(struct mount *mount);

/* Remembers which requests were in execution if a predecessor crashed by its own fault, and clears
 * what it had begun to write down. */
void takeover_note_death(struct mount *mount);

/* Whether request UNIQUE, which was sent again, has been in execution at two such crashes. */
bool takeover_is_poison(const struct mount *mount, uint64_t unique);

/* Asks the kernel for all requests that no predecessor answered. -errno. */
int takeover_resend(struct mount *mount);

const char *image_witness_name(char *name, unsigned index, unsigned witness);
void takeover_image_keeper(struct mount *mount, struct image_keeper *keeper);
