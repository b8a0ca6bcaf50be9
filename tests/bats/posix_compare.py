#!/usr/bin/env python3
"""Runs some hundred small operations in two directories and compares what a program sees.

    posix_compare.py MOUNT LOCAL      as root; exit 1 and a line for each difference

LOCAL is on a local disk and says what is right; both get a subdirectory that must not exist yet.
"""

import errno
import fcntl
import os
import stat
import sys
import time


def write(name, data=b"x"):
    with open(name, "wb") as f:
        f.write(data)


def overwrite(name):
    fd = os.open(name, os.O_WRONLY)
    os.write(fd, b"yy")
    os.close(fd)


def mode_of(name):
    return oct(os.stat(name).st_mode)


def later(field, name, operation):
    """Whether a time of `name` moves on by an operation."""
    before = getattr(os.lstat(name), field)
    time.sleep(0.02)
    operation()
    return getattr(os.lstat(name), field) > before


def as_user(operation):
    """The error of an operation done by an ordinary user; 0 when there is none."""
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(1000)
        os.setuid(1000)
        try:
            operation()
            os._exit(0)
        except OSError as e:
            os._exit(e.errno)
    return errno.errorcode.get(os.WEXITSTATUS(os.waitpid(pid, 0)[1]), 0)


class Run:
    def __init__(self, base):
        self.seen = []
        os.mkdir(os.path.join(base, "compare"))
        os.chdir(os.path.join(base, "compare"))
        os.chmod(".", 0o755)
        self.base = os.getcwd()

    def see(self, name, operation):
        try:
            result = operation()
        except OSError as e:
            result = errno.errorcode.get(e.errno, e.errno)
        self.seen.append((name, result))

    def names(self):
        see = self.see
        write("f")
        os.mkdir("d")
        write("d/x")
        os.symlink("loop", "loop")
        os.symlink("f", "link")
        os.symlink("nowhere", "dangling")
        see("create over a directory", lambda: os.open("d", os.O_CREAT | os.O_WRONLY))
        see("create exclusively", lambda: os.open("f", os.O_CREAT | os.O_EXCL))
        see("create exclusively over a link", lambda: os.open("dangling", os.O_CREAT | os.O_EXCL))
        see("unlink a directory", lambda: os.unlink("d"))
        see("rmdir a file", lambda: os.rmdir("f"))
        see("rmdir what is not empty", lambda: os.rmdir("d"))
        see("rmdir what is missing", lambda: os.rmdir("q"))
        see("mkdir over a directory", lambda: os.mkdir("d"))
        see("mkdir over a file", lambda: os.mkdir("f"))
        see("mkdir under a file", lambda: os.mkdir("f/a"))
        see("open a loop", lambda: os.open("loop", 0))
        see("open with a slash behind", lambda: os.open("f/", 0))
        see("rename a file over a directory", lambda: os.rename("f", "d"))
        see("rename a directory over a file", lambda: os.rename("d", "f"))
        os.mkdir("e")
        see("rename over what is not empty", lambda: os.rename("e", "d"))
        see("rename a directory into itself", lambda: os.rename("d", "d/y"))
        see("rename what is missing", lambda: os.rename("zz", "f"))
        see("rename to itself", lambda: os.rename("f", "f"))
        see("rename over an empty directory", lambda: os.rename("d", "e"))
        see("list", lambda: sorted(os.listdir(".")))
        see("a name of 256", lambda: os.open("n" * 256, os.O_CREAT))
        see("a name of 255", lambda: os.close(os.open("n" * 255, os.O_CREAT)))
        see("a path too long", lambda: os.stat("a/" * 3000))
        see("readlink of a file", lambda: os.readlink("f"))
        see("readlink", lambda: os.readlink("link"))
        see("size of a link", lambda: os.lstat("link").st_size)
        see("symlink over a file", lambda: os.symlink("a", "f"))
        see("fifo", lambda: (os.mkfifo("p"), stat.S_ISFIFO(os.stat("p").st_mode)))
        see("device", lambda: (os.mknod("c", stat.S_IFCHR | 0o600, os.makedev(1, 3)), os.stat("c").st_rdev))
        see("link to a directory", lambda: os.link("e", "e2"))

    def opening(self):
        see = self.see
        see("truncate a directory", lambda: os.truncate("e", 0))
        see("truncate to less than nothing", lambda: os.truncate("f", -1))
        see("truncate through a link", lambda: (os.truncate("link", 77), os.stat("f").st_size))
        see("truncate what is missing", lambda: os.truncate("q", 0))
        fd = os.open("f", os.O_RDONLY)
        see("write to what is open for reading", lambda: os.write(fd, b"x"))
        see("truncate what is open for reading", lambda: os.ftruncate(fd, 1))
        os.close(fd)
        fd = os.open("f", os.O_WRONLY)
        see("read what is open for writing", lambda: os.read(fd, 1))
        os.close(fd)
        see("open a directory for writing", lambda: os.open("e", os.O_WRONLY))
        see("O_DIRECTORY of a file", lambda: os.open("f", os.O_DIRECTORY))
        see("O_DIRECT", lambda: os.close(os.open("f", os.O_DIRECT)))
        see("O_NOFOLLOW", lambda: os.open("link", os.O_NOFOLLOW))
        see("flock", lambda: fcntl.flock(open("f"), fcntl.LOCK_EX | fcntl.LOCK_NB))
        see("lockf", lambda: fcntl.lockf(open("f", "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB))
        fd = os.open("sparse", os.O_RDWR | os.O_CREAT)
        os.pwrite(fd, b"e", 10**7)
        see("sparse", lambda: (os.pread(fd, 5, 5), os.fstat(fd).st_size))
        see("seek to the end", lambda: os.lseek(fd, 0, os.SEEK_END))
        see("seek data behind the end", lambda: os.lseek(fd, 10**7 + 5, os.SEEK_DATA))
        see("fsync", lambda: os.fsync(fd))
        see("fdatasync", lambda: os.fdatasync(fd))
        os.close(fd)
        fd = os.open(".", os.O_RDONLY)
        see("fsync of a directory", lambda: os.fsync(fd))
        see("read of a directory", lambda: os.read(fd, 1))
        os.close(fd)

    def attributes(self):
        see = self.see
        for mode in (0, 0o777, 0o4755, 0o2755, 0o1777, 0o7777):
            see(f"chmod {mode:o}", lambda: (os.chmod("f", mode), mode_of("f")))
            see(f"chmod {mode:o} of a directory", lambda: (os.chmod("e", mode), mode_of("e")))
        for name, operation in (
                ("write", lambda: overwrite("f")),
                ("chown", lambda: os.chown("f", 5, 6)),
                ("truncate", lambda: os.truncate("f", 3))):
            os.chmod("f", 0o6755)
            see(f"setuid after {name} by root", lambda: (operation(), mode_of("f")))
        see("chown", lambda: (os.stat("f").st_uid, os.stat("f").st_gid))
        for times in ((1, 2), (-5 * 10**9 + 3, -(10**9) - 1), (10**18, 2 * 10**18)):
            for name in ("f", "e"):
                see(f"utimensat {times} of {name}",
                    lambda: (os.utime(name, ns=times), os.stat(name).st_atime_ns, os.stat(name).st_mtime_ns))
        see("utimensat of a link", lambda: (os.utime("link", ns=(7, 8), follow_symlinks=False),
                                            os.lstat("link").st_mtime_ns, os.stat("link").st_mtime_ns))
        c, m = "st_ctime_ns", "st_mtime_ns"
        see("ctime after chmod", lambda: later(c, "f", lambda: os.chmod("f", 0o600)))
        see("ctime of the parent after rename", lambda: later(c, ".", lambda: os.rename("f", "g")))
        os.rename("g", "f")
        os.utime("f")
        see("mtime after write", lambda: later(m, "f", lambda: overwrite("f")))
        see("mtime of the parent after create", lambda: later(m, ".", lambda: write("new")))
        see("mtime of the parent after unlink", lambda: later(m, ".", lambda: os.unlink("new")))
        see("mtime of the parent after mkdir", lambda: later(m, ".", lambda: os.mkdir("new")))
        see("mtime of the parent after rmdir", lambda: later(m, ".", lambda: os.rmdir("new")))
        see("mtime after O_TRUNC", lambda: later(m, "f", lambda: os.close(os.open("f", os.O_WRONLY | os.O_TRUNC))))
        see("mtime after truncate to the same", lambda: later(m, "f", lambda: os.truncate("f", 0)))
        see("mtime after read", lambda: later(m, "f", lambda: open("f").read()))
        see("mtime after chmod", lambda: later(m, "f", lambda: os.chmod("f", 0o644)))

    def gone(self):
        see = self.see
        os.mkdir("gone")
        os.chdir("gone")
        os.rmdir("../gone")
        see("create in a removed directory", lambda: os.open("x", os.O_CREAT | os.O_WRONLY))
        see("mkdir in a removed directory", lambda: os.mkdir("x"))
        see("list a removed directory", lambda: os.listdir("."))
        os.chdir(self.base)
        fd = os.open("u", os.O_RDWR | os.O_CREAT)
        os.write(fd, b"abc")
        os.unlink("u")
        see("fstat of an unlinked file", lambda: (os.fstat(fd).st_nlink, os.fstat(fd).st_size))
        see("read of it", lambda: os.pread(fd, 10, 0))
        see("write of it", lambda: (os.pwrite(fd, b"z" * 9000, 1), os.fstat(fd).st_size, os.pread(fd, 3, 0)))
        see("fchmod of it", lambda: (os.fchmod(fd, 0o600), oct(os.fstat(fd).st_mode)))
        see("ftruncate of it", lambda: (os.ftruncate(fd, 2), os.fstat(fd).st_size))
        os.close(fd)
        write("one", b"one")
        write("two", b"two")
        fd = os.open("two", os.O_RDWR)
        os.rename("one", "two")
        see("a replaced file", lambda: (os.pread(fd, 5, 0), os.fstat(fd).st_nlink, open("two", "rb").read()))
        os.close(fd)

    def users(self):
        see = self.see
        os.chmod("e", 0o1777)
        write("e/root")
        os.chmod("f", 0o640)
        see("a user reads", lambda: as_user(lambda: open("f").read()))
        see("a user unlinks in a sticky directory", lambda: as_user(lambda: os.unlink("e/root")))
        see("a user creates", lambda: as_user(lambda: write("e/mine")))
        see("whose it is", lambda: (os.stat("e/mine").st_uid, os.stat("e/mine").st_gid))
        see("a user chowns", lambda: as_user(lambda: os.chown("e/mine", 0, 0)))
        see("a user chmods root's file", lambda: as_user(lambda: os.chmod("f", 0o777)))
        see("a user creates where only root may", lambda: as_user(lambda: os.mkdir("no")))
        see("a user sets root's times", lambda: as_user(lambda: os.utime("f")))
        os.chmod("e/mine", 0o6777)
        see("a user writes a setuid file", lambda: (as_user(lambda: overwrite("e/mine")), mode_of("e/mine")))
        os.umask(0o027)
        see("umask", lambda: (os.close(os.open("um", os.O_CREAT | os.O_WRONLY, 0o777)), mode_of("um"),
                              os.mkdir("umd"), mode_of("umd")))
        os.umask(0o022)


def run(base):
    r = Run(base)
    for part in (r.names, r.opening, r.attributes, r.gone, r.users):
        part()
    return r.seen


def main():
    mounted, local = run(sys.argv[1]), run(sys.argv[2])
    different = [(m, l) for m, l in zip(mounted, local) if m != l]
    for m, l in different:
        print(f"{m[0]}: {m[1]}, on a local disk {l[1]}")
    print(f"{len(mounted)} compared, {len(different)} different")
    return 1 if different or len(mounted) != len(local) else 0


sys.exit(main())
