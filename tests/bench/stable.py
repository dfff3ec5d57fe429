# SPDX-License-Identifier: GPL-2.0-or-later
"""The question that no speed may change the answer to: is a write stored as it was submitted?

The pool is frozen, a direct write is sent, and once it is held up below, its buffer changes. Who passed the
caller's pages on stores the change with them.
"""
import mmap
import os
import subprocess
import threading
import time

SIZE = 64 << 10


def stored(device, pool):
    """`old`: a stable copy; `new` or `mixed`: not."""
    buffer = mmap.mmap(-1, SIZE)
    buffer.write(b"o" * SIZE)
    fd = os.open(device, os.O_RDWR | os.O_DIRECT)
    try:
        writer = threading.Thread(target=os.pwritev, args=(fd, [buffer], 0))
        subprocess.run(["sync", "-f", pool], check=True)
        subprocess.run(["fsfreeze", "--freeze", pool], check=True)
        try:
            writer.start()
            time.sleep(0.5)
            pending = writer.is_alive()
            buffer.seek(0)
            buffer.write(b"n" * SIZE)
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", pool], check=True)
        writer.join()
        os.fsync(fd)
        os.preadv(fd, [buffer], 0)
    finally:
        os.close(fd)
    found = {chr(byte) for byte in set(buffer[:])}
    answer = {"o": "old", "n": "new"}[found.pop()] if len(found) == 1 else "mixed"
    return answer if pending else f"{answer} (was not held up)"
