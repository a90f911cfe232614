#!/usr/bin/env python3
"""Compares the paper's four systems side by side: Transformer (XFM), S4, MEGA and MEGA-chunk.

Usage: paper.py BUILD_FOLDER [--lengths N,...] [--peers] [--compile] [--plot FILE] [--json FILE]
       paper.py BUILD_FOLDER --accuracy RUNS

    pip install torch==2.13.0 numpy matplotlib               # matplotlib for --plot only
    tools/bench/paper.py build --peers --compile --plot man/pictures/systems.svg

The models (systems.py) are text classifiers over bytes with random weights, as wide and deep as the
originals' recipes. The first table has the time and the working memory of each as mega-run runs it,
and their ratio to the Transformer's, as the paper's table for 4,096 bytes has them. With --peers a
second table compares each with PyTorch (compare.py says how the sides take turns). "eager" is the
model as the originals run it; "kept" has PyTorch's fused attention, and has computed in advance
what is the same for every input, such as S4's kernels; "compiled" adds torch.compile.

Working memory is the memory that grows with the input: the peak of a process that runs inputs of
that length, less the peak of one that runs a single position. Before anything is timed, each
model's states are compared with PyTorch's.

With --accuracy, only trained models are evaluated. RUNS is the folder in which `train twins` has
made them, and for each of its tasks a table has accuracy on the test split, time and memory of an
input, and parameters (accuracy.py).
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch

import compare as comparing
import systems
from sides import Ours, Peer, milliseconds, say, table, times

CHECKED = 1536  # positions that are compared with PyTorch, a multiple of the chunk
PAPER = {'S4': (4.8, 0.14), 'MEGA': (2.9, 0.31), 'MEGA-chunk': (5.5, 0.13)}  # at 4,096 bytes
PAPER_LENGTH = 4096


class Systems(comparing.Compare):
    """The four models, converted and checked."""

    def prepare(self):
        for name in systems.SYSTEMS:
            say(f'  building {name}')
            with torch.inference_mode():
                model, x = systems.build(name), systems.make_input(CHECKED)
                torch.save(model.checkpoint(), self.folder / f'{name}.pt')
                expected = model(x)[1][0].numpy()
            numpy.save(self.folder / 'in.npy', x[0].numpy())
            path = self.folder / f'{name}.mega'
            subprocess.run([self.build / 'mega-convert', '-q', '-o', path,
                            self.folder / f'{name}.pt'], check=True)
            subprocess.run([self.build / 'mega-run', 'forward', '-m', path, '--in',
                            self.folder / 'in.npy', '--stage', systems.stage(name), '-o',
                            self.folder / 'found.npy'], check=True)
            found = numpy.load(self.folder / 'found.npy')
            difference = float(numpy.abs(found - expected).max() / numpy.abs(expected).max())
            self.records.append({'check': name, 'difference': difference})
            say(f'  {name}: differs from PyTorch by {difference:.1e} of the largest value')
            if not difference <= comparing.TOLERANCE:
                raise SystemExit(f'{name}: mega-run and PyTorch compute different things')
            self.models[name] = path

    def ours(self, name, length):
        return Ours(self, self.models[name], threads=self.threads, length=length, repeats=3)

    def working_memory(self, name, side):
        """The megabytes that grow with the input."""
        if name not in self.least:
            least = self.ours(name, 1)
            least.measure()
            self.least[name] = least.result['peak_mb']
        return max(side.result['peak_mb'] - self.least[name], 0.01)

    least = {}


def ratio(value):
    return f'{value:.1f} x' if value >= 1 else f'{value:.2f} x'


def side_by_side(compare, lengths):
    """Print the first table; return {name: [(length, ms, MB)]}."""
    found, rows = {name: [] for name in systems.SYSTEMS}, []
    for length in lengths:
        sides = compare.race('systems', f'{length:,} bytes',
                             {name: compare.ours(name, length) for name in systems.SYSTEMS})
        memory = {name: compare.working_memory(name, side) for name, side in sides.items()}
        cells = [f'{length:,}', milliseconds(sides['XFM'].ms), f'{memory["XFM"]:.1f} MB']
        for name, side in sides.items():
            found[name].append((length, side.ms, memory[name]))
            if name != 'XFM':
                cells += [ratio(sides['XFM'].ms / side.ms), ratio(memory[name] / memory['XFM'])]
        rows.append(cells)
        limits = {name: f'{100 * side.result["limit_ms"] / side.ms:.0f} %'
                  for name, side in sides.items()}
        say(f'  of the limit: {limits}')
        compare.records.append({'length': length, 'of_limit': limits, 'memory_mb': memory})
    paper = [f'the paper, {PAPER_LENGTH:,}', '', '']
    for speed, memory in PAPER.values():
        paper += [ratio(speed), ratio(memory)]
    heads = ['bytes', 'XFM', 'its memory']
    for name in PAPER:
        heads += [f'{name}: speed', 'memory']
    table('Four systems in mega-run', heads, [*rows, paper])
    return found


def against_torch(compare, lengths, compiled):
    forms = ['eager', 'kept'] + (['compiled'] if compiled else [])
    rows = []
    for length in lengths:
        for name in systems.SYSTEMS:
            sides = {'ours': compare.ours(name, length)}
            sides.update({form: Peer(compare, form, kind='system', system=name, length=length)
                          for form in forms})
            compare.race('against PyTorch', f'{name}, {length:,} bytes', sides)
            ours = sides['ours'].ms
            rows.append([f'{name}, {length:,} bytes', milliseconds(ours)] +
                        [times(ours, sides[form].ms) for form in forms])
    table('Each against PyTorch', ['', 'mega-run', *(f'PyTorch {form}' for form in forms)], rows)


def draw(found, path, threads):
    """Draw time and memory over the length, on logarithmic axes."""
    import matplotlib
    matplotlib.use('svg')
    from matplotlib import pyplot
    pyplot.rcParams.update({'svg.hashsalt': 'mega', 'font.size': 10})
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout='constrained')
    for axis, column, label in zip(axes, (1, 2), (f'milliseconds, {threads} threads',
                                                  'working memory, MB')):
        for (name, points), marker in zip(found.items(), 'os^D'):
            axis.loglog([point[0] for point in points], [point[column] for point in points],
                        marker=marker, markersize=4, label=name)
        ticks = [point[0] for point in points]
        axis.set_xticks(ticks, [f'{tick:,}' for tick in ticks])
        axis.minorticks_off()
        axis.set_yticks(*ticks_between(*axis.get_ylim()))
        axis.set_xlabel('bytes of text')
        axis.set_title(label, fontsize=10, loc='left')
        axis.grid(alpha=0.3)
        axis.spines[['top', 'right']].set_visible(False)
    axes[0].legend(frameon=False)
    figure.savefig(path, metadata={'Date': None})


def ticks_between(low, high):
    """Powers of ten, and their labels without an exponent."""
    ticks = [10.0 ** power for power in range(-3, 7) if low <= 10.0 ** power <= high]
    return ticks, [f'{tick:,g}' for tick in ticks]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     epilog='The head of this file says what it compares.')
    parser.add_argument('build', type=pathlib.Path, help='folder of mega-run and mega-convert')
    parser.add_argument('--lengths', default='1024,2048,4096,8192,16384',
                        type=lambda text: [int(part) for part in text.split(',')])
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--repeats', type=int, default=3,
                        help='rounds in which all sides alternate')
    parser.add_argument('--peers', action='store_true', help='also measure PyTorch')
    parser.add_argument('--peer-lengths', default='4096',
                        type=lambda text: [int(part) for part in text.split(',')],
                        help='lengths of the table with PyTorch (4096)')
    parser.add_argument('--compile', action='store_true', help='also measure PyTorch compiled')
    parser.add_argument('--plot', type=pathlib.Path, help='draw time and memory, as SVG')
    parser.add_argument('--accuracy', type=pathlib.Path, metavar='RUNS',
                        help='only tables of the models that train twins has made there')
    parser.add_argument('--json', type=pathlib.Path, help='write all measurements')
    options = parser.parse_args()
    longest = max(options.lengths + options.peer_lengths)
    if longest > systems.LONGEST:
        parser.error(f'the models have {systems.LONGEST:,} positions, fewer than {longest:,}')
    options.quick = False
    return options


def main():
    options = parse()
    with tempfile.TemporaryDirectory(prefix='mega-paper-') as folder:
        compare = Systems(options, pathlib.Path(folder))
        print(f'{comparing.processor()}, {options.threads} threads, best of {options.repeats} '
              'alternating rounds')
        if options.accuracy:
            import accuracy  # needs the packages of tools/train, which the rest does without
            if not accuracy.tables(compare, options.accuracy):
                raise SystemExit(f'{options.accuracy} has no models of train twins')
        else:
            compare.prepare()
            found = side_by_side(compare, options.lengths)
            if options.peers:
                against_torch(compare, options.peer_lengths, options.compile)
            if options.plot:
                draw(found, options.plot, options.threads)
        if options.json:
            options.json.write_text(json.dumps(
                {'processor': comparing.processor(), 'threads': options.threads,
                 'notes': compare.notes, 'measurements': compare.records},
                indent=1, default=str) + '\n')
        if compare.notes:
            print('\nNotes:\n' + '\n'.join(f'- {note}' for note in compare.notes))


if __name__ == '__main__':
    main()
