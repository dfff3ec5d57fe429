# SPDX-License-Identifier: GPL-2.0-or-later
"""Storage driver "bouncefs": Qubes' file-reflink driver, on a bouncefs mount.

It differs in one thing: how a file is cloned.
"""

from qubes.storage import reflink

from .clone import clone

_ficlone = reflink._attempt_ficlone  # pylint: disable=protected-access


def _attempt_clone(src, dst):
    if src.writable():  # the check whether clones are supported, with data that is still in Python's buffer
        src.flush()
    return _ficlone(src, dst) or clone(src, dst)


# The driver's functions look it up in their module. On any other filesystem it does what it always did.
reflink._attempt_ficlone = _attempt_clone  # pylint: disable=protected-access


class BouncefsPool(reflink.ReflinkPool):
    driver = "bouncefs"

    @property
    def config(self):
        return {**super().config, "driver": self.driver}
