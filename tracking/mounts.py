"""Whether a path is on a network file system, where a database must not live."""

from __future__ import annotations

from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
NETWORK = {
    "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "davfs", "gfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs",
    "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "wekafs",
}
NETWORK_FUSE = ("fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.glusterfs", "fuse.ceph", "fuse.juicefs")


def on_network(path: Path, mounts: Path = MOUNTS) -> bool:
    """Whether the path lies, or would lie, below a mounted network file system; False where nobody can tell."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return False
    whole = path.expanduser().resolve()
    points = [(_plain(fields[1]), fields[2]) for fields in map(str.split, lines) if len(fields) > 2]
    around = [(point, kind) for point, kind in points if whole.is_relative_to(point)]
    # Of two mounts on one point the later one is seen.
    _, kind = max(enumerate(around), key=lambda item: (len(item[1][0]), item[0]), default=(0, ("", "")))[1]
    return kind in NETWORK or kind.startswith(NETWORK_FUSE)


def _plain(point: str) -> str:
    """A space in a mount point is written as an octal number."""
    return point.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
