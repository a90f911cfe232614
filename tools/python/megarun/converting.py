"""`megarun.convert`: runs mega-convert, which is in the wheel."""
from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Sequence

from megarun.errors import ConvertError
from megarun.library import FOLDER

Value = str | int | float | bool | os.PathLike[str] | Sequence[str | int | float]


def convert(source: str | os.PathLike[str], output: str | os.PathLike[str] | None = None,
            **options: Value) -> pathlib.Path:
    """Converts a checkpoint, or a model folder of the Hugging Face hub, to a .mega file, and
    returns the path of that.

    source   a folder, a checkpoint of PyTorch, safetensors, or a .mega file
    output   the file to write; None: the source's name with .mega, in the current folder
    options  those of mega-convert, with _ for -: labels=["yes", "no"], dtype="int8",
             source_dict="dict.en.txt", force=True

    Nothing that a checkpoint contains is executed.  Raises ConvertError, whose text is what
    mega-convert said, if it cannot be converted; nothing is written then.

        >>> megarun.load(megarun.convert("mega-base-wikitext"))
    """
    name = os.path.basename(os.path.normpath(os.fspath(source)))
    target = pathlib.Path(output) if output is not None else pathlib.Path(name).with_suffix('.mega')
    command = [str(FOLDER / 'mega-convert'), '--quiet', f'--output={os.fspath(target)}']
    for option, value in options.items():
        flag = '--' + option.replace('_', '-')
        if value is True:
            command.append(flag)
        elif isinstance(value, (list, tuple)):
            command.append(f'{flag}={",".join(map(str, value))}')
        elif value is not False:
            text = os.fspath(value) if isinstance(value, os.PathLike) else value
            command.append(f'{flag}={text}')
    done = subprocess.run([*command, '--', os.fspath(source)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        said = done.stderr.decode('utf-8', 'replace').strip()
        raise ConvertError(said.removeprefix('mega-convert: '))
    return target
