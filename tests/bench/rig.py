# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured stands on this: a filesystem in memory, loop devices, daemons; and all of it goes again.

A loop device is told to detach itself while we hold it open, and `run` gives us namespaces of our own with a
scratch directory in memory: nothing stays behind, not even after a SIGKILL.
"""
import contextlib
import os
import pathlib
import subprocess
import tempfile
import time

MIB = 1 << 20


def run(*command):
    """Its standard output; its standard error is in the exception."""
    done = subprocess.run(command, check=False, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()


def within(seconds, condition):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class Rig(contextlib.ExitStack):
    """Undoes, in reverse order, what its methods did."""

    def __init__(self):
        super().__init__()
        self.scratch = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))

    def directory(self, *parts):
        path = self.scratch.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def loop(self, file, direct, o_direct=True):
        """A loop device over FILE; with direct I/O or not, never silently the other."""
        switch = f"--direct-io={'on' if direct else 'off'}"
        device = run("losetup", "--find", "--show", *[switch] * o_direct, str(file))
        self.callback(os.close, os.open(device, os.O_RDONLY | os.O_CLOEXEC))
        run("losetup", switch, device)
        run("losetup", "--detach", device)  # when we close it
        mode = pathlib.Path("/sys/block", device[5:], "loop/dio").read_text().strip()
        if mode != str(int(direct)):
            raise RuntimeError(f"{file}: no direct I/O on a loop device")
        return device

    def unmount(self, path):
        if os.path.ismount(path) and not within(5, lambda: not subprocess.run(
                ["umount", path], check=False, stderr=subprocess.DEVNULL).returncode):
            raise RuntimeError(f"{path}: cannot be unmounted")

    def pool(self, kind, size):
        """A filesystem in memory."""
        disk = self.scratch / f"{kind}.disk"
        with open(disk, "wb") as file:
            file.truncate(size)
        run(f"mkfs.{kind}", {"ext4": "-Fq", "xfs": "-fq", "btrfs": "-fq"}[kind], str(disk))
        path = self.directory(kind)
        run("mount", "-o", "loop", str(disk), str(path))
        self.callback(self.unmount, path)
        return path

    def daemon(self, command, mountpoint):
        """A FUSE server in the foreground, once it has mounted."""
        log = open(self.scratch / f"{mountpoint.name}.log", "w+", encoding="utf-8")
        self.enter_context(log)
        process = subprocess.Popen(command, stdout=log, stderr=log)
        self.callback(self.stop, process)
        within(10, lambda: os.path.ismount(mountpoint) or process.poll() is not None)
        if not os.path.ismount(mountpoint):
            log.seek(0)
            raise RuntimeError(f"{os.path.basename(command[0])}: {log.read().strip() or 'does not mount'}")
        self.callback(self.unmount, mountpoint)
        return process

    @staticmethod
    def stop(process):
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def parameter(self, path, value):
        """Sets a parameter of the kernel, for as long as the rig stands."""
        path = pathlib.Path(path)
        self.callback(path.write_text, path.read_text())
        path.write_text(value)


def image(path, size):
    """An image without holes, written once."""
    noise = os.urandom(MIB)
    with open(path, "wb") as file:
        for _ in range(size // MIB):
            file.write(noise)
        file.flush()
        os.fsync(file.fileno())


def processes(root):
    """The process and all its descendants."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found
