"""Train the paper's comparisons in small: four systems on some tasks, each for the same time.

Usage: train twins --data DATA --out FOLDER [--task TASK ...] [--system SYSTEM ...] [--minutes 60]
       train twins --task TASK --prepare --data DATA --out FOLDER
       train twins --list

TASK is listops, imdb, pathfinder, cifar10, speech or characters, SYSTEM transformer, s4, mega or
mega-chunk; without them all are trained, one after another. DATA is the folder of the data sets.
The files of a task are unpacked once, with a manifest, into FOLDER/TASK/data; a model is written to
FOLDER/TASK/SYSTEM-SEED. A model that was trained for its minutes stays as it is, and one that was
interrupted goes on: the same command finishes an earlier one, and one with more minutes trains all
models further. After several models, tools/bench/paper.py evaluates them on the test splits, and
its table is written to FOLDER/table.md.

Models are trained by `train classify` or `train language` with the options that this file lists,
which are the same for all systems of a task. models/twins/README.md describes the protocol.
"""

import argparse
import gzip
import hashlib
import io
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile

from PIL import Image
import torch

import classify
import export
import language
import training

SYSTEMS = ('transformer', 's4', 'mega', 'mega-chunk')
CHUNK = '128'
SIZES = {'transformer': ['--layers', '2'], 's4': ['--layers', '3', '--dim', '192'],
         'mega': ['--layers', '2'], 'mega-chunk': ['--layers', '2']}
RATES = ['--lr', '2e-3', '--muon-lr', '4e-3', '--warmup', '20', '--batch', '16', '--dropout',
         '0.1', '--processor-time', '--valid-minutes', '1e9']  # validated at the end only
MOST = {'valid': 500, 'test': 2000}  # if a split has more files, a hash chooses so many
LONGEST_LIST = 1000  # longer lists of listops, in symbols, are left out
WINDOW = 512         # characters of a window of the language model


# ---- Files of the tasks ----

class Writer:
    """Writes the files of a task and two lists of them: one for the recipe, one of the test split.

    The test split is kept small: to evaluate thousands of files would take longer than to train.
    """

    def __init__(self, folder):
        self.folder, self.rows = folder, {'train': [], 'valid': [], 'test': []}
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name, label, split, data):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.rows[split].append((name, label))

    def close(self):
        """Write the lists; the recipe's comes last, so that it exists only if all files do."""
        for split, most in MOST.items():
            if len(self.rows[split]) > most:
                self.rows[split].sort(key=lambda row: hashlib.sha256(row[0].encode()).digest())
                for name, _ in self.rows[split][most:]:
                    (self.folder / name).unlink()
                self.rows[split] = sorted(self.rows[split][:most])
        for name, splits in (('test.tsv', ('test',)), ('manifest.tsv', ('train', 'valid'))):
            lines = ['path\tlabel\tsplit'] + [f'{path}\t{label}\t{split}' for split in splits
                                             for path, label in self.rows[split]]
            (self.folder / name).write_text('\n'.join(lines) + '\n', encoding='utf-8')


def prepare_listops(data, writer):
    """Take the shorter half of the lists."""
    for split in ('train', 'valid', 'test'):
        with gzip.open(data / 'listops' / f'{split}.tsv.gz', 'rt', encoding='utf-8') as file:
            next(file)
            for number, line in enumerate(file):
                source, label = line.rstrip('\n').split('\t')
                if source.count(' ') < LONGEST_LIST:
                    writer.add(f'{split}/{number // 1000}/{number}.txt', label, split,
                               source.encode())


def prepare_imdb(data, writer):
    """Hold out the last tenth of each class's training reviews, by their numbers."""
    with tarfile.open(data / 'imdb.tar.gz') as tar:
        for member in tar:
            parts = member.name.split('/')
            if not member.isfile() or not member.name.endswith('.txt'):
                continue
            split, label, name = parts[-3:]
            if split == 'train' and int(name.split('_')[0]) >= 11250:
                split = 'valid'
            writer.add(f'{split}/{label}/{name}', label, split, tar.extractfile(member).read())


def read_idx(path):
    """The items of a file in the IDX format, as bytes."""
    with gzip.open(path) as file:
        content = file.read()
    shape = [int.from_bytes(content[4 + 4 * i:8 + 4 * i]) for i in range(content[3])]
    size = 1
    for side in shape[1:]:
        size *= side
    begin = 4 + 4 * len(shape)
    return [content[begin + i * size:begin + (i + 1) * size] for i in range(shape[0])]


