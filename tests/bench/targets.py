# SPDX-License-Identifier: GPL-2.0-or-later
"""What is to be reached, as ratios taken in one run."""
import operator

COMPARE = {">=": operator.ge, "<=": operator.le, "<": operator.lt}


def targets(result):
    """Yields name, what is measured (None: nothing), comparison, limit."""
    ratio, peers = result["ratio"], result["stable_peers"]
    four, lost, memory = (result.get(key, {}) for key in ("four_images", "metadata_cost", "memory"))

    def of(system, column, what="value"):
        return ratio.get(system, {}).get(column, {}).get(what)

    def over(system, other, column):
        one, two = of(system, column), of(other, column)
        return one / two if one and two else None

    def best(values):
        return max((value for value in values if value), default=None)

    for way in "read", "write":
        small, deep, big = f"{way}-4k-1", f"{way}-4k-32", f"{way}-1m-8"
        yield f"4k QD32 rand {way} / bare", of("bouncefs", deep), ">=", 0.75
        yield f"4k QD1 rand {way} / bare, /dev/fuse", of("bouncefs", small), ">=", 0.60
        yield (f"4k QD1 rand {way} / bare, best transport",
               best(of(name, small) for name in ("bouncefs", "bouncefs-uring")), ">=", 0.75)
        yield f"1M {way} / bare", of("bouncefs", big), ">=", 0.70
        for column, limit in (small, 1.0), (deep, 2.0), (big, 1.0):
            rival = best(of(name, column) for name in peers if name != "passthrough_hp-uring")
            own = of("bouncefs", column)
            yield f"{column} / best stable direct peer", own / rival if own and rival else None, ">=", limit
            yield (f"{column} / peer over io_uring, io_uring", over("bouncefs-uring", "passthrough_hp-uring", column),
                   ">=", 1.0)
    yield "4k QD32 rand read / buffered loop", over("bouncefs", "loop-buffered", "read-4k-32"), ">=", 2.0
    for column, limit in ("read-4k-1", 0.95), ("read-4k-32", 0.95), ("read-1m-8", 0.85):
        yield f"{column} / bare, ro,passthrough=ro", of("bouncefs-ro", column), ">=", limit
    for way, systems in four.items() or [("read", None), ("write", None)]:
        yield (f"four images, {way}: sum / bare's",
               systems and systems["bouncefs"]["sum"] / systems["loop"]["sum"], ">=", 0.75)
        yield f"four images, {way}: least / fair share", systems and systems["bouncefs"]["least"], ">=", 0.5
    for way in "read", "write":
        yield f"p99 at QD1, {way} / bare", of("bouncefs", f"{way}-4k-1", "p99_us"), "<=", 1.5
        yield f"CPU a request at QD32, {way} / bare", of("bouncefs", f"{way}-4k-32", "cpu_us"), "<=", 2.0
    for column, limit in (("read-4k-32", 0.9), ("write-4k-32", 0.9), ("read-1m-8", 0.9), ("write-1m-8", 0.9),
                          ("read-4k-1", 0.85), ("write-4k-1", 0.85), ("fsync-4k-1", 0.5)):
        yield f"{column}: checksum=xxh3 / without", over("bouncefs-xxh3", "bouncefs", column), ">=", limit
    for column, limit in ("write-4k-32", 3), ("write-64k-8", 4), ("write-1m-8", 5):
        one = result["btrfs"].get("bouncefs-nodatacow-xxh3", {}).get(column, {}).get("value")
        yield f"{column}: xxh3 over nodatacow / bare Btrfs", one, ">=", limit
    scrub = result.get("scrub")
    yield "scrub / dd iflag=direct bs=1M", scrub and scrub["scrub"] / scrub["dd"], ">=", 0.8
    for when, limit in ("idle", 30), ("load", 96), ("after", 48):
        yield f"memory (MiB), {when}", memory.get(when), "<", limit
    for way, systems in lost.items() or [("read", None), ("write", None)]:
        yield (f"metadata traffic, {way}: points lost more than bare",
               systems and systems["bouncefs"] - systems["loop"], "<=", 20)


def verdicts(result):
    """The same with a verdict each: met, NOT MET or not measured."""
    for name, value, comparison, limit in targets(result):
        met = None if value is None else COMPARE[comparison](value, limit)
        yield {"name": name, "value": value, "target": f"{comparison} {limit:g}", "met": met}
