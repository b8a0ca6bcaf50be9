"""Random operations on a few names through two mounts at once; when it is quiet, both must show what
a third mount reads, which caches nothing.

    watch_load.py MOUNT,MOUNT,UNCACHED SECONDS SEED
"""

import errno
import os
import random
import sys
import threading
import time

MOUNTS = sys.argv[1].split(",")
SECONDS = float(sys.argv[2])
SEED = int(sys.argv[3])
NAMES = ["n%d" % i for i in range(12)]
FOLDERS = ["d1", "d2"]
# Names come and go below others' hands.
EXPECTED = (errno.ENOENT, errno.EEXIST, errno.ESTALE)


def one(mount, dice):
    path = os.path.join(mount, dice.choice(FOLDERS), dice.choice(NAMES))
    other = os.path.join(mount, dice.choice(FOLDERS), dice.choice(NAMES))
    operation = dice.choice(["write", "write", "unlink", "rename", "chmod", "stat", "read", "list", "make"])
    if operation == "write":
        with open(path, "w") as file:
            file.write(str(dice.random()))
    elif operation == "unlink":
        os.unlink(path)
    elif operation == "rename":
        os.rename(path, other)
    elif operation == "chmod":
        os.chmod(path, dice.choice([0o600, 0o644, 0o640, 0o755]))
    elif operation == "stat":
        os.stat(path)
    elif operation == "read":
        with open(path) as file:
            file.read()
    elif operation == "list":
        os.listdir(os.path.dirname(path))
    else:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))


def work(mount, number, until, failures):
    dice = random.Random(SEED * 100 + number)
    while time.time() < until:
        try:
            one(mount, dice)
        except OSError as error:
            if error.errno not in EXPECTED:
                failures.append(error)


def look(mount):
    seen = {}
    for folder in FOLDERS:
        at = os.path.join(mount, folder)
        for name in NAMES:
            try:
                s = os.stat(os.path.join(at, name))
                seen[folder, name] = (s.st_ino, oct(s.st_mode), s.st_size, s.st_mtime_ns)
            except OSError as error:
                seen[folder, name] = error.errno
        seen[folder] = (sorted(os.listdir(at)), os.stat(at).st_mtime_ns)
    return seen


def main():
    until = time.time() + SECONDS
    failures = []
    threads = [
        threading.Thread(target=work, args=(mount, 2 * i + j, until, failures))
        for i, mount in enumerate(MOUNTS[:2])
        for j in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        print(failure)
    # What is told late is told within this; what is not told at all is believed for a minute.
    until = time.time() + 20
    while True:
        right = look(MOUNTS[2])
        views = [look(mount) for mount in MOUNTS[:2]]
        wrong = [(key, view[key], right[key]) for view in views for key in right if view[key] != right[key]]
        if not wrong or time.time() > until:
            break
        time.sleep(0.2)
    for key, seen, is_now in wrong:
        print(key, "is shown as", seen, "and is", is_now)
    sys.exit(1 if wrong or failures else 0)


main()
