"""The wheel is complete in itself: libraries, types and documentation."""
from __future__ import annotations

import inspect
import os
import pathlib
import pydoc
import shlex
import shutil
import subprocess
import sys

import megarun

PACKAGE = pathlib.Path(megarun.__file__).parent


def test_the_installed_package_is_tested() -> None:
    assert PACKAGE.parent.name == 'site-packages' and PACKAGE.is_relative_to(sys.prefix)
    assert not any(shutil.which(compiler) for compiler in ('cc', 'gcc', 'clang', 'c++'))


def test_libraries_come_from_the_wheel() -> None:
    """All libraries lie in the environment, apart from the C library, zlib and Python's own."""
    megarun.pipeline('translation', os.environ['MEGA_TOP'] +
                     '/models/everyday-en-de/everyday-en-de.mega')('A dog.')
    mapped = {line.split()[-1] for line in pathlib.Path('/proc/self/maps').read_text().splitlines()
              if '.so' in line}
    ours = [path for path in mapped if 'mega' in pathlib.Path(path).name]
    assert len(ours) == 2 and all(path.startswith(str(PACKAGE)) for path in ours)
    for name in ('sndfile', 'mpg123', 'samplerate', 'pcre2', 'FLAC'):
        found = [path for path in mapped if name in pathlib.Path(path).name]
        assert found and all('megarun.libs' in path for path in found), name
    assert not any('fftw' in path for path in mapped)


def test_licences() -> None:
    licences = {path.name for path in PACKAGE.parent.glob('megarun-*.dist-info/licenses/**/*')}
    assert 'mega' in licences and any('sndfile' in name for name in licences)


def mypy(folder: pathlib.Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', 'mypy', '--strict', f'--cache-dir={folder / "cache"}']
    return subprocess.run([*command, *map(str, arguments)], cwd=folder, capture_output=True,
                          text=True, check=False)


def test_types(tmp_path) -> None:
    """The package keeps to its types, and a program that uses it is checked against them: a right
    one passes, and a wrong one does not."""
    assert (PACKAGE / 'py.typed').exists()
    settings = ['--config-file', os.environ['MEGA_TOP'] + '/tools/python/pyproject.toml']
    done = mypy(tmp_path, '-p', 'megarun', *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    program = tmp_path / 'program.py'
    program.write_text('import megarun\nmodel = megarun.load("x")\n'
                       'text: str = model.translate("a")\n'
                       'many: list[str] = model.translate(["a"])\n'
                       'label: str = model.classify("a")[0].label\n'
                       'for piece in model.generate("a", stream=True):\n    piece.upper()\n')
    right = mypy(tmp_path, program)
    assert right.returncode == 0, right.stdout
    program.write_text('import megarun\nnumber: int = megarun.load("x").translate("a")\n')
    wrong = mypy(tmp_path, program)
    assert wrong.returncode == 1 and 'Incompatible types' in wrong.stdout


def test_commands_of_the_readme() -> None:
    """The commands that README.md gives for Python run, and print what models say."""
    top = pathlib.Path(os.environ['MEGA_TOP'])
    commands = [shlex.split(line) for line in (top / 'README.md').read_text().splitlines()
                if line.startswith('    python3 -c ')]
    said = [subprocess.run([sys.executable, *command[1:]], cwd=top, capture_output=True,
                           text=True, check=True).stdout for command in commands]
    assert said == ['ship\n', "[{'translation_text': 'A dog.'}]\n"]


def test_everything_public_is_documented() -> None:
    page = pydoc.plain(pydoc.render_doc(megarun))
    for name in megarun.__all__:
        item = getattr(megarun, name)
        assert item.__doc__ and name in page, name
        for member, value in vars(item).items() if inspect.isclass(item) else ():
            if inspect.isfunction(value) and not member.startswith('_'):
                assert value.__doc__, f'{name}.{member}'
    assert 'Raises' in megarun.Model.classify.__doc__ and '[frames]' in page


def test_version() -> None:
    header = pathlib.Path(os.environ['MEGA_TOP'], 'src/mega.h').read_text()
    assert f'#define MEGA_VERSION "{megarun.__version__}"' in header