def prepare_pathfinder(data, writer):
    for split in ('train', 'valid', 'test'):
        images, labels = (read_idx(data / 'pathfinder' / f'{split}-{kind}.idx.gz')
                          for kind in ('images', 'labels'))
        for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
            png = io.BytesIO()
            Image.frombytes('L', (32, 32), pixels).save(png, 'PNG')
            writer.add(f'{split}/{number // 1000}/{number}.png', label[0], split, png.getvalue())


def prepare_cifar10(data, writer):
    """Hold out the last hundred training pictures of each class, as cifar10.py does."""
    with tarfile.open(data / 'cifar10.tar.gz') as tar:
        for member in tar:
            if not member.name.endswith('.jpg'):
                continue
            split, label, name = member.name.split('/')[-3:]
            if split == 'train' and int(name[:-4]) >= 4900:
                split = 'valid'
            writer.add(f'{split}/{label}/{name}', label, split, tar.extractfile(member).read())


def prepare_speech(data, writer):
    for split in ('train', 'valid', 'test'):
        with tarfile.open(data / 'speech_commands' / f'{split}.tar') as tar:
            for member in tar:
                if member.name.endswith('.flac'):
                    label, name = member.name.split('/')[-2:]
                    writer.add(f'{split}/{label}/{name}', label, split,
                               tar.extractfile(member).read())


