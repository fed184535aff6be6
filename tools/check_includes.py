#!/usr/bin/env python3
"""Holds every #include under src/ against tools/rooms.txt: who may include whom.

Also: no private header (*_int.h) is included from another room, only src/store includes sqlite3.h, and only
kernels and base include intrinsics. Prints one line a finding; exit 1 when there is any.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def read_table(path):
    table = {}
    for line in open(path, encoding="utf-8"):
        words = line.split("#")[0].split()
        if words:
            table[words[0]] = set(words[1:])
    return table


def check_file(path, room, table, rooms, findings):
    allowed = table[room]
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        m = INCLUDE.match(line)
        if not m:
            continue
        kind, name = m.groups()
        place = "%s:%d" % (os.path.relpath(path, ROOT), number)
        if kind == "<":
            if name == "sqlite3.h" and room != "store":
                findings.append("%s: only src/store may include sqlite3.h; go through store/store.h" % place)
            if name.endswith("intrin.h") and room not in ("kernels", "base"):
                findings.append("%s: only kernels and base may include %s" % (place, name))
            continue
        other = name.split("/")[0] if "/" in name else room
        if other not in rooms:
            continue                    # a folder inside the room: "x86/..." or "ref/..."
        if other == room:
            continue
        if name.endswith("_int.h"):
            findings.append("%s: %s is private to %s" % (place, name, other))
        elif "*" not in allowed and other not in allowed:
            findings.append("%s: %s may not include %s (tools/rooms.txt allows: %s)"
                            % (place, room, other, " ".join(sorted(allowed))))


def main():
    table = read_table(os.path.join(ROOT, "tools", "rooms.txt"))
    rooms, findings, files = set(table), [], 0
    src = os.path.join(ROOT, "src")
    for room in sorted(os.listdir(src)):
        folder = os.path.join(src, room)
        if not os.path.isdir(folder):
            findings.append("src/%s: source files belong into a room" % room)
            continue
        if room not in table:
            findings.append("src/%s: this room has no line in tools/rooms.txt" % room)
            continue
        for base, _, names in os.walk(folder):
            for name in sorted(names):
                if name.endswith((".c", ".h", ".cu")):
                    files += 1
                    check_file(os.path.join(base, name), room, table, rooms, findings)
    for f in findings:
        print(f)
    print("include check: %d files, %d findings" % (files, len(findings)))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
