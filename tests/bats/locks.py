#!/usr/bin/env python3
"""What locks.bats does with locks: locks.py COMMAND FILE...; prints what came of it."""
import errno
import fcntl
import os
import signal
import sqlite3
import struct
import sys
import time


def wait_for_line(text):
    """Tells the test where we are, and waits until it says to go on."""
    print(text, flush=True)
    sys.stdin.readline()


def ranges(here, there):
    """POSIX locks of two mounts: their ranges, and that any close gives them up."""
    a, b = open(here, "r+b"), open(there, "r+b")
    fcntl.lockf(a, fcntl.LOCK_EX, 10, 0)
    try:
        fcntl.lockf(b, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 9)
        return "both got byte 9"
    except BlockingIOError:
        pass
    fcntl.lockf(b, fcntl.LOCK_EX | fcntl.LOCK_NB, 0, 10)
    wish = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, start, length, _ = struct.unpack("hhqqi4x", fcntl.fcntl(b, fcntl.F_GETLK, wish))
    if (kind, start, length) != (fcntl.F_WRLCK, 0, 10):
        return f"getlk says {kind} {start} {length}"
    open(here, "rb").close()
    fcntl.lockf(b, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0)
    return "right"


def descriptions(here, there):
    """Locks of open file descriptions: a close by somebody else leaves them, the last one does not."""
    setlk = 37  # F_OFD_SETLK
    wish = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    a, b = open(here, "r+b"), open(there, "r+b")
    fcntl.fcntl(a, setlk, wish)
    os.close(os.dup(a.fileno()))
    try:
        fcntl.fcntl(b, setlk, wish)
        return "both got it"
    except BlockingIOError:
        pass
    a.close()
    fcntl.fcntl(b, setlk + 1, wish)  # F_OFD_SETLKW: the kernel tells of the last close a moment later
    return "right"


def hold(path):
    """Holds a lock, and writes and syncs when told."""
    f = os.open(path, os.O_RDWR)
    fcntl.lockf(f, fcntl.LOCK_EX)
    wait_for_line("held")
    for name, act in (
        ("write", lambda: os.write(f, b"late")),
        ("fsync", lambda: os.fsync(f)),
        ("truncate", lambda: os.ftruncate(f, 4)),
    ):
        try:
            act()
            print(name, "done", flush=True)
        except OSError as e:
            print(name, errno.errorcode[e.errno], flush=True)
    os._exit(0)


def attempt(path):
    """Whether somebody has it."""
    try:
        fcntl.lockf(open(path, "r+b"), fcntl.LOCK_EX | fcntl.LOCK_NB)
        return "free"
    except BlockingIOError:
        return "locked"


def interrupted(path):
    """How long after SIGINT a waiting lockf() ends, in ms."""
    f = open(path, "r+b")
    sent = []

    def alarm(_number, _frame):
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.7)
    try:
        fcntl.lockf(f, fcntl.LOCK_EX)
    except KeyboardInterrupt:
        return int((time.monotonic() - sent[0]) * 1000)
    return "got it"


def insert(path, who):
    """100 transactions of one row each."""
    db = sqlite3.connect(path, timeout=100)
    for i in range(100):
        with db:
            db.execute("insert into t values(?, ?)", (who, i))
    db.close()


def race(how, directory, n):
    """Tries to make the same n names as the other; prints those it made."""
    make = {
        "mkdir": os.mkdir,
        "symlink": lambda path: os.symlink("target", path),
        "create": lambda path: os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)),
    }[how]
    for i in range(int(n)):
        try:
            make(f"{directory}/{how}{i}")
            print(i)
        except FileExistsError:
            pass


if __name__ == "__main__":
    commands = (ranges, descriptions, hold, attempt, interrupted, insert, race)
    answer = {c.__name__: c for c in commands}[sys.argv[1]](*sys.argv[2:])
    if answer is not None:
        print(answer)
