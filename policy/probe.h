/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * USDT probes, provider "bouncefs": places where perf, bpftrace, SystemTap or gdb can look at the
 * running program. One costs a no-op while nobody looks. bouncefs(8) lists them.
 */
#pragma once

#ifdef HAVE_SDT
#define SDT_USE_VARIADIC
#include <sys/sdt.h>
#define PROBE(name, ...) STAP_PROBEV(bouncefs, name, __VA_ARGS__)
#else
#define PROBE(name, ...) ((void)0)
#endif
