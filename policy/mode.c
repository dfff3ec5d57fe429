// SPDX-License-Identifier: GPL-2.0-or-later
#include "mode.h"

static const struct cache_traits traits[CACHE_MODES] = {
	[CACHE_NONE] = {"none", .direct = true, .flush = true},
	[CACHE_DIRECTSYNC] = {"directsync", .direct = true, .dsync = true, .flush = true},
	[CACHE_WRITEBACK] = {"writeback", .flush = true, .bounded = true},
	[CACHE_DONTCACHE] = {"dontcache", .flush = true, .bounded = true, .drop = true},
	[CACHE_WRITETHROUGH] = {"writethrough", .dsync = true, .flush = true},
	[CACHE_UNSAFE] = {"unsafe"},
	[CACHE_AUTO] = {"auto"},
};

const struct cache_traits *cache_traits(enum cache_mode mode)
{
	return &traits[mode];
}
