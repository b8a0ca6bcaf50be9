"""operations: what the differential tester does on a directory: made from dice, carried out, and seen."""

import ctypes
import errno
import hashlib
import os
import stat

NAMES = ["a", "b", "c", "d", "e", "long-" + "n" * 250]
SLOTS = 3
SIZES = [0, 1, 10, 100, 1000, 4095, 4096, 4097, 9000, 65535, 65536, 65537, 150000]
OFFSETS = SIZES + [300000, 1 << 20, (1 << 20) + 5000]
FLAGS = [
    os.O_RDONLY,
    os.O_WRONLY,
    os.O_RDWR,
    os.O_RDWR | os.O_CREAT,
    os.O_RDWR | os.O_CREAT | os.O_EXCL,
    os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    os.O_RDWR | os.O_TRUNC,
    os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    os.O_RDWR | os.O_APPEND,
]
XATTRS = ["user.x", "user.y", "user.long-" + "x" * 200, "trusted.t"]
LONG_AGO_MAX = 10**18  # ns: what a time was set to lies before, what a clock said behind

libc = ctypes.CDLL(None, use_errno=True)


def checked(status):
    if status < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return status


# ---- making ----


def a_path(dice):
    depth = dice.choice([1, 1, 1, 1, 2, 2, 3])
    return "/".join(dice.choice(NAMES[:4] if dice.random() < 0.9 else NAMES) for _ in range(depth))


