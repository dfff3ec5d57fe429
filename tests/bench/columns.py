# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured of each system: one line in COLUMNS is one load."""
import dataclasses
import json
import os
import pathlib
import subprocess

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


def fio(devices, column, seconds):
    """One job a device. Also what it costs the machine."""
    command = ["fio", "--ioengine=io_uring", "--direct=1", "--time_based", f"--runtime={round(seconds * 1000)}ms",
               f"--rw={column.rw}", f"--bs={column.block}", f"--iodepth={column.depth}", "--norandommap",
               "--randrepeat=0", "--output-format=json", *column.options]
    for number, device in enumerate(devices):
        command += [f"--name={number}", f"--filename={device}"]
    before = machine_time()
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            output, errors = process.communicate()
        except BaseException:
            process.terminate()  # and not killed with I/O in flight
            raise
    if process.returncode:
        raise RuntimeError(f"fio on {' '.join(devices)}: {errors.strip() or output[-500:]}")
    spent = machine_time() - before
    jobs = [job["write" if column.writes else "read"] for job in json.loads(output)["jobs"]]
    each = [job["iops"] if column.unit == "IOPS" else job["bw_bytes"] / 1e6 for job in jobs]
    return {
        "value": sum(each),
        "each": each,
        "p99_us": max(job["clat_ns"]["percentile"]["99.000000"] for job in jobs) / 1000,
        "cpu_us": spent * 1e6 / sum(job["total_ios"] for job in jobs),
        "bytes": sum(job["io_bytes"] for job in jobs),
    }


def forget(path):
    """Out of the page cache: an image is larger than the memory of those who cache it."""
    fd = os.open(path, os.O_RDONLY)
    os.fdatasync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def measure(system, column, seconds):
    """fio on one system; on bouncefs, every byte that is written must have been read into its memory."""
    forget(system.below / "a.img")
    copied = system.ours and column.writes
    before = bytes_read(system.process) if copied else 0
    try:
        result = fio([system.device], column, seconds)
    except RuntimeError as error:
        raise RuntimeError(f"{system.name}: {error}") from error
    if copied and bytes_read(system.process) - before < result["bytes"]:
        raise AssertionError(f"{system.name}: {column.what}: not all of the data came through its memory")
    return result
