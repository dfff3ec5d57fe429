# SPDX-License-Identifier: GPL-2.0-or-later
"""What is compared. One line in SYSTEMS is one system; `serve` starts it and returns its process (None:
there is none) and the path at which the image then is."""
import dataclasses
import os
import pathlib
import shutil
import typing

from rig import image, run

EXAMPLES = pathlib.Path("/usr/share/doc/libfuse3-dev/examples")
BOUNCEFS = str(pathlib.Path(os.environ["BUILD"], "bouncefs"))
BOUNCECTL = str(pathlib.Path(os.environ["BUILD"], "bouncectl"))


def bare(_rig, source, _mountpoint):
    return None, source / "a.img"


def server(*command):
    """A daemon that shows {source} at {mountpoint}."""
    def serve(rig, source, mountpoint):
        words = [word.format(source=source, mountpoint=mountpoint) for word in command]
        return rig.daemon(words, mountpoint), mountpoint / "a.img"
    return serve


def bouncefs(options):
    return server(BOUNCEFS, "-f", "-o", "log-level=warning" + (options and f",{options}"),
                  "{source}", "{mountpoint}")


def bouncefs_xxh3(options):
    """What is in the image has its checksums before anything is measured."""
    def serve(rig, source, mountpoint):
        process, file = bouncefs(f"checksum=xxh3,{options}".rstrip(","))(rig, source, mountpoint)
        run(BOUNCECTL, "checksum", "build", str(file))
        return process, file
    return serve


def uring(rig):
    """The kernel offers FUSE over io_uring; what falls back to /dev/fuse is not measured as if it did not."""
    rig.parameter("/sys/module/fuse/parameters/enable_uring", "Y")


def bouncefs_uring(options):
    def serve(rig, source, mountpoint):
        uring(rig)
        process, file = bouncefs(f"transport=io_uring,{options}")(rig, source, mountpoint)
        if b" transport=io_uring " not in os.getxattr(mountpoint, "user.bouncefs.status"):
            raise RuntimeError("transport=io_uring is not in force")
        return process, file
    return serve


def hp_uring(rig, source, mountpoint):
    uring(rig)
    return server("passthrough_hp", "--foreground", "--nopassthrough", "--direct-io", "-o", "io_uring",
                  "{source}", "{mountpoint}")(rig, source, mountpoint)


def example(name, *options):
    """One of libfuse's examples, compiled here. passthrough_fh shows / and not a directory."""
    def serve(rig, source, mountpoint):
        program = rig.scratch / name
        flags = run("pkg-config", "--cflags", "--libs", "fuse3").split()
        run("cc", "-O2", "-w", "-o", str(program), str(EXAMPLES / f"{name}.c"), *flags)
        process, file = server(str(program), "-f", *options, "{mountpoint}")(rig, source, mountpoint)
        return process, (mountpoint / source.relative_to("/") / "a.img" if name == "passthrough_fh" else file)
    return serve


def qemu(rig, source, mountpoint):
    """Mounts a single file."""
    mountpoint.rmdir()
    mountpoint.touch()
    process, _ = server("qemu-storage-daemon",
                        "--blockdev", "driver=file,node-name=a,filename={source}/a.img,cache.direct=on,aio=io_uring",
                        "--export", "fuse,id=a,node-name=a,mountpoint={mountpoint},writable=on",
                        )(rig, source, mountpoint)
    return process, mountpoint


@dataclasses.dataclass(frozen=True)
class System:
    name: str
    what: str
    serve: typing.Callable
    direct: bool = True        # the loop device's I/O
    o_direct: bool = True      # the loop device opens the image with O_DIRECT, which most servers pass on
    peer: bool = False
    ours: bool = False         # all data written is copied into its memory
    uring: bool = False        # and not by read(2)
    read_only: bool = False
    needs: str = ""            # a program
    data_cow: bool = True      # Btrfs: False is an image without checksums
    # once it runs:
    process: typing.Any = None
    device: str = None
    below: pathlib.Path = None  # where its images are
    above: pathlib.Path = None  # and are seen

    def measures(self, column):
        return not (self.read_only and column.writes)

    def start(self, rig, pool, size):
        if self.needs and not shutil.which(self.needs):
            raise RuntimeError(f"{self.needs}: not found")
        source, mountpoint = pool / self.name, rig.directory(f"mnt.{pool.name}", self.name)
        source.mkdir()
        if not self.data_cow:
            run("chattr", "+C", str(source))
        image(source / "a.img", size)
        process, file = self.serve(rig, source, mountpoint)
        return dataclasses.replace(self, process=process, device=rig.loop(file, self.direct, self.o_direct),
                                   below=source, above=file.parent)


SYSTEMS = [
    System("loop", "bare loop device, direct I/O", bare),
    System("loop-buffered", "bare loop device, buffered", bare, direct=False),
    System("bouncefs", "bouncefs", bouncefs("cache=none"), ours=True),
    System("bouncefs-uring", "bouncefs, transport=io_uring", bouncefs_uring("cache=none"), ours=True, uring=True),
    System("bouncefs-xxh3", "bouncefs, checksum=xxh3", bouncefs_xxh3("cache=none"),
           ours=True),
    System("bouncefs-ro", "bouncefs, ro,passthrough=ro", bouncefs("ro,passthrough=ro"), read_only=True),
    System("bindfs", "bindfs", server("bindfs", "-f", "--multithreaded", "--forward-odirect=4096", "{source}", "{mountpoint}"),
           peer=True, needs="bindfs"),
    System("qemu", "qemu-storage-daemon", qemu, peer=True, needs="qemu-storage-daemon"),
    # libfuse's buffers are not aligned: with O_DIRECT they answer EINVAL to writes
    System("passthrough_ll", "passthrough_ll, cached below",
           example("passthrough_ll", "-o", "source={source},cache=never,clone_fd"), peer=True, o_direct=False),
    System("passthrough_fh", "passthrough_fh, cached below", example("passthrough_fh", "-o", "clone_fd"),
           peer=True, o_direct=False),
    System("passthrough_hp", "passthrough_hp",
           server("passthrough_hp", "--foreground", "--nopassthrough", "--direct-io", "--clone-fd", "{source}", "{mountpoint}"),
           peer=True, needs="passthrough_hp"),
    System("passthrough_hp-uring", "passthrough_hp, io_uring", hp_uring, peer=True, uring=True, needs="passthrough_hp"),
    System("passthrough_hp-kernel", "passthrough_hp, kernel passthrough",
           server("passthrough_hp", "--foreground", "--clone-fd", "{source}", "{mountpoint}"), needs="passthrough_hp"),
]

BTRFS = [
    System("loop", "bare, checksums", bare),
    System("bouncefs", "bouncefs, checksums", bouncefs(""), ours=True),
    System("loop-nodatacow", "bare, nodatacow", bare, data_cow=False),
    System("bouncefs-nodatacow", "bouncefs, nodatacow", bouncefs(""), ours=True,
           data_cow=False),
    System("bouncefs-nodatacow-xxh3", "bouncefs, nodatacow, checksum=xxh3", bouncefs_xxh3(""), ours=True,
           data_cow=False),
]
