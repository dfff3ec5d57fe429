/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Histograms of latency, as the daemon counts and the status tells them. */
#pragma once

/* Bucket N has the requests that took less than 2^N * 16 us, and no less than the one before; the
 * last one has all others (8.4 s and more). */
#define LATENCY_BUCKETS 21
#define LATENCY_FIRST_BITS 4
