# SPDX-License-Identifier: GPL-2.0-or-later
"""Clones of files on a bouncefs mount.

The FICLONE ioctl never reaches a FUSE server: the kernel answers it with EOPNOTSUPP. copy_file_range(2) does, and
bouncefs serves it with a clone where the filesystem below can.
"""

import os
import re

SHARING = {"btrfs", "xfs"}  # filesystems that share extents


class Mount:
    """A line of /proc/self/mountinfo."""

    def __init__(self, line):
        left, right = line.split(" - ", 1)
        fields = left.split()
        self.device = fields[2]
        self.point = _unescape(fields[4])
        self.type, self.source = (_unescape(field) for field in right.split()[:2])

    def holds(self, path):
        return os.path.join(self.point, "") == os.path.commonprefix(
            [os.path.join(self.point, ""), os.path.join(path, "")]
        )


def _unescape(field):
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field)


def _mounts():
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return [Mount(line) for line in file]


def shares_extents(file):
    """Whether FILE lies on a bouncefs mount over a filesystem that can share extents."""
    mounts = _mounts()
    number = os.fstat(file.fileno()).st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    ours = [mount for mount in mounts if mount.device == device and mount.type == "fuse.bouncefs"]
    if not ours:
        return False
    below = [mount for mount in mounts if mount.type != "fuse.bouncefs" and mount.holds(ours[0].source)]
    # of mounts over one another the last one counts
    return max(reversed(below), key=lambda mount: len(mount.point)).type in SHARING


def clone(src, dst):
    """Make the open file DST a clone of SRC; False if they cannot share extents."""
    if not (shares_extents(src) and shares_extents(dst)):
        return False
    size = os.fstat(src.fileno()).st_size
    done = 0
    while done < size:
        copied = os.copy_file_range(src.fileno(), dst.fileno(), size - done, done, done)
        if copied == 0:
            raise OSError(f"{src.name!r} ended at {done} of {size} bytes")
        done += copied
    os.truncate(dst.fileno(), size)
    return True