def prepare_characters(data, writer):
    """Write the text for training, and its last 10 % in windows as long as those of the training.

    On one long text, attention to everything would take quadratic time, and would reach distances
    that no system was trained on.
    """
    with gzip.open(data / 'tinyshakespeare' / 'input.txt.gz', 'rt', encoding='utf-8') as file:
        text = file.read()
    (writer.folder / 'text.txt').write_text(text, encoding='utf-8')
    (writer.folder / 'test').mkdir()
    for begin in range(len(text) * 9 // 10, len(text), WINDOW):
        (writer.folder / 'test' / f'{begin}.txt').write_text(text[begin:begin + WINDOW],
                                                             encoding='utf-8')


# ---- The tasks ----

# Each task has a function that unpacks its files, and options that all its systems share.
TASKS = {
    'listops': (prepare_listops, ['--unit', 'word', '--length', '1024', '--chunk', CHUNK]),
    'imdb': (prepare_imdb, ['--unit', 'byte', '--length', '1024', '--chunk', CHUNK]),
    'pathfinder': (prepare_pathfinder, ['--pixels', '--no-augment', '--chunk', CHUNK]),
    'cifar10': (prepare_cifar10, ['--pixels', '--flip', '--chunk', CHUNK]),
    'speech': (prepare_speech, ['--hop', '16', '--frame', '16', '--plain-start', '--chunk', '125']),
    'characters': (prepare_characters, ['--length', str(WINDOW), '--chunk', CHUNK,
                                        '--logit-scale', '1']),
}
# Sizes of the language models; those of classifiers are in classifiers.py.
LANGUAGE = {
    'transformer': ['--dim', '128', '--ffn', '256'],
    'mega': ['--dim', '96', '--hidden', '192', '--ffn', '192', '--z-dim', '48'],
    'mega-chunk': ['--dim', '96', '--hidden', '192', '--ffn', '192', '--z-dim', '48'],
}


def systems_of(task):
    return [system for system in SYSTEMS if task != 'characters' or system in LANGUAGE]


def command(task, system, folder, seed, minutes):
    """(recipe, its arguments) of one model"""
    out = folder / task / f'{system}-{seed}'
    data = folder / task / 'data'
    given = [*TASKS[task][1], *RATES, '--architecture', system, *SIZES[system], '--seed',
             str(seed), '--minutes', str(minutes), '--out', str(out), '--dtype', 'f16',
             '--resume']
    if task == 'characters':
        return language, ['--text', str(data / 'text.txt'), *given, *LANGUAGE[system]]
    return classify, ['--data', str(data / 'manifest.tsv'), '--padded', *given]


def prepare(task, data, folder):
    """Unpack the files of a task unless they are there."""
    target = folder / task / 'data'
    if (target / ('text.txt' if task == 'characters' else 'manifest.tsv')).exists():
        return
    shutil.rmtree(target, ignore_errors=True)
    writer = Writer(target)
    TASKS[task][0](data, writer)
    if task != 'characters':
        writer.close()


# ---- Training ----

def trained(out):
    """The {'minutes', 'steps'} for which a model was trained, or zeros."""
    path = out / 'trained.json'
    if not path.exists():
        return {'minutes': 0.0, 'steps': 0}
    return json.loads(path.read_text())


def train_one(task, system, options, rest):
    """Train a model in this process, and write down its minutes and steps."""
    recipe, given = command(task, system, options.out, options.seed, options.minutes)
    out = options.out / task / f'{system}-{options.seed}'
    recipe.main([*given, *rest])
    last = torch.load(out / 'last.pt')
    (out / 'trained.json').write_text(json.dumps(
        {'minutes': round(last['elapsed'] / 60, 4), 'steps': last['step']}) + '\n')


def train_each(models, options, rest):
    """Train models one after another, each in a process of its own; return those that failed.

    SIGTERM and Ctrl-C end the current one, with a checkpoint, and no other is begun.
    """
    failed, running, stopped = [], [], []

    def stop(*_):
        stopped.append(True)
        for child in running:
            child.terminate()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    for task, system in models:
        if stopped:
            break
        print(f'{task}, {system}:', flush=True)
        running[:] = [subprocess.Popen(
            [sys.executable, pathlib.Path(__file__).with_name('train'), 'twins', '--task', task,
             '--system', system, '--data', options.data, '--out', options.out, '--seed',
             str(options.seed), '--minutes', str(options.minutes), *rest])]
        if running[0].wait() and not stopped:
            failed.append(f'{system} of {task}')
    for number, handler in before.items():
        signal.signal(number, handler)
    if stopped:
        sys.exit('train twins: interrupted; the same command goes on')
    return failed


def write_table(folder):
    """Print the table of the test splits, and write it to the folder."""
    paper = pathlib.Path(__file__).resolve().parent.parent / 'bench' / 'paper.py'
    build = export.BUILT.parent
    if not (build / 'mega-run').exists():
        print(f'there is no table, since {build}/mega-run is not built; when it is, '
              f'`{paper} {build} --accuracy {folder}` makes one')
        return
    table = subprocess.run([sys.executable, paper, build, '--accuracy', folder], check=True,
                           stdout=subprocess.PIPE, text=True).stdout
    (folder / 'table.md').write_text(table)
    print(table, end='')


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog='train twins')
    parser.add_argument('--task', choices=TASKS, nargs='+', default=list(TASKS))
    parser.add_argument('--system', choices=SYSTEMS, nargs='+', default=list(SYSTEMS))
    parser.add_argument('--data', type=pathlib.Path, help='folder of the data sets')
    parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path('runs/twins'))
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--minutes', type=float, default=60.0,
                        help='minutes of processor time, the same for all systems')
    parser.add_argument('--prepare', action='store_true', help='only unpack the files')
    parser.add_argument('--list', action='store_true', help='print the command of every model')
    options, rest = parser.parse_known_args(arguments)
    if not options.list and not options.data:
        parser.error('--data, the folder of the data sets, is needed')
    models = [(task, system) for task in options.task for system in systems_of(task)
              if system in options.system]
    if not models:
        parser.error(f'{" and ".join(options.system)} has no model of {" and ".join(options.task)}')
    return options, rest, models


def main(arguments=None):
    options, rest, models = parse(arguments)
    if options.list:
        for task, system in models:
            print(f'train twins --task {task} --system {system} --data DATA '
                  f'--out {options.out} --seed {options.seed} --minutes {options.minutes:g}')
        return
    try:
        for task in options.task:
            prepare(task, options.data, options.out)
    except OSError as error:
        sys.exit(f'train twins: {training.explain(error)}')
    if options.prepare:
        return
    alone = len(models) == 1
    models = [(task, system) for task, system in models if options.minutes >
              trained(options.out / task / f'{system}-{options.seed}')['minutes'] + 1e-3]
    if alone:
        for task, system in models:
            train_one(task, system, options, rest)
        return
    failed = train_each(models, options, rest)
    write_table(options.out)
    if failed:
        sys.exit(f'train twins: not trained: {", ".join(failed)}')


if __name__ == '__main__':
    main()
