# SPDX-License-Identifier: GPL-2.0-or-later
"""What one fio on one image does not show."""
import contextlib
import json
import pathlib
import statistics
import subprocess
import threading
import time

from columns import Column, fio, forget
from rig import MIB, image, processes, run
from systems import BOUNCECTL

QD8 = [Column("read", "4 images, rand read 4k QD8 each", "randread", "4k", 8),
       Column("write", "4 images, rand write 4k QD8 each", "randwrite", "4k", 8)]
QD32 = [Column("read", "rand read 4k QD32", "randread", "4k", 32),
        Column("write", "rand write 4k QD32", "randwrite", "4k", 32)]
FULL = [Column("read", "read 1M QD32", "read", "1M", 32), Column("write", "write 1M QD32", "write", "1M", 32)]
IMAGES, FILES = 4, 5000


def pss(process):
    """MiB, of all of its processes."""
    return sum(int(line.split()[1]) for pid in processes(process.pid)
               for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
               if line.startswith("Pss:")) / 1024


def memory(system, seconds):
    """MiB: idle, at most under full load, ten seconds after it."""
    result, peak = {"idle": pss(system.process)}, 0
    for column in FULL:
        load = threading.Thread(target=fio, args=([system.device], column, seconds))
        load.start()
        while load.is_alive():
            peak = max(peak, pss(system.process))
            load.join(0.1)
    time.sleep(10)
    return {**result, "load": peak, "after": pss(system.process)}


def four_images(rig, systems, rounds, seconds):
    """The sum, and the least of them as a part of its fair share; medians."""
    devices, results = {}, {}
    for system in systems:
        devices[system.name] = []
        for number in range(IMAGES):
            image(system.below / f"{number}.img", 256 * MIB)
            devices[system.name].append(rig.loop(system.above / f"{number}.img", system.direct))
    for column in QD8:
        runs = {system.name: [] for system in systems}
        for _ in range(rounds):
            for system in systems:
                runs[system.name].append(fio(devices[system.name], column, seconds)["each"])
        results[column.name] = {name: {
            "sum": statistics.median(sum(each) for each in run),
            "least": statistics.median(min(each) * IMAGES / sum(each) for each in run),
        } for name, run in runs.items()}
    return results


@contextlib.contextmanager
def metadata_traffic(directory):
    """find, a storm of stat, and a big unlink, over and over."""
    ending = threading.Event()
    tree = directory / "tree"
    for number in range(FILES):
        path = tree / str(number % 50) / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def traffic():
        while not ending.is_set():
            subprocess.run(["find", tree, "-printf", "%s"], check=True, stdout=subprocess.DEVNULL)
            for path in tree.rglob("*"):
                path.stat()
            subprocess.run(["fallocate", "-l", "256M", directory / "big"], check=True)
            (directory / "big").unlink()

    thread = threading.Thread(target=traffic)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
        subprocess.run(["rm", "-r", tree], check=True)


def metadata_cost(systems, rounds, seconds):
    """The part of its speed that a system loses, in percent; medians."""
    results = {}
    for column in QD32:
        lost = {system.name: [] for system in systems}
        for _ in range(rounds):
            for system in systems:
                alone = fio([system.device], column, seconds)["value"]
                with metadata_traffic(system.above):
                    beset = fio([system.device], column, seconds)["value"]
                lost[system.name].append(100 * (1 - beset / alone))
        results[column.name] = {name: statistics.median(runs) for name, runs in lost.items()}
    return results


def scrub(system, rounds):
    """MB/s of a scrub, compared with checksums, and of dd on the file below, in turns; medians."""
    speeds = {"scrub": [], "dd": []}
    for _ in range(rounds):
        forget(system.below / "a.img")
        told = json.loads(run(BOUNCECTL, "--json", "scrub", str(system.above / "a.img")))
        if told["bad"] or not told["checksums"]:
            raise AssertionError(f"{system.name}: {told}")
        speeds["scrub"].append(told["read"] / told["seconds"] / 1e6)
        begin = time.monotonic()
        run("dd", f"if={system.below / 'a.img'}", "of=/dev/null", "bs=1M", "iflag=direct", "status=none")
        speeds["dd"].append(told["size"] / (time.monotonic() - begin) / 1e6)
    return {name: statistics.median(values) for name, values in speeds.items()}
