"""Loads libmega and libmega-media and turns their errors into exceptions.

Calls go through cffi, which releases the interpreter's lock while C runs.
"""
from __future__ import annotations

import os
import pathlib
from typing import Any

from megarun import errors
from megarun._interface import ffi

__all__ = ['FOLDER', 'check', 'ffi', 'lib', 'media', 'text_of']


def _folder() -> pathlib.Path:
    """Returns the folder of the libraries: in the wheel, or that of $MEGARUN_LIBRARIES."""
    given = os.environ.get('MEGARUN_LIBRARIES')
    return pathlib.Path(given) if given else pathlib.Path(__file__).parent / 'lib'


def _load(name: str) -> Any:
    for path in (FOLDER / f'{name}.so.0', FOLDER / f'{name}.so'):
        if path.exists():
            return ffi.dlopen(str(path), ffi.RTLD_NOW | ffi.RTLD_GLOBAL)
    raise ImportError(f'{FOLDER} has no {name}.so.0; reinstall megarun, or let MEGARUN_LIBRARIES '
                      'name the folder that has it')


FOLDER = _folder()
lib = _load('libmega')
media = _load('libmega-media')


def text_of(pointer: Any) -> str:
    """Returns a C string as text; bytes that are not UTF-8 become U+FFFD."""
    text: str = ffi.string(pointer).decode('utf-8', 'replace')
    return text


def check(code: int, err: Any, where: str = '') -> None:
    """Raises the exception that belongs to a negative code; `where` begins its sentence."""
    if code < 0:
        name = text_of(lib.mega_error_name(code))
        raise errors.BY_NAME.get(name, errors.MegaError)(where + text_of(err.text))
