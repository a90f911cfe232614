#!/usr/bin/env python3
"""Compares mega-run with PyTorch, ONNX Runtime and CTranslate2, and with what the machine allows.

Usage: compare.py BUILD_FOLDER [--compile] [--json FILE] [--only GROUP]... [--repeats N]
                  [--threads N] [--lines N] [--quick]

    pip install torch==2.13.0 numpy onnx onnxscript onnxruntime ctranslate2     # CPU builds
    apt-get install libjemalloc2 g++                         # g++ for --compile only
    tools/bench/compare.py build --compile --json compare.json

prints all tables, as Markdown on standard output; progress goes to standard error. By estimate
this takes one to two hours on two cores, most of it for batches of translation, 6 GB of
memory and 8 GB in TMPDIR. Nothing else should run meanwhile, since other processes slow down a peer
most that has as many threads as there are processors. --quick only tests that everything works,
with two of the four encoders; its figures mean nothing. The groups of --only are encoders, linear,
translation, batch, transformer, language and start.

What is compared:
- Models of the original's named configurations with random weights, built in PyTorch (shapes.py),
  imported by mega-convert. Before anything is timed, mega-run and all peers that compute the same
  function are compared with the reference, within 1e-4 of the largest value.
- All sides of a row alternate in one run, one at a time. The best run of each side counts; peers
  run with one thread and with --threads threads, and the better of the two counts.
- Peers (peers.py) are processes with jemalloc preloaded (libjemalloc.so.2, with the settings that
  PyTorch's tuning guide recommends), if it is installed; JEMALLOC names another one. mega-run gets
  none.
- "PyTorch eager" of an encoder is tools/train as it stands, which computes the weights of the
  moving averages by lag in every pass. "EMA kernels cached" has them as constants and uses the
  shortest Fourier transform that serves; "compiled" is that with torch.compile and frozen weights.
  Decoding, which tools/train lacks, is done by decoding.py, which keeps everything. PyTorch always
  computes in float32.
- ONNX Runtime runs the fastest of three exportable forms of the moving average.
- CTranslate2 runs Transformer-base (6 + 6 layers, d 512, 8 heads, ffn 2,048) with the same
  vocabulary, and makes exactly as many tokens; where mega-run has int4, it has int8. The fastest of
  three kinds of matrix products counts: its own choice, MKL, and MKL with packed weights.
- The group "transformer" has the same Transformer-base on both sides, from one set of random
  weights (transformer.py). Before it is timed, it is checked. In float32 both sides must give the
  same translations, greedily and with beam 5; in int8, both must deviate about equally from
  CTranslate2's float32 log-probabilities.
- The language model of 267,744 words has an adaptive softmax. PyTorch computes all of it. mega-run
  makes tokens as its greedy generation does, which skips the tails that cannot hold the best word:
  with random weights all of them, with trained ones not always. Computing all would take a tenth
  longer.
- The limit is the least time for this machine's arithmetic and memory reads, which `mega-run bench`
  measures; the best measurement counts. "x limit" is time over that, "% of peak" its reciprocal.
"""

import argparse
import contextlib
import ctypes.util
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import numpy

from sides import Fastest, Ours, Peer, limit_cells, milliseconds, say, table, times
from translators import batch, transformer, translation

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TIERS = ['openblas', 'amx', 'avx512vnni', 'avx512', 'avx2vnni', 'avx2', 'dotprod', 'generic']
PAUSE = 0.3     # seconds between runs, in which idle threads of other sides fall asleep
TOLERANCE = 1e-4
MALLOC_CONF = ('oversize_threshold:1,background_thread:true,metadata_thp:auto,'
               'dirty_decay_ms:-1,muzzy_decay_ms:-1')
ENCODERS = {  # name in shapes.py: title, length, goal
    'speech': ('sc_raw_base, 1 s of speech', 16000, '1.5 x limit, 10 x eager, 60 MB'),
    'text': ('lra_imdb, 4,096 bytes, chunk 128', 4096, '2 x limit, 10 x eager'),
    'pixels': ('lra_cifar10, 1,024 pixels', 1024, '1.6 x limit'),
    'path': ('lra_pf128 (Path-X), 16,384 pixels, chunk 4,096', 16384, '1.6 x limit'),
}


# ---- The comparison -----------------------------------------------------------------------------

