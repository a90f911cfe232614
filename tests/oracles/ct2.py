#!/usr/bin/env python3
"""Compares random Transformers in mega-run and in CTranslate2: ct2.py [LINES [SEED]]

    pip install torch==2.13.0 numpy ctranslate2             # CPU builds
    MEGA_BUILD=build python3 tests/oracles/ct2.py

It is not part of 'make test'. Each model is written as fairseq's checkpoint with its dictionaries,
which mega-convert imports, and with the same weights as a model of CTranslate2
(tools/bench/transformer.py says what is compared). Both translate LINES random lines (200) greedily
and with beam 5. It exits with 1 unless the ids are equal, apart from ties within rounding, whose
margins are printed. MEGA_BUILD names the folder of the programs (build).

The file is not called ctranslate2.py, since Python would import it in place of the package.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

BENCH = pathlib.Path(__file__).resolve().parent.parent.parent / 'tools/bench'
sys.path.insert(0, str(BENCH))
import transformer  # noqa: E402
from transformer import Shape  # noqa: E402

BUILD = pathlib.Path(os.environ.get('MEGA_BUILD', 'build')).resolve()
SMALL = dict(d=128, heads=4, ffn=256, layers=3, positions=256)
SHAPES = {
    'pre-norm, sinusoidal positions, one table': Shape(
        **SMALL, source_symbols=500, target_symbols=500, pre_norm=True),
    'post-norm, sinusoidal positions, three tables': Shape(
        **SMALL, source_symbols=400, target_symbols=600, tied=False),
    'pre-norm, learned positions, three tables, gelu': Shape(
        **SMALL, source_symbols=700, target_symbols=300, pre_norm=True, learned=True,
        tied=False, activation='gelu'),
    'post-norm, learned positions, one table': Shape(
        **SMALL, source_symbols=500, target_symbols=500, learned=True),
}


def check(shape, count, seed, folder):
    state = transformer.weights(shape, seed)
    transformer.write_checkpoint(folder / 'model.pt', shape, state)
    transformer.write_ctranslate2(folder / 'ctranslate2', shape, state)
    transformer.write_dictionary(folder / 'dict.en.txt', shape.source_symbols)
    transformer.write_dictionary(folder / 'dict.de.txt', shape.target_symbols)
    subprocess.run([BUILD / 'mega-convert', '-q', folder / 'model.pt', '-o', folder / 'model.mega',
                    '--source-dict', folder / 'dict.en.txt', '--target-dict',
                    folder / 'dict.de.txt'], check=True)
    ours = transformer.Ours(BUILD, folder / 'model.mega', folder, words=True)
    theirs = transformer.Theirs(folder / 'ctranslate2')
    lines = transformer.random_lines(shape, count, seed)
    return all([transformer.compare_searches(ours, theirs, lines, beam)
                for beam in transformer.BEAMS])


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    good = True
    for name, shape in SHAPES.items():
        print(name, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            good = check(shape, count, seed, pathlib.Path(folder)) and good
    sys.exit(0 if good else 1)


main()
