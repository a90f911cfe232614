"""Train one of the paper's comparisons in small: a system on a task, in a given time.

Usage: train twins --task TASK --system SYSTEM --data DATA --out FOLDER [--seed N] [--minutes 60]
       train twins --task TASK --prepare --data DATA --out FOLDER
       train twins --list

TASK is listops, imdb, pathfinder, cifar10, speech or characters, SYSTEM transformer, s4, mega or
mega-chunk. DATA is the folder of the data sets. The files of a task are unpacked once, with a
manifest, into FOLDER/TASK/data; a model comes to be in FOLDER/TASK/SYSTEM-SEED. It is trained by
`train classify` or `train language` with the options that this file lists, which are the same for
all systems of a task: models/twins/README.md is the protocol.
"""

import argparse
import gzip
import io
import pathlib
import shutil
import sys
import tarfile

from PIL import Image

import classify
import language
import training

SYSTEMS = ('transformer', 's4', 'mega', 'mega-chunk')
CHUNK = '128'
RATES = ['--lr', '2e-3', '--muon-lr', '4e-3', '--warmup', '100', '--batch', '32', '--dropout',
         '0.1']


# ---- Files of the tasks ----

class Writer:
    """Files of a task and their manifest."""

    def __init__(self, folder):
        self.folder, self.rows = folder, ['path\tlabel\tsplit']
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name, label, split, data):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.rows.append(f'{name}\t{label}\t{split}')

    def close(self):
        """Write the manifest, last, so that it is there only if all files are."""
        (self.folder / 'manifest.tsv').write_text('\n'.join(self.rows) + '\n', encoding='utf-8')


def prepare_listops(data, writer):
    for split in ('train', 'valid', 'test'):
        with gzip.open(data / 'listops' / f'{split}.tsv.gz', 'rt', encoding='utf-8') as file:
            next(file)
            for number, line in enumerate(file):
                source, label = line.rstrip('\n').split('\t')
                writer.add(f'{split}/{number // 1000}/{number}.txt', label, split, source.encode())


def prepare_imdb(data, writer):
    """The last tenth of each class's training reviews, by number, is held out."""
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
    """The items of a file of the IDX format: bytes of each."""
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
    """The last hundred training pictures of each class are held out, as in cifar10.py."""
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
    """The text that trains, and the last 10 % of it by themselves, for `mega-run eval`."""
    with gzip.open(data / 'tinyshakespeare' / 'input.txt.gz', 'rt', encoding='utf-8') as file:
        text = file.read()
    (writer.folder / 'text.txt').write_text(text, encoding='utf-8')
    (writer.folder / 'test.txt').write_text(text[len(text) * 9 // 10:], encoding='utf-8')


# ---- The tasks ----

# What the recipe gets besides; nothing but the architecture differs between systems.
TASKS = {
    'listops': (prepare_listops, ['--unit', 'word', '--length', '2000', '--chunk', CHUNK]),
    'imdb': (prepare_imdb, ['--unit', 'byte', '--length', '1024', '--chunk', CHUNK]),
    'pathfinder': (prepare_pathfinder, ['--pixels', '--no-augment', '--chunk', CHUNK]),
    'cifar10': (prepare_cifar10, ['--pixels', '--flip', '--chunk', CHUNK]),
    'speech': (prepare_speech, ['--hop', '16', '--frame', '16', '--plain-start', '--chunk', '125']),
    'characters': (prepare_characters, ['--length', '512', '--chunk', CHUNK, '--layers', '4',
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
    """(recipe, its arguments) for one model."""
    out = folder / task / f'{system}-{seed}'
    data = folder / task / 'data'
    given = [*TASKS[task][1], *RATES, '--architecture', system, '--seed', str(seed), '--minutes',
             str(minutes), '--out', str(out), '--dtype', 'f32']
    if task == 'characters':
        return language, ['--text', str(data / 'text.txt'), *given, *LANGUAGE[system]]
    return classify, ['--data', str(data / 'manifest.tsv'), *given]


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


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog='train twins')
    parser.add_argument('--task', choices=TASKS)
    parser.add_argument('--system', choices=SYSTEMS)
    parser.add_argument('--data', type=pathlib.Path, help='folder of the data sets')
    parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path('runs/twins'))
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--minutes', type=float, default=60.0, help='the same for all systems')
    parser.add_argument('--resume', action='store_true', help='go on with a run that was ended')
    parser.add_argument('--prepare', action='store_true', help='unpack the files and nothing else')
    parser.add_argument('--list', action='store_true', help='print the command of every model')
    options, rest = parser.parse_known_args(arguments)
    if options.list:
        for task in TASKS:
            for system in systems_of(task):
                print(f'train twins --task {task} --system {system} --data DATA '
                      f'--out {options.out} --seed {options.seed} --minutes {options.minutes:g}')
        return
    if not options.task or not options.data or not (options.system or options.prepare):
        parser.error('--task, --data and --system or --prepare are needed')
    if options.system and options.system not in systems_of(options.task):
        parser.error(f'{options.system} has no model of {options.task}')
    try:
        prepare(options.task, options.data, options.out)
    except OSError as error:
        sys.exit(f'train twins: {training.explain(error)}')
    if options.prepare:
        return
    recipe, given = command(options.task, options.system, options.out, options.seed,
                            options.minutes)
    recipe.main([*given, *(['--resume'] if options.resume else []), *rest])


if __name__ == '__main__':
    main()
