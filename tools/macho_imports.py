#!/usr/bin/env python3
"""What a 64-bit Mach-O file wants of others: its libraries and the symbols that it imports, one a line, sorted."""
import struct
import sys

LC_SYMTAB, LC_LOAD_DYLIB, LC_LOAD_WEAK_DYLIB, LC_REEXPORT_DYLIB = 0x2, 0xC, 0x80000018, 0x8000001F
MAGIC = 0xFEEDFACF


def imports(data):
    magic, _, _, _, n_commands, _, _, _ = struct.unpack_from("<8I", data, 0)
    if magic != MAGIC:
        raise ValueError("not a 64-bit little-endian Mach-O file")
    libraries, symbols, at = [], [], 32
    for _ in range(n_commands):
        command, size = struct.unpack_from("<2I", data, at)
        if command in (LC_LOAD_DYLIB, LC_LOAD_WEAK_DYLIB, LC_REEXPORT_DYLIB):
            name = struct.unpack_from("<I", data, at + 8)[0]
            libraries.append(data[at + name:at + size].split(b"\0")[0].decode())
        elif command == LC_SYMTAB:
            table, count, strings, _ = struct.unpack_from("<4I", data, at + 8)
            for i in range(count):
                text, kind, _, _, _ = struct.unpack_from("<IBBHQ", data, table + 16 * i)
                if kind & 0xE0 == 0 and kind & 0x0E == 0 and kind & 1:      # no debug entry, undefined, external
                    symbols.append(data[strings + text:data.index(b"\0", strings + text)].decode())
        at += size
    return ["library " + x for x in sorted(libraries)] + sorted(symbols)


if __name__ == "__main__":
    for line in imports(open(sys.argv[1], "rb").read()):
        print(line)
