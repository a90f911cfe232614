#!/usr/bin/env python3
"""Makes megarun/_interface.py from mega.h: make_interface.py MEGA.H OUTPUT

The header is the only description of the C interface. Its declarations go to cffi, which writes a
module that loads without a compiler and without parsing anything again.
"""
import re
import sys

import cffi


def declarations(header: str) -> str:
    """Returns the header's C declarations without comments, macros and what is for C++."""
    text = re.sub(r'/\*.*?\*/', '', header, flags=re.S)
    text = re.sub(r'#ifdef __cplusplus.*?#endif', '', text, flags=re.S)
    text = re.sub(r'^#.*$', '', text, flags=re.M)
    text = re.sub(r'\bMEGA_PRINTF\([^)]*\)', '', text)
    return re.sub(r'\bMEGA_(MEDIA_)?API\b', '', text)


def main() -> None:
    header, output = sys.argv[1:]
    ffi = cffi.FFI()
    with open(header, encoding='utf-8') as file:
        ffi.cdef(declarations(file.read()))
    ffi.set_source('megarun._interface', None)
    ffi.emit_python_code(output)


if __name__ == '__main__':
    main()
