"""Makes OUT/final.mega of a recipe's checkpoint, by running mega-convert."""

import pathlib
import shlex
import shutil
import subprocess
import sys

BUILT = pathlib.Path(__file__).resolve().parents[2] / 'build' / 'mega-convert'


def find():
    """mega-convert of this source tree if it is built, else the one that is installed."""
    return str(BUILT) if BUILT.exists() else shutil.which('mega-convert')


def add_option(parser):
    parser.add_argument('--convert', type=pathlib.Path, default=find(),
                        help='mega-convert, which makes OUT/final.mega at the end')
    parser.add_argument('--dtype', default='f16', choices=('f32', 'f16', 'bf16', 'int8', 'int4'),
                        help='type of the matrices in OUT/final.mega')


def convert(options, checkpoint, arguments, use):
    """Make OUT/final.mega and print how it is used, or print the command that would make it.

    The model is named after the folder. ``arguments`` are options of mega-convert, ``use`` is what
    follows `mega-run` in the example that is printed.
    """
    model = options.out / 'final.mega'
    command = [options.convert or 'mega-convert', checkpoint, '--dtype', options.dtype, '--force',
               '--name', options.out.resolve().name, *arguments, '-o', model]
    command = list(map(str, command))
    if not options.convert:
        print(f'mega-convert is not installed; to convert: {shlex.join(command)}', flush=True)
        return
    if subprocess.run(command).returncode:
        sys.exit(f'{model} was not made; the weights are in {checkpoint}, and to convert them: '
                 f'{shlex.join(command)}')
    print(f'{model} is ready: mega-run {use}', flush=True)
