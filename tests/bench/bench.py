#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures bouncefs, the bare loop device and other FUSE servers side by side; see `run`, which starts it."""
import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import signal
import statistics
import subprocess
import sys

import columns as loads
import extra
import report
import stable
import systems
import targets
from rig import MIB, Rig

EXTRAS = ["four_images", "metadata_cost", "memory", "scrub"]


def arguments():
    names = [system.name for system in systems.SYSTEMS]
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__.split(";")[0] + ".")
    parser.add_argument("--filesystem", choices=["xfs", "ext4", "btrfs"], default="xfs", help="below all (default: xfs)")
    parser.add_argument("--seconds", type=float, default=0.8, help="of each measurement (0.8)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts (5)")
    parser.add_argument("--size", type=int, default=512, help="of each image, MiB (512)")
    parser.add_argument("--systems", type=lambda text: text.split(","), default=names, metavar="A,B,...",
                        help="only these, and the bare loop device: " + " ".join(names))
    parser.add_argument("--columns", type=lambda text: text.split(","), metavar="A,B,...",
                        help="only these: " + " ".join(column.name for column in loads.COLUMNS))
    parser.add_argument("--tables", type=lambda text: text.split(","), default=["main", "btrfs"], metavar="A,B",
                        help="main (all systems), btrfs (with and without checksums)")
    parser.add_argument("--extras", type=lambda text: text.split(","), default=EXTRAS, metavar="A,B,...",
                        help="further measurements of bouncefs: " + " ".join(EXTRAS) + "; '' for none")
    parser.add_argument("--json", type=pathlib.Path, help="write all results there")
    parser.add_argument("--svg", type=pathlib.Path, help="draw the first table there")
    parser.add_argument("--readme", action="store_true",
                        help="and put all that into the project's README and contrib/bench")
    parser.add_argument("--from", type=pathlib.Path, dest="source", help="measure nothing, report this JSON")
    return parser.parse_args()


