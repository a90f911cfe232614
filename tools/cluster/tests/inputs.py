"""Makes any number of inputs: recordings by cutting, shifting and adding noise to the shipped ones,
and lines by putting words together.  The same number always gives the same inputs."""
from __future__ import annotations

import itertools
import pathlib
import wave

import numpy as np

RATE = 16000


def _sound(path: pathlib.Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), '<i2').astype(np.float64)


def make_recordings(models: pathlib.Path, folder: pathlib.Path, count: int) -> list[str]:
    """Writes recordings of a second and returns their paths.  Every hundredth cannot be read: it is
    missing, empty, or ends in its header."""
    spoken = [_sound(models / f'speech-commands/{word}.wav') for word in ('yes', 'left', 'stop')]
    draw = np.random.default_rng(1)
    folder.mkdir(parents=True)
    paths = []
    for i in range(count):
        word = spoken[i % len(spoken)]
        begin = draw.integers(0, RATE // 4)
        word = word[begin:begin + RATE * 3 // 4]
        samples = np.zeros(RATE)
        at = draw.integers(0, RATE - len(word))
        samples[at:at + len(word)] = word * draw.uniform(0.3, 1)
        samples += draw.normal(0, draw.uniform(10, 600), RATE)
        path = folder / f'{i:05d}.wav'
        paths.append(str(path))
        if i % 300 == 100:
            continue
        if i % 300 in (0, 200):
            path.write_bytes(b'RIFF\0\0\0\0WAVEfmt '[:0 if i % 300 else 16])
            continue
        with wave.open(str(path), 'wb') as file:
            file.setparams((1, 2, RATE, 0, 'NONE', ''))
            file.writeframes(np.clip(np.round(samples), -32768, 32767).astype('<i2').tobytes())
    return paths


def make_lines(count: int) -> list[str]:
    """Returns lines like those that the shipped translator was trained with.  Every thousandth is
    empty."""
    who = ['A man', 'A woman', 'Two dogs', 'A boy in a red shirt', 'Three children', 'A girl']
    does = ['runs', 'is sleeping', 'plays the guitar', 'is looking at a dog', 'jumps', 'sits']
    where = ['in the snow', 'on a bench', 'at the beach', 'in front of a house', 'on the street']
    when = ['.', ' today .', ' with a friend .', ' at night .']
    lines = [f'{a} {b} {c}{d}' for a, b, c, d in itertools.product(who, does, where, when)]
    order = np.random.default_rng(2).integers(0, len(lines), count)
    made = [lines[i] for i in order]
    for i in range(0, count, 1000):
        made[i] = ''
    return made
