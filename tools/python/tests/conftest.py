"""The tests share models, and the command line, whose results are the expected ones.

MEGA_BUILD is the folder of mega-run and MEGA_TOP that of the source tree; `make wheel-test` sets
both.
"""
from __future__ import annotations

import json
import os
import pathlib
import subprocess
from collections.abc import Callable
from typing import Any

import megarun
import pytest

TOP = pathlib.Path(os.environ['MEGA_TOP'])
FIXTURES, MODELS = TOP / 'tests/fixtures', TOP / 'models'
SPEECH = MODELS / 'speech-commands/speech-commands.mega'
TRANSLATOR = MODELS / 'everyday-en-de/everyday-en-de.mega'
LANGUAGE = MODELS / 'shakespeare-lm/shakespeare-lm.mega'
PICTURES = MODELS / 'cifar10/cifar10.mega'
YES = MODELS / 'speech-commands/yes.wav'


def mega_run(*arguments: Any, stdin: str = '') -> Any:
    """Returns what a command prints with --json; several lines are a list."""
    done = subprocess.run([os.environ['MEGA_BUILD'] + '/mega-run', *map(str, arguments), '--json'],
                          input=stdin, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines[0] if len(lines) == 1 else lines


@pytest.fixture(scope='session')
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., pathlib.Path]:
    """Converts a fixture once: a model folder of the hub, or a checkpoint with its dictionaries."""
    folder, made = tmp_path_factory.mktemp('models'), {}

    def convert(name: str) -> pathlib.Path:
        if name not in made:
            source, options = FIXTURES / name, {}
            if not name.startswith('hf_'):
                options = {'config': source / 'meta.json'}
                for key, file in (('dict', 'dict.txt'), ('source_dict', 'dict.en.txt'),
                                  ('target_dict', 'dict.de.txt')):
                    if (source / file).exists():
                        options[key] = source / file
                source = next(f for f in sorted(source.iterdir()) if f.suffix in ('.pt', '.pth'))
            made[name] = megarun.convert(source, folder / f'{name}.mega', **options)
        return made[name]
    return convert


@pytest.fixture(scope='session')
def load(converted: Callable[..., pathlib.Path]) -> Callable[[Any], megarun.Model]:
    """Opens a model once: one that is shipped, or a fixture by its name."""
    models: dict[Any, megarun.Model] = {}

    def open_model(which: Any) -> megarun.Model:
        if which not in models:
            models[which] = megarun.load(converted(which) if isinstance(which, str) else which)
        return models[which]
    return open_model


def results(name: str) -> list[dict[str, Any]]:
    """Returns what the library of a model of the hub gave, from its fixture."""
    return json.loads((FIXTURES / name / 'results.json').read_text(encoding='utf-8'))


def close(found: Any, expected: Any, tolerance: float = 1e-4) -> bool:
    """Returns whether two results are equal, numbers within a tolerance."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            close(found[key], expected[key], tolerance) for key in expected)
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(
            close(f, e, tolerance) for f, e in zip(found, expected))
    if isinstance(expected, float):
        return abs(found - expected) <= tolerance
    return found == expected