def machine():
    model = next((line.partition(":")[2].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return {"kernel": platform.release().split("-")[0], "cpus": os.cpu_count(), "model": model, "load": os.getloadavg()[0],
            "date": datetime.date.today().isoformat()}


def progress(*words):
    print(*words, file=sys.stderr, flush=True)


def start(rig, pool, chosen, size):
    """Those that can be had here, and why the others cannot."""
    running, missing = [], {}
    for system in chosen:
        with contextlib.ExitStack() as attempt:
            own = attempt.enter_context(Rig())
            try:
                running.append(system.start(own, pool, size))
            except (OSError, RuntimeError) as error:
                missing[system.name] = str(error).splitlines()[-1].partition("; known are")[0]
                progress("not measured:", system.name, missing[system.name])
                continue
            rig.push(attempt.pop_all())
    return running, missing


def medians(runs):
    return {key: statistics.median(run[key] for run in runs) for key in ("value", "p99_us", "cpu_us")}


def table(filesystem, running, missing, columns, args, seconds):
    """Interleaved: in each round each load on each system, one after the other."""
    runs = {system.name: {} for system in running}
    for number in range(args.rounds):
        progress("round", number + 1, "of", args.rounds)
        for column in columns:
            # in another order each time: what one leaves behind should not always meet the same
            turn = number % len(running)
            for system in running[turn:] + running[:turn]:
                if system.name in missing or not system.measures(column):
                    continue
                try:
                    runs[system.name].setdefault(column.name, []).append(loads.measure(system, column, seconds))
                except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
                    if not system.peer:
                        raise
                    missing[system.name] = str(error).splitlines()[0]
                    progress("not measured any more:", system.name, missing[system.name])
    running[:] = [system for system in running if system.name not in missing]
    runs = {system.name: runs[system.name] for system in running}
    base = runs[running[0].name]
    return {
        "filesystem": filesystem,
        "seconds": seconds,
        "columns": [{**dataclasses.asdict(column), "unit": column.unit} for column in columns],
        "systems": {system.name: {"what": system.what, "rival": system.peer and system.o_direct} for system in running},
        "missing": missing,
        "runs": runs,
        "median": {name: {column: medians(done) for column, done in by.items()} for name, by in runs.items()},
        "ratio": {name: {column: medians([{key: run[key] / bare[key] for key in ("value", "p99_us", "cpu_us")}
                                          for run, bare in zip(done, base[column])])
                         for column, done in by.items()} for name, by in runs.items()},
    }


def check_stable(result, running, pool):
    """On the very mounts that are measured. The bare loop device shows that the check can fail."""
    for system in running:
        if system.read_only:
            continue
        answer = stable.stored(system.device, pool)
        result["systems"][system.name]["stored"] = answer
        progress("held write:", system.name, answer)
        if system.name.startswith("bouncefs") and not answer.startswith("old"):
            raise AssertionError(f"{system.name}: a write that was changed on its way is stored as {answer}")


def main_table(args, result):
    chosen = [system for system in systems.SYSTEMS if system.name in ("loop", *args.systems)]
    columns = [column for column in loads.COLUMNS if not args.columns or column.name in args.columns]
    with Rig() as rig:
        pool = rig.pool(args.filesystem, (2 * len(chosen) * args.size + 4096) * MIB)
        running, missing = start(rig, pool, chosen, args.size * MIB)
        main = result["tables"]["main"] = table(args.filesystem, running, missing, columns, args, args.seconds)
        check_stable(main, running, pool)
        summed = [system for system in running if system.name == "bouncefs-xxh3"]
        if summed and "scrub" in args.extras:
            progress("scrub")
            result["scrub"] = extra.scrub(summed[0], args.rounds)
        pair = [system for system in running if system.name in ("loop", "bouncefs")]
        if len(pair) == 2:
            if "four_images" in args.extras:
                progress("four images")
                rings = [system for system in running if system.name == "bouncefs-uring"]
                result["four_images"] = extra.four_images(rig, pair + rings, args.rounds, args.seconds)
            if "metadata_cost" in args.extras:
                progress("metadata traffic")
                result["metadata_cost"] = extra.metadata_cost(pair, args.rounds, args.seconds)
    if len(pair) == 2 and "memory" in args.extras:
        progress("memory")
        with Rig() as rig:  # a fresh daemon: idle is what it has after start
            running, _ = start(rig, rig.pool(args.filesystem, 4096 * MIB), pair, args.size * MIB)
            result["memory"] = extra.memory(running[1], max(args.seconds, 2))


def btrfs_table(args, result):
    columns = [column for column in loads.BTRFS if not args.columns or column.name in args.columns]
    with Rig() as rig:
        pool = rig.pool("btrfs", (3 * len(systems.BTRFS) * args.size + 4096) * MIB)
        running, missing = start(rig, pool, systems.BTRFS, args.size * MIB)
        # longer: copy on write scatters a file and its checksums, and is fast until it has
        result["tables"]["btrfs"] = table("Btrfs", running, missing, columns, args, 3 * args.seconds)
        check_stable(result["tables"]["btrfs"], running, pool)


def judge(result):
    main = result["tables"].get("main")
    if not main:
        return []
    # who leaves writes in the page cache does less
    peers = [name for name, system in main["systems"].items()
             if system["rival"] and system.get("stored", "").startswith("old")]
    btrfs = result["tables"].get("btrfs", {}).get("ratio", {})
    return list(targets.verdicts({**result, "ratio": main["ratio"], "btrfs": btrfs, "stable_peers": peers}))


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if args.source:
        result = json.loads(args.source.read_text())
    else:
        result = {"machine": machine(), "rounds": args.rounds, "seconds": args.seconds, "tables": {}}
        for name, measure in ("main", main_table), ("btrfs", btrfs_table):
            if name in args.tables:
                measure(args, result)
    result["targets"] = judge(result)
    if args.readme:
        report.readme(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    if args.svg:
        report.plot(result, args.svg)
    print("\n".join(report.text(result)))


if __name__ == "__main__":
    main()