class Compare:
    def __init__(self, options, folder):
        self.build, self.folder = options.build.resolve(), folder
        self.threads, self.repeats = options.threads, options.repeats
        self.quick, self.compile = options.quick, options.compile
        self.environment = dict(os.environ)
        self.allocator = None
        self.preload()
        self.records, self.notes, self.models = [], [], {}
        self.lines = 1000  # number of lines that are translated in batches

    def preload(self):
        library = os.environ.get('JEMALLOC') or ctypes.util.find_library('jemalloc')
        if library:
            preloaded = os.environ.get('LD_PRELOAD')
            self.environment['LD_PRELOAD'] = f'{preloaded}:{library}' if preloaded else library
            self.environment.setdefault('MALLOC_CONF', MALLOC_CONF)
            self.allocator = library

    def note(self, text):
        if text not in self.notes:
            say(text)
            self.notes.append(text)

    # -- Models --

    def checkpoint(self, name):
        path = self.folder / f'{name}.pt'
        if not path.exists():
            say(f'  building {name}')
            script = ['transformer.py'] if name == 'transformer' else ['shapes.py', name]
            subprocess.run([sys.executable, HERE / script[0], *script[1:], self.folder],
                           check=True)
        return path

    def model(self, name, dtype='f32', *options):
        """Convert a model and return its path, or None if mega-convert refuses int8 weights."""
        key = (name, dtype, options)
        if key not in self.models:
            path = self.folder / f'{name}-{dtype}{"".join(options)}.mega'
            done = subprocess.run(
                [self.build / 'mega-convert', '-q', '--dtype', dtype, '-o', path, *options,
                 self.checkpoint(name)], stderr=subprocess.PIPE, text=True)
            if done.returncode:
                if dtype != 'int8':
                    raise SystemExit(f'mega-convert: {done.stderr}')
                self.note(f'{name}, {dtype}: left out, mega-convert says: '
                          f'{done.stderr.strip().splitlines()[0]}')
                path = None
            elif not options:
                self.check(name, dtype, path)
            self.models[key] = path
        return self.models[key]

    def check(self, name, dtype, model):
        """Exit unless mega-run computes what PyTorch does."""
        sample = {part: self.folder / f'{name}.{part}.npy' for part in ('in', 'target', 'expected')}
        if not sample['expected'].exists():
            return
        found = self.folder / 'found.npy'
        command = [self.build / 'mega-run', 'forward', '-m', model, '--in', sample['in'],
                   '-o', found]
        if sample['target'].exists():
            command += ['--target', sample['target']]
        if name in ENCODERS:
            command += ['--stage', 'final']
        subprocess.run(command, check=True)
        expected, got = numpy.load(sample['expected']), numpy.load(found)
        difference = float(numpy.abs(got - expected).max() / numpy.abs(expected).max())
        self.records.append({'check': name, 'dtype': dtype, 'difference': difference})
        say(f'  {name}, {dtype}: differs from PyTorch by {difference:.1e} of the largest value')
        if dtype == 'f32' and not difference <= TOLERANCE:
            raise SystemExit(f'{name}: mega-run and PyTorch compute different things')

    # -- Races --

    def race(self, group, row, sides, repeats=None):
        """Let all sides, {name: Ours or Peer}, take turns, and record their best times."""
        say(f'  {group}: {row}')
        with contextlib.ExitStack() as stack:
            for side in sides.values():
                stack.callback(side.close)
                side.start()
            for _ in range(repeats or self.repeats):
                for side in sides.values():
                    time.sleep(PAUSE)
                    side.measure()
        for name, side in sides.items():
            self.records.append({'group': group, 'row': row, 'side': name, 'ms': side.ms,
                                 'detail': side.result})
            reason = getattr(side, 'error', None)
            if reason:
                self.note(f'{row}, {name}: {reason}')
        return sides

    def variants(self, model, **options):
        """mega-run as it is, with one thread, and with each kind of kernels."""
        sides = {'ours': Ours(self, model, threads=self.threads, **options)}
        if self.threads > 1:
            sides['one thread'] = Ours(self, model, threads=1, **options)
        for tier in self.tiers(model):
            sides[tier] = Ours(self, model, threads=self.threads, cpu=tier, **options)
        return sides

    def tiers(self, model):
        if not hasattr(self, 'found_tiers'):
            probe = [self.build / 'mega-run', 'bench', '-m', model, '--length', '8',
                     '--tokens', '2', '--repeats', '1', '--cpu']
            self.found_tiers = [tier for tier in TIERS if subprocess.run(
                [*probe, tier], stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL).returncode == 0]
        return self.found_tiers

    def torch(self, *names, **job):
        """PyTorch's sides: those that are named, and "compiled" if it was asked for."""
        kinds = list(names) + (['compiled'] if self.compile else [])
        return {f'PyTorch {kind}': Peer(self, kind, **job) for kind in kinds}

    def print_kernels(self, title, races):
        """Print a table that compares one thread with several, and the kinds of kernels."""
        tiers = getattr(self, 'found_tiers', [])
        rows = []
        for row, sides in races.items():
            ours = sides['ours'].ms
            cells = [milliseconds(sides[tier].ms) for tier in tiers]
            if self.threads > 1:
                one = sides['one thread'].ms
                cells = [milliseconds(one), milliseconds(ours), f'{one / ours:.2f} x', *cells]
            rows.append([row, *cells])
        heads = ['1 thread', f'{self.threads} threads', 'gain'] if self.threads > 1 else []
        heads += [f'{tier} (OpenBLAS)' if tier == 'generic' else tier for tier in tiers]
        table(f'{title}: threads and kernels', ['', *heads], rows)


