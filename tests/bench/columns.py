# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured of each system: one line in COLUMNS is one load."""
import dataclasses
import json
import os
import pathlib
import subprocess
import threading
import time

from rig import processes


@dataclasses.dataclass(frozen=True)
class Column:
    name: str
    what: str
    rw: str
    block: str
    depth: int
    options: tuple = ()

    @property
    def writes(self):
        return "write" in self.rw

    @property
    def unit(self):
        return "IOPS" if self.block == "4k" else "MB/s"


COLUMNS = [
    Column("read-4k-1", "rand read 4k QD1", "randread", "4k", 1),
    Column("write-4k-1", "rand write 4k QD1", "randwrite", "4k", 1),
    Column("read-4k-32", "rand read 4k QD32", "randread", "4k", 32),
    Column("write-4k-32", "rand write 4k QD32", "randwrite", "4k", 32),
    Column("read-1m-8", "read 1M QD8", "read", "1M", 8),
    Column("write-1m-8", "write 1M QD8", "write", "1M", 8),
    Column("fsync-4k-1", "4k write + fsync QD1", "randwrite", "4k", 1, ("--fsync=1",)),
]
BTRFS = [
    Column("write-4k-32", "rand write 4k QD32", "randwrite", "4k", 32),
    Column("write-64k-8", "write 64k QD8", "write", "64k", 8),
    Column("write-1m-8", "write 1M QD8", "write", "1M", 8),
]


def machine_time():
    """CPU seconds that the machine has spent on anything so far (/proc/stat; guests are in user)."""
    user, nice, system, _idle, _iowait, irq, softirq, _steal = map(
        int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def bytes_read(process):
    """What read(2) has brought into the daemon's memory: neither splice nor passthrough counts here."""
    return sum(int(pathlib.Path(f"/proc/{pid}/io").read_text().split()[1]) for pid in processes(process.pid))


def served(system):
    """What bouncefs itself says that it has written to the image: what passthrough moves does not count here."""
    stats = os.getxattr(system.above / "a.img", "user.bouncefs.stats").decode()
    return int(dict(word.split("=") for word in stats.split() if "=" in word)["write-bytes"])


def requests_done(devices):
    """How many reads and writes the loop devices have completed so far."""
    done = (pathlib.Path("/sys/block", device[5:], "stat").read_text().split() for device in devices)
    return sum(int(fields[0]) + int(fields[4]) for fields in done)


def cost(devices, seconds, result):
    """CPU time a request, microseconds, from when the load runs until shortly before it ends: fio's own start
    and end are not counted."""
    before = requests_done(devices)
    end = time.monotonic() + 10
    while requests_done(devices) < before + 10:
        if time.monotonic() > end:
            return
        time.sleep(0.01)
    time.sleep(0.1 * seconds)
    spent, done = machine_time(), requests_done(devices)
    time.sleep(0.75 * seconds)
    spent, done = machine_time() - spent, requests_done(devices) - done
    result["cpu_us"] = spent * 1e6 / max(done, 1)


def fio(devices, column, seconds):
    """One job a device. Also what it costs the machine."""
    command = ["fio", "--ioengine=io_uring", "--direct=1", "--time_based", f"--runtime={round(seconds * 1000)}ms",
               f"--rw={column.rw}", f"--bs={column.block}", f"--iodepth={column.depth}", "--norandommap",
               "--randrepeat=0", "--output-format=json", *column.options]
    for number, device in enumerate(devices):
        command += [f"--name={number}", f"--filename={device}"]
    result = {"cpu_us": 0}
    observer = threading.Thread(target=cost, args=(devices, seconds, result))
    observer.start()
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            output, errors = process.communicate(timeout=seconds + 60)
        except BaseException:
            process.terminate()  # and not killed with I/O in flight
            raise
        finally:
            observer.join()
    if process.returncode:
        raise RuntimeError(f"fio on {' '.join(devices)}: {errors.strip() or output[-500:]}")
    jobs = [job["write" if column.writes else "read"] for job in json.loads(output)["jobs"]]
    each = [job["iops"] if column.unit == "IOPS" else job["bw_bytes"] / 1e6 for job in jobs]
    return {
        **result,
        "value": sum(each),
        "each": each,
        "p99_us": max(job["clat_ns"]["percentile"]["99.000000"] for job in jobs) / 1000,
        "bytes": sum(job["io_bytes"] for job in jobs),
    }


def forget(path):
    """Out of the page cache: an image is larger than the memory of those who cache it."""
    fd = os.open(path, os.O_RDONLY)
    os.fdatasync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def measure(system, column, seconds):
    """fio on one system; on bouncefs, every byte that is written must have been written by it (no passthrough),
    and over /dev/fuse have been read into its memory (no splice; a ring cannot splice)."""
    witnesses = []
    if system.ours and column.writes:
        witnesses = [served] if system.uring else [served, lambda s: bytes_read(s.process)]
    forget(system.below / "a.img")
    before = [witness(system) for witness in witnesses]
    result = fio([system.device], column, seconds)
    for witness, was in zip(witnesses, before):
        if witness(system) - was < result["bytes"]:
            raise AssertionError(f"{system.name}: {column.what}: not all of the data came through its memory")
    return result
