#!/usr/bin/env python3
"""Lint: sizes, includes, documentation, errors and words, as rules that a machine checks.

    tests/lint/lint.py            checks every tracked source file; exit 1 when a rule is broken

Exceptions stand in tests/lint/exceptions.txt, one a line: RULE FILE[:FUNCTION] REASON. The list only shrinks:
an exception that is no longer needed is an error too.
"""

import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LINE_MAX, FUNCTION_MAX, SOURCE_MAX, HEADER_MAX, PARAMETERS_MAX = 100, 70, 800, 200, 6

# What a core may not include: clocks, threads, input and output, and the libraries of the edges.
CORE = ("node/core/",)
PURE = ("shared/",)
EDGES = {"shared/loop.c", "shared/heap.c", "shared/transport_nanomsg.c", "shared/transport_nanomsg_link.c",
         "shared/transport_nanomsg_parcel.c", "shared/transport_nanomsg_receive.c", "shared/transport_nanomsg_reply.c",
         "shared/seal.c", "shared/session.c", "shared/task.c",
         "shared/env_system.c"}
IMPURE = re.compile(r'#include <(time|pthread|threads|unistd|fcntl|signal|poll|sys/(?!types|stat\.h)[a-z]+|nanomsg|leveldb|fuse|sodium|ucontext)')
# Each library is included by one file.
ONLY = {
    "nanomsg/": ("shared/transport_nanomsg", "tests/unit/shared/transport_test.c", "tests/bench/"),
    "leveldb/": ("node/disk_leveldb", "tests/bench/"),
    "fuse": ("fs/ops",),
    "sodium": ("shared/seal",),
}
FORBIDDEN_NAMES = re.compile(r"(^|[/_])(util|utils|common|misc|helper|helpers|manager)([_.]|$)")

broken = []
used = set()
exceptions = {}


def tracked(*patterns):
    command = ["git", "-C", TOP, "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    return [p for p in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
            if p and os.path.exists(os.path.join(TOP, p))]


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def complain(rule, where, text):
    if (rule, where) in exceptions:
        used.add((rule, where))
        return
    broken.append(f"{where}: {text} [{rule}]")


def functions(text):
    """(name, first line, last line, parameters) of the definitions of a formatted source file."""
    lines = text.split("\n")
    start = None
    for i, line in enumerate(lines):
        if line.startswith("}") and start is not None:
            head = " ".join(lines[start:body + 1])
            m = re.search(r"([A-Za-z_]\w*)\s*\(([^{]*)\)\s*\{", head)
            if m and not re.match(r"\s*(struct|enum|union)\b[^()]*\{", head):
                parameters = 0 if m.group(2).strip() in ("", "void") else m.group(2).count(",") + 1
                yield m.group(1), start + 1, i + 1, parameters
            start = None
        elif re.match(r"[A-Za-z_]", line) and not line.startswith(("#", "//")) and start is None:
            start, body = i, i
            if line.rstrip().endswith(";"):
                start = None
        if start is not None and line.rstrip().endswith("{") and body == start:
            body = i
        if start is not None and line.rstrip().endswith(";") and "{" not in " ".join(lines[start:i + 1]):
            start = None


def check_source(path, text):
    lines = text.split("\n")
    limit = HEADER_MAX if path.endswith(".h") else SOURCE_MAX
    if len(lines) - 1 > limit:
        complain("file-size", path, f"{len(lines) - 1} lines, limit {limit}")
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_MAX and "http" not in line:
            complain("line-size", path, f"line {number} has {len(line)} columns, limit {LINE_MAX}")
            break
    if not text.lstrip().startswith("/*") and not path.endswith(".c"):
        complain("purpose", path, "a header's first line says its purpose")
    if path.endswith(".c"):
        for name, first, last, parameters in functions(text):
            if last - first + 1 > FUNCTION_MAX:
                complain("function-size", f"{path}:{name}", f"{last - first + 1} lines, limit {FUNCTION_MAX}")
            if parameters > PARAMETERS_MAX:
                complain("parameters", f"{path}:{name}", f"{parameters} parameters, limit {PARAMETERS_MAX}")
    if FORBIDDEN_NAMES.search(path):
        complain("name", path, "a file is named for its noun")


def check_includes(path, text):
    core = path.startswith(CORE) or (path.startswith(PURE) and path.replace(".h", ".c") not in EDGES)
    if core:
        for m in re.finditer(IMPURE, text):
            complain("pure", path, f"a core includes {m.group(0)}>")
    for library, allowed in ONLY.items():
        if re.search(rf"#include <{library}", text) and not path.startswith(allowed):
            complain("edge", path, f"<{library}...> belongs to {allowed[0]}")
    if path.startswith("fs/") and re.search(r'#include "(node/|shared/(ring|message|transport|client)\.h)', text) \
            and path not in ("fs/main.c",):
        complain("layer", path, "fs/ knows no nodes, rings or messages")
    if path.startswith("node/core/") and re.search(r'#include "(fs/|shared/(namespace|record|store)\.h)', text):
        complain("layer", path, "the core knows no files")


def check_documented(path, text):
    """Every prototype in a header stands under a comment, or in a run of prototypes that does."""
    covered = False
    inside = 0
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if inside == 0 and re.match(r"^[A-Za-z_].*\w\s*\([^*].*", line) and "(*" not in line \
                and not line.startswith(("static inline", "typedef", "#", "_Static_assert")):
            if not covered:
                complain("documented", path, f"line {number}: {stripped.split('(')[0]} has no comment above")
        if stripped.endswith("*/"):
            covered = True
        elif stripped == "":
            covered = False
        inside += line.count("{") - line.count("}")


def check_words(path, text):
    for pattern, why in (
            (r"\.\./shared", "a reference to outside of the project"),
            (r"(?<![\w.])/(work|farm)/", "a machine path"),
            (r"deb\.debian\.org|registry\.npmjs|pypi\.org", "the host of a package registry")):
        if re.search(pattern, text) and not path.startswith("tests/lint/"):
            complain("words", path, why)


def check_errors():
    """Every error has its row in docs/errors.md."""
    documented = set(re.findall(r"\b[A-Z_]{2,}\b", read("docs/errors.md")))
    for name in re.findall(r"X\((\w+), \d+", read("shared/err.h")):
        if name not in documented:
            complain("errors", "docs/errors.md", f"says nothing about {name}")


def main():
    for line in read("tests/lint/exceptions.txt").split("\n"):
        if line.strip() and not line.startswith("#"):
            rule, where, _ = line.split(" ", 2)
            exceptions[(rule, where)] = True
    sources = tracked("*.c", "*.h")
    for path in sources:
        text = read(path)
        check_source(path, text)
        check_includes(path, text)
        if path.endswith(".h") and not path.startswith("tests/"):
            check_documented(path, text)
    for path in tracked():
        check_words(path, read(path))
    check_errors()
    for rule, where in exceptions.keys() - used:
        broken.append(f"tests/lint/exceptions.txt: {rule} {where} is no longer needed: delete the line")
    for line in sorted(broken):
        print(line)
    print(f"lint: {len(sources)} source files, {len(broken)} rules broken")
    return 1 if broken else 0


sys.exit(main())