# ---- Groups -------------------------------------------------------------------------------------

def encoders(compare):
    races, rows = {}, []
    for name, (title, length, target) in ENCODERS.items():
        if compare.quick and name in ('speech', 'path'):
            continue
        model = compare.model(name)
        job = dict(kind='encode', shape=name)
        sides = compare.variants(model, length=length, repeats=3)
        sides.update(compare.torch('eager', 'kept', **job))
        sides['ONNX Runtime'] = Fastest('ONNX Runtime', [
            Peer(compare, f'onnx-{form}', **job) for form in ('blocks', 'dft', 'convolution')])
        races[title] = compare.race('encoders', title, sides)
        ours = sides['ours']
        row = [title, *limit_cells(ours), f'{ours.result["peak_mb"]:.0f} MB']
        for side in list(sides)[list(sides).index('PyTorch eager'):]:
            row += [milliseconds(sides[side].ms), times(ours.ms, sides[side].ms)]
        best = sides['ONNX Runtime'].best
        row[-2] += f' ({best.name[5:]})' if best else ''
        if not best:
            for peer in sides['ONNX Runtime'].peers:
                compare.note(f'{title}, {peer.name}: {peer.error}')
        rows.append(row + [target])
    heads = ['float32, one at a time', 'limit', 'mega-run', 'x limit', '% of peak',
             'peak memory', 'PyTorch eager', 'ratio', 'EMA kernels cached', 'ratio']
    heads += ['compiled', 'ratio'] if compare.compile else []
    table('Encoders', heads + ['ONNX Runtime', 'ratio', 'asked for'], rows)
    compare.print_kernels('Encoders', races)


def slope(xs, ys):
    """The slope of the line of least squares through the logarithms."""
    xs, ys = [math.log(x) for x in xs], [math.log(y) for y in ys]
    return statistics.linear_regression(xs, ys).slope