def a_time(dice):
    return dice.randrange(-(10**18) // 2, LONG_AGO_MAX // 2)


MAKERS = {
    "open": (14, lambda d: [d.randrange(SLOTS), a_path(d), d.choice(FLAGS), d.choice([0o644, 0o600, 0o4755])]),
    "close": (5, lambda d: [d.randrange(SLOTS)]),
    "write": (12, lambda d: [d.randrange(SLOTS), d.choice(SIZES), d.choice(OFFSETS), d.randrange(256)]),
    "append": (5, lambda d: [d.randrange(SLOTS), d.choice(SIZES), d.randrange(256)]),
    "read": (8, lambda d: [d.randrange(SLOTS), d.choice(SIZES), d.choice(OFFSETS)]),
    "ftruncate": (3, lambda d: [d.randrange(SLOTS), d.choice(OFFSETS)]),
    "truncate": (3, lambda d: [a_path(d), d.choice(OFFSETS)]),
    "fsync": (2, lambda d: [d.randrange(SLOTS)]),
    "fdatasync": (2, lambda d: [d.randrange(SLOTS)]),
    "fstat": (4, lambda d: [d.randrange(SLOTS)]),
    "put": (9, lambda d: [a_path(d), d.choice(SIZES), d.randrange(256)]),
    "redirect": (4, lambda d: [a_path(d), d.choice(SIZES), d.randrange(256)]),
    "add": (4, lambda d: [a_path(d), d.choice(SIZES), d.randrange(256)]),
    "get": (8, lambda d: [a_path(d)]),
    "mkdir": (9, lambda d: [a_path(d), d.choice([0o755, 0o700, 0o2775])]),
    "rmdir": (4, lambda d: [a_path(d)]),
    "unlink": (7, lambda d: [a_path(d)]),
    "rename": (10, lambda d: [a_path(d), a_path(d), d.choice([0, 0, 0, 1, 2])]),
    "link": (6, lambda d: [a_path(d), a_path(d)]),
    "symlink": (3, lambda d: [d.choice(NAMES[:3] + ["./d", "a/b"]), a_path(d)]),
    "readlink": (2, lambda d: [a_path(d)]),
    "mknod": (2, lambda d: [a_path(d), d.choice([stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFREG])]),
    "chmod": (4, lambda d: [a_path(d), d.choice([0o644, 0o600, 0o755, 0o4711, 0o1777])]),
    "chown": (2, lambda d: [a_path(d), d.choice([0, 1000]), d.choice([0, 1000])]),
    "utime": (4, lambda d: [a_path(d), a_time(d), a_time(d)]),
    "stat": (8, lambda d: [a_path(d)]),
    "list": (5, lambda d: [a_path(d)]),
    "setxattr": (4, lambda d: [a_path(d), d.choice(XATTRS), d.choice([0, 5, 300, 900]), d.choice([0, 0, 1, 2])]),
    "getxattr": (2, lambda d: [a_path(d), d.choice(XATTRS)]),
    "listxattr": (2, lambda d: [a_path(d)]),
    "removexattr": (2, lambda d: [a_path(d), d.choice(XATTRS)]),
    "fallocate": (4, lambda d: [d.randrange(SLOTS), d.choice([0, 1, 3, 16, 17]), d.choice(OFFSETS), d.choice(SIZES)]),
    "segments": (2, lambda d: [d.randrange(SLOTS)]),
    "copy_range": (3, lambda d: [d.randrange(SLOTS), d.choice(OFFSETS), d.randrange(SLOTS), d.choice(OFFSETS), d.choice(SIZES)]),
}


# What one mount has written is the other's to see when it was closed: turns are taken between whole operations.
OPEN_FILES = "open close write append read ftruncate fsync fdatasync fstat fallocate segments copy_range".split()


def begin(dice):
    """Something to work on: a directory in a directory, a file, an open file."""
    ops = [["mkdir", 0, "a", 0o755], ["mkdir", 0, "a/b", 0o755]]
    ops += [[name, 0] + MAKERS[name][1](dice) for name in ("put", "put", "mkdir", "symlink")]
    return ops


def make(dice, n_ops, n_mounts, faults, without):
    """A sequence of n_ops operations: [name, mount, argument...]. `faults`: some of "worker", "node"."""
    names = [name for name in MAKERS if name not in without and (n_mounts == 1 or name not in OPEN_FILES)]
    weights = [MAKERS[name][0] for name in names]
    ops, down = begin(dice), False
    if n_mounts == 1:
        ops.append(["open", 0, 0, "a/c", os.O_RDWR | os.O_CREAT, 0o644])
    while len(ops) < n_ops:
        mount = dice.randrange(n_mounts)
        if "worker" in faults and dice.random() < 0.01:
            ops.append(["kill_worker", mount])
        elif "node" in faults and dice.random() < 0.02:
            ops.append(["kill_node", mount, dice.randrange(1, 4)] if not down else ["start_nodes", mount])
            down = not down
        name = dice.choices(names, weights)[0]
        ops.append([name, mount] + MAKERS[name][1](dice))
    return ops


# ---- carrying out ----


def pattern(size, letter):
    return bytes((letter + i // 7) % 256 for i in range(min(size, 1792))) * (size // 1792 + 1) if size else b""


def content(size, letter):
    return pattern(size, letter)[:size]


def digest(data):
    return [len(data), hashlib.sha1(data).hexdigest()[:12]]


def seen_time(ns):
    return ns if ns < LONG_AGO_MAX else "recent"


def seen_stat(st):
    """What must be the same on every filesystem."""
    seen = {"mode": oct(st.st_mode), "uid": st.st_uid, "gid": st.st_gid}
    if not stat.S_ISFIFO(st.st_mode):  # the kernel does not tell a FUSE filesystem of writing to one
        seen["mtime"] = seen_time(st.st_mtime_ns)
    if not stat.S_ISDIR(st.st_mode):
        seen["size"], seen["nlink"] = st.st_size, st.st_nlink
    return seen


def without_directory_times(seen):
    """What is the same also where nodes were away: docs/schema.md, "A directory's attributes"."""
    if not isinstance(seen, dict):
        return seen
    is_directory = "mode" in seen and stat.S_ISDIR(int(seen["mode"], 8))
    return {k: without_directory_times(v) for k, v in seen.items() if not (is_directory and k == "mtime")}


def read_all(path):
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        data = b""
        while True:
            more = os.read(fd, 1 << 20)
            if not more:
                return data
            data += more
    finally:
        os.close(fd)


def seen_xattrs(path):
    names = sorted(n for n in os.listxattr(path, follow_symlinks=False) if n.split(".")[0] in ("user", "trusted"))
    return {name: digest(os.getxattr(path, name, follow_symlinks=False)) for name in names}


class Side:
    """One of the two directories, maybe seen through several mounts."""

    def __init__(self, roots, cluster=None):
        self.roots, self.cluster, self.fds = roots, cluster, {}

    def carry_out(self, op):
        """What a program sees of one operation; for a failure its errno's name."""
        name, mount, *arguments = op
        self.root = self.roots[mount % len(self.roots)]
        try:
            return getattr(self, name)(*arguments)
        except OSError as e:
            return errno.errorcode.get(e.errno, str(e.errno))

    def at(self, path):
        return os.path.join(self.root, path)

    def fd(self, slot):
        if slot not in self.fds:
            raise OSError(errno.EBADF, "")
        return self.fds[slot]

    def close_all(self):
        return [self.carry_out(["close", 0, slot]) for slot in sorted(self.fds)]

    def open(self, slot, path, flags, mode):
        closed = self.carry_out(["close", 0, slot]) if slot in self.fds else None
        self.fds[slot] = os.open(self.at(path), flags | os.O_NONBLOCK, mode)
        return ["opened", closed]

    def close(self, slot):
        os.close(self.fds.pop(slot) if slot in self.fds else self.fd(slot))

    def write(self, slot, size, offset, letter):
        return os.pwrite(self.fd(slot), content(size, letter), offset)

    def append(self, slot, size, letter):
        os.lseek(self.fd(slot), 0, os.SEEK_END)
        return os.write(self.fd(slot), content(size, letter))

    def read(self, slot, size, offset):
        return digest(os.pread(self.fd(slot), size, offset))

    def ftruncate(self, slot, size):
        os.ftruncate(self.fd(slot), size)

    def truncate(self, path, size):
        os.truncate(self.at(path), size)

    def fsync(self, slot):
        os.fsync(self.fd(slot))

    def fdatasync(self, slot):
        os.fdatasync(self.fd(slot))

    def fstat(self, slot):
        return seen_stat(os.fstat(self.fd(slot)))

    def put(self, path, size, letter, flags=os.O_TRUNC):
        fd = os.open(self.at(path), os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | flags, 0o644)
        try:
            return os.write(fd, content(size, letter))
        finally:
            os.close(fd)

    def redirect(self, path, size, letter):
        """As a shell does for `>`, but for the standard input."""
        fd = os.open(self.at(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o644)
        input = os.dup(0)
        os.dup2(fd, 0)
        try:
            os.close(fd)
            return os.write(0, content(size, letter))
        finally:
            os.dup2(input, 0)
            os.close(input)

    def add(self, path, size, letter):
        return self.put(path, size, letter, os.O_APPEND)

    def get(self, path):
        return digest(read_all(self.at(path)))

    def mkdir(self, path, mode):
        os.mkdir(self.at(path), mode)

    def rmdir(self, path):
        os.rmdir(self.at(path))

    def unlink(self, path):
        os.unlink(self.at(path))

    def rename(self, path, new_path, flags):
        def rename():
            checked(libc.renameat2(-100, self.at(path).encode(), -100, self.at(new_path).encode(), flags))

        try:
            rename()
        except OSError as e:
            # Of a directory that another mount has moved, until this one looks at it: docs/filesystem.md, Errors.
            if e.errno != errno.ESTALE:
                raise
            for each in (path, new_path):
                os.path.lexists(self.at(each))
            rename()

    def link(self, path, new_path):
        os.link(self.at(path), self.at(new_path), follow_symlinks=False)

    def symlink(self, target, path):
        os.symlink(target, self.at(path))

    def readlink(self, path):
        return os.readlink(self.at(path))

    def mknod(self, path, kind):
        os.mknod(self.at(path), kind | 0o640)

    def chmod(self, path, mode):
        os.chmod(self.at(path), mode)

    def chown(self, path, uid, gid):
        os.chown(self.at(path), uid, gid, follow_symlinks=False)

    def utime(self, path, atime, mtime):
        os.utime(self.at(path), ns=(atime, mtime), follow_symlinks=False)

    def stat(self, path):
        return seen_stat(os.lstat(self.at(path)))

    def list(self, path):
        return sorted(os.listdir(self.at(path)))

    def setxattr(self, path, name, size, flags):
        os.setxattr(self.at(path), name, content(size, 65), flags)

    def getxattr(self, path, name):
        return digest(os.getxattr(self.at(path), name))

    def listxattr(self, path):
        return sorted(n for n in os.listxattr(self.at(path)) if n.split(".")[0] in ("user", "trusted"))

    def removexattr(self, path, name):
        os.removexattr(self.at(path), name)

    def fallocate(self, slot, mode, offset, size):
        checked(libc.fallocate(self.fd(slot), mode, ctypes.c_long(offset), ctypes.c_long(size)))

    def segments(self, slot):
        """SEEK_DATA and SEEK_HOLE may be as coarse as they like, but never hide data."""
        fd = self.fd(slot)
        size = os.fstat(fd).st_size
        whole = os.pread(fd, size, 0) if size < 4 << 20 else b""
        at = 0
        while whole and at < size:
            try:
                data = os.lseek(fd, at, os.SEEK_DATA)
            except OSError as e:
                if e.errno != errno.ENXIO:
                    raise
                data = size
            if whole[at:data].strip(b"\0"):
                return "data in a hole at %d" % at
            at = os.lseek(fd, data, os.SEEK_HOLE) if data < size else size
            if at <= data and data < size:
                return "an empty segment at %d" % data
        return "consistent"

    def copy_range(self, slot, offset, to_slot, to_offset, size):
        done = 0
        while done < size:
            n = os.copy_file_range(self.fd(slot), self.fd(to_slot), size - done, offset + done, to_offset + done)
            if n == 0:
                break
            done += n
        return done

    def kill_worker(self):
        """Nothing is unwritten when it dies, and nothing is open that has no name any more: all else goes on."""
        for slot, fd in list(self.fds.items()):
            if os.fstat(fd).st_nlink == 0:
                self.close(slot)
                continue
            try:
                os.fsync(fd)
            except OSError:
                pass
        if self.cluster:
            self.cluster.kill_worker(self.root_of_mount())

    def root_of_mount(self):
        return next(m for m in self.cluster.mounts if self.root.startswith(m + "/"))

    def kill_node(self, i):
        if self.cluster:
            self.cluster.kill_node(i)

    def start_nodes(self):
        if self.cluster:
            for i, node in self.cluster.nodes.items():
                if node.poll() is not None:
                    self.cluster.start_node(i)

    def tree(self, mount=0):
        """Everything below the root: attributes, contents, which names are one file."""
        root = self.roots[mount % len(self.roots)]
        seen, inodes = {}, {}
        for where, folders, files in os.walk(root):
            for name in folders + files:
                path = os.path.join(where, name)
                short = os.path.relpath(path, root)
                st = os.lstat(path)
                seen[short] = seen_stat(st)
                seen[short]["xattrs"] = seen_xattrs(path)
                if stat.S_ISREG(st.st_mode):
                    seen[short]["content"] = digest(read_all(path))
                elif stat.S_ISLNK(st.st_mode):
                    seen[short]["target"] = os.readlink(path)
                if not stat.S_ISDIR(st.st_mode):
                    inodes.setdefault(st.st_ino, []).append(short)
        return {"names": seen, "files": sorted(sorted(names) for names in inodes.values())}
