"""Makes, links, renames, exchanges, appends to and removes a few names of two directories, at random.

    names.py ROOT SEED SECONDS

What other mounts do at the same time makes many of these fail; with other errors than those that this
explains, it exits with 1."""

import ctypes
import errno
import os
import random
import sys
import time

EXPECTED = {errno.ENOENT, errno.EEXIST, errno.ESTALE}
AT_FDCWD, RENAME_EXCHANGE = -100, 2
libc = ctypes.CDLL(None, use_errno=True)


def exchange(one, other):
    if libc.renameat2(AT_FDCWD, one.encode(), AT_FDCWD, other.encode(), RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def write(path, flags, size):
    file = os.open(path, os.O_WRONLY | flags)
    try:
        os.write(file, b"x" * size)
    finally:
        os.close(file)


def last_lines(path):
    with open(path) as file:
        return "".join(file.readlines()[-10:])


def main():
    root, dice, end = sys.argv[1], random.Random(int(sys.argv[2])), time.time() + float(sys.argv[3])
    names = [os.path.join(root, d, n) for d in "de" for n in "abc"]
    operations = [
        lambda one, other: write(one, os.O_CREAT | os.O_EXCL, dice.choice([10, 10000])),
        lambda one, other: write(one, os.O_APPEND, 1),
        lambda one, other: os.unlink(one),
        os.link,
        os.rename,
        exchange,
    ]
    n_done = 0
    while time.time() < end:
        try:
            dice.choice(operations)(dice.choice(names), dice.choice(names))
            n_done += 1
        except OSError as e:
            if e.errno not in EXPECTED:
                told = [last_lines(os.path.join(root, ".ringfs", name)) for name in ("errors", "ops")]
                sys.exit("%s\nfailures of this mount:\n%soperations:\n%s" % (e, *told))
    print(n_done, "operations done")


main()
