#!/usr/bin/env python3
"""Makes megarun/_interface.py from mega.h: make_interface.py MEGA.H OUTPUT

The header, with the one that it includes, is the only description of the C interface. The
declarations go to cffi, which writes a module that loads without a compiler and without parsing
anything again.
"""
import pathlib
import re
import sys

import cffi


def with_included(path: pathlib.Path) -> str:
    """Returns the text of a header, with the headers of its folder in place of their #includes."""
    return re.sub(r'^#include "(.*)"$', lambda match: with_included(path.with_name(match[1])),
                  path.read_text(encoding='utf-8'), flags=re.M)


def declarations(header: str) -> str:
    """Returns a header's C declarations without comments, macros and what is for C++."""
    text = re.sub(r'/\*.*?\*/', '', header, flags=re.S)
    text = re.sub(r'#ifdef __cplusplus.*?#endif', '', text, flags=re.S)
    text = re.sub(r'^#.*$', '', text, flags=re.M)
    text = re.sub(r'\bMEGA_PRINTF\([^)]*\)', '', text)
    return re.sub(r'\bMEGA_(MEDIA_)?API\b', '', text)


def main() -> None:
    header, output = sys.argv[1:]
    ffi = cffi.FFI()
    ffi.cdef(declarations(with_included(pathlib.Path(header))))
    ffi.set_source('megarun._interface', None)
    ffi.emit_python_code(output)


if __name__ == '__main__':
    main()