def linear(compare):
    model = compare.model('text')
    lengths = [1024 * 4 ** i for i in range(3 if compare.quick else 5)]
    rows, times_taken, peaks = [], [], []
    sides = {str(length): Ours(compare, model, threads=compare.threads, length=length,
                               repeats=max(1, 65536 // length)) for length in lengths}
    compare.race('linear', 'lra_imdb, chunk 128', sides)
    for length, side in zip(lengths, sides.values()):
        times_taken.append(side.ms)
        peaks.append(side.result['peak_mb'])
        rows.append([f'{length:,}', milliseconds(side.ms), f'{1e3 * side.ms / length:.2f} us',
                     f'{peaks[-1]:.1f} MB'])
    found = []
    for values in (times_taken, peaks):
        steps = [slope(lengths[i:i + 2], values[i:i + 2]) for i in range(len(lengths) - 1)]
        found.append({'all': slope(lengths, values), 'steepest': max(steps)})
    compare.records.append({'group': 'linear', 'slopes': dict(zip(('time', 'memory'), found))})
    for name, kind in (('log-log slope, 1.03 asked for at most', 'all'),
                       ('slope of the steepest step', 'steepest')):
        rows.append([name, f'{found[0][kind]:.3f}', '', f'{found[1][kind]:.3f}'])
    table('Length: lra_imdb, chunk 128', ['positions', 'time', 'a position', 'peak memory'], rows)


def language_row(compare, title, ours, sides, tokens, target):
    row = [title, *(milliseconds(ms / tokens) for ms in (ours.result['limit_ms'], ours.ms)),
           f'{100 * ours.result["limit_ms"] / ours.ms:.0f} %', f'{1e3 * tokens / ours.ms:.0f}',
           f'{ours.result["peak_mb"]:.1f} MB']
    for side in ['PyTorch kept'] + (['PyTorch compiled'] if compare.compile else []):
        ms = sides[side].ms if side in sides else None
        row += [milliseconds(ms and ms / tokens), times(ours.ms, ms)]
    return row + [target]


def language(compare):
    # Both are at the same place of a chunk of 2,048, so they attend to equally many keys.
    near = 1952
    far = near + 2048 * (2 if compare.quick else 48)
    tokens = 8 if compare.quick else 64
    races, rows, warm = {}, [], {}
    for dtype in ('f32', 'int8', 'int4'):
        model = compare.model('language', dtype)
        if not model:
            continue
        sides = compare.variants(model, length=near, tokens=tokens, repeats=3)
        sides.update(compare.torch('kept', kind='generate', shape='language', read=near,
                                   tokens=tokens))
        races[f'after {near:,} tokens, {dtype}'] = compare.race(
            'language', f'after {near:,}, {dtype}', sides)
        # Reading so many tokens takes half a minute, after which a processor is slower than after a
        # rest. So the near place is measured once more right after the far one.
        late = {'ours': Ours(compare, model, threads=compare.threads, length=far, tokens=tokens,
                             repeats=1),
                'near': Ours(compare, model, threads=compare.threads, length=near, tokens=tokens,
                             repeats=1)}
        compare.race('language', f'after {far:,}, {dtype}', late, min(compare.repeats, 2))
        warm[dtype] = late['near'].ms / tokens
        rows.append(language_row(compare, f'after {near:,} tokens, {dtype}', sides['ours'], sides,
                                 tokens, '60 % of the limit'))
        rows.append(language_row(compare, f'after {far:,} tokens, {dtype}', late['ours'], late,
                                 tokens, 'speed and memory as above'))
    heads = ['limit of a token', 'mega-run', '% of peak', 'tokens/s', 'peak memory',
             'PyTorch eager f32', 'ratio']
    heads += ['compiled f32', 'ratio'] if compare.compile else []
    heads += ['asked for']
    table('Language model', ['mega_lm_enwik8_base', *heads], rows)
    for dtype, ms in warm.items():
        compare.note(f'language model, {dtype}: measured right after the row of {far:,} tokens, a '
                     f'token after {near:,} takes {milliseconds(ms)}.')
    compare.print_kernels('Language model', races)
    reading(compare)
    if not compare.quick:
        words(compare, heads)


def reading(compare):
    """Measure the reading of a prompt, whose products have many rows, as in an encoder."""
    rows, length = [], 256 if compare.quick else 2048
    for dtype in ('f32', 'int8', 'int4'):
        model = compare.model('language', dtype)
        if not model:
            continue
        sides = {'ours': Ours(compare, model, threads=compare.threads, length=length, tokens=1,
                              repeats=3)}
        found = compare.race('language', f'reading {length:,}, {dtype}', sides)['ours'].result
        rows.append([f'{length:,} tokens, {dtype}', milliseconds(found['read_ms']),
                     f'{100 * found["read_of_limit"]:.0f} %',
                     f'{1e3 * length / found["read_ms"]:.0f}', '50 % of the limit'])
    table('Language model, reading', ['mega_lm_enwik8_base', 'mega-run', '% of peak', 'tokens/s',
                                      'asked for'], rows)


def words(compare, heads):
    """Measure an adaptive softmax; with random weights, its tails never need to be computed."""
    read, tokens, rows = 500, 64, []
    for dtype in ('f32', 'int8'):
        model = compare.model('adaptive', dtype)
        if not model:
            continue
        sides = {'ours': Ours(compare, model, threads=compare.threads, length=read,
                              tokens=tokens, repeats=3)}
        sides.update(compare.torch('kept', kind='generate', shape='adaptive', read=read,
                                   tokens=tokens))
        compare.race('language', f'words, after {read:,}, {dtype}', sides)
        rows.append(language_row(compare, f'after {read:,} tokens, {dtype}', sides['ours'],
                                 sides, tokens, ''))
    table('Language model of 267,744 words', ['mega_lm_adaptive_big', *heads], rows)


OPENING = '''
import ctypes, sys, time
library, path = sys.argv[1:]
mega = ctypes.CDLL(library)
class Error(ctypes.Structure):
    _fields_ = [('code', ctypes.c_int), ('text', ctypes.c_char * 512)]
error, model = Error(), ctypes.c_void_p()
begun = time.perf_counter()
code = mega.mega_model_open(ctypes.byref(model), path.encode(), ctypes.byref(error))
took = time.perf_counter() - begun
if code:
    sys.exit(error.text.decode())
print(took * 1e3)
'''


def start(compare):
    runs = 3 if compare.quick else 20
    rows, taken = [], []
    clip = ROOT / 'models/speech-commands/yes.wav'
    for _ in range(runs):
        begun = time.perf_counter()
        subprocess.run([compare.build / 'mega-run', 'classify', clip], cwd=ROOT, check=True,
                       stdout=subprocess.DEVNULL)
        taken.append(1e3 * (time.perf_counter() - begun))
    rows.append(['process start to first result, shipped speech model',
                 milliseconds(statistics.median(taken)), milliseconds(min(taken)), '60 ms'])
    path = compare.model('language' if compare.quick else 'large', 'f32', '--no-compress')
    opened = []
    for _ in range(runs):
        output = subprocess.run(
            [sys.executable, '-c', OPENING, compare.build / 'libmega.so', path],
            stdout=subprocess.PIPE, check=True, text=True).stdout
        opened.append(float(output))
    size = path.stat().st_size / 1e6
    rows.append([f'opening a file of {size:,.0f} MB, {size / 4:.0f} M parameters, not compressed',
                 milliseconds(statistics.median(opened)), milliseconds(min(opened)), '50 ms'])
    compare.records.append({'group': 'start', 'classify_ms': taken, 'open_ms': opened,
                            'file_mb': size})
    table(f'Start, {runs} runs', ['', 'median', 'best', 'asked for at most'], rows)


GROUPS = {'encoders': encoders, 'linear': linear, 'translation': translation, 'batch': batch,
          'transformer': transformer, 'language': language, 'start': start}


# ---- The command --------------------------------------------------------------------------------

def versions():
    found = {}
    for package in ('torch', 'onnxruntime', 'ctranslate2'):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def processor():
    with contextlib.suppress(OSError), open('/proc/cpuinfo') as lines:
        for line in lines:
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    return platform.machine()


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     epilog='The head of this file says what it compares.')
    parser.add_argument('build', type=pathlib.Path, help='folder of mega-run and mega-convert')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--repeats', type=int, default=5,
                        help='rounds in which all sides alternate')
    parser.add_argument('--lines', type=int, default=1000,
                        help='lines that are translated in batches (1000)')
    parser.add_argument('--compile', action='store_true', help='also measure PyTorch compiled')
    parser.add_argument('--only', action='append', choices=GROUPS,
                        help='measure this group only; repeatable')
    parser.add_argument('--quick', action='store_true', help='only test that everything works')
    parser.add_argument('--json', type=pathlib.Path, help='write all measurements')
    options = parser.parse_args()
    for program in ('mega-run', 'mega-convert', 'libmega.so'):
        if not (options.build / program).exists():
            parser.error(f'{options.build / program} does not exist: run make first')
    if not versions()['torch']:
        parser.error('PyTorch is missing: pip install torch==2.13.0')
    if options.json and not options.json.resolve().parent.is_dir():
        parser.error(f'there is no folder {options.json.resolve().parent}')
    if options.threads < 1 or options.repeats < 1 or options.lines < 1:
        parser.error('--threads, --repeats and --lines are at least 1')
    if options.quick:
        options.repeats = 1
    return options


def main():
    options = parse()
    # SIGTERM then ends the peers and removes the folder, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix='mega-compare-') as folder:
        compare = Compare(options, pathlib.Path(folder))
        compare.lines = options.lines
        machine = {'processor': processor(), 'processors': os.cpu_count(), **versions(),
                   'allocator': compare.allocator, 'threads': options.threads,
                   'quick': options.quick, 'load': os.getloadavg()[0]}
        print(f'{machine["processor"]}, {options.threads} threads; ' + ', '.join(
            f'{name} {version or "missing"}' for name, version in versions().items()) +
            f'; {compare.allocator or "no jemalloc"} for the peers; best of {options.repeats} '
            'alternating rounds' + ('; --quick: figures mean nothing' if options.quick else ''))
        if machine['load'] > 0.5:
            compare.note(f'Other processes ran: the load was {machine["load"]:.1f} at the start.')
        try:
            for name in options.only or GROUPS:
                say(name)
                GROUPS[name](compare)
        finally:
            if options.json:
                options.json.write_text(json.dumps(
                    {'machine': machine, 'notes': compare.notes, 'measurements': compare.records},
                    indent=1, default=str) + '\n')
        if compare.notes:
            print('\nNotes:\n' + '\n'.join(f'- {note}' for note in compare.notes))


if __name__ == '__main__':
    main()
