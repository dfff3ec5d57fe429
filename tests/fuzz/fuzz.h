/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A fuzz target is one file with this function (libFuzzer's); tests/hard/fuzz.sh runs them all. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold for every input. */
#define expect(condition)         \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)
