"""The paper's comparison in small, from files of a task to the table."""

import contextlib
import gzip
import io
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
from unittest import mock

os.environ['OMP_NUM_THREADS'] = '1'
os.environ.setdefault('MALLOC_CONF', 'thp:default')  # keeps recipes from restarting Python
HERE = pathlib.Path(__file__)
sys.path.insert(0, str(HERE.parents[1]))

import inputs  # noqa: E402
import twins  # noqa: E402

BUILD = pathlib.Path(os.environ.get('BUILD', HERE.parents[3] / 'build')).resolve()
SMALL = ['--steps', '2', '--layers', '1', '--dim', '32', '--convert', str(BUILD / 'mega-convert')]


def write_data(folder):
    """Data sets like the real ones: a text, and reviews in a tar."""
    chance = random.Random(2)
    (folder / 'tinyshakespeare').mkdir(parents=True)
    with gzip.open(folder / 'tinyshakespeare' / 'input.txt.gz', 'wt', encoding='utf-8') as file:
        file.write(''.join(chance.choice('abc de\n') for _ in range(1200)))
    reviews = folder / 'aclImdb'
    for split, numbers in (('train', (1, 2, 3, 11250, 12000)), ('test', (1, 2))):
        for label, word in (('neg', 'dull'), ('pos', 'fine')):
            for number in numbers:
                path = reviews / split / label / f'{number}_7.txt'
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f'{word} ' * chance.randrange(1, 9))
    with tarfile.open(folder / 'imdb.tar.gz', 'w:gz') as tar:
        for path in sorted(reviews.rglob('*.txt')):
            tar.add(path, path.relative_to(reviews))


class Table(unittest.TestCase):
    def test_from_data_to_the_table(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            write_data(folder / 'sets')
            for task, more in (('imdb', ['--length', '32', '--chunk', '16', '--batch', '4']),
                               ('characters', ['--length', '16', '--chunk', '8', '--batch', '4',
                                               '--ffn', '32', '--hidden', '64'])):
                for system in twins.systems_of(task):
                    (folder / 'runs' / task / f'{system}-1').mkdir(parents=True)
                    twins.main(['--task', task, '--system', system, '--data',
                                str(folder / 'sets'), '--out', str(folder / 'runs'), *SMALL, *more])
            kind, labels, parts = inputs.list_files(folder / 'runs/imdb/data/manifest.tsv')
            self.assertEqual((kind, labels), ('text', ['neg', 'pos']))
            self.assertEqual({part: len(rows) for part, rows in parts.items()},
                             {'train': 6, 'valid': 4})
            self.assertEqual(len(inputs.read_manifest(folder / 'runs/imdb/data/test.tsv')), 4)
            command = [sys.executable, HERE.parents[2] / 'bench' / 'paper.py', BUILD, '--accuracy',
                       folder / 'runs', '--repeats', '1', '--threads', '1']
            table = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            for line in ('### imdb', '### characters', '| XFM |', '| S4 |', '| MEGA |',
                         '| MEGA-chunk |'):
                self.assertIn(line, table)
            self.assertEqual(table.count(' ms |'), 7, table)
            self.assertEqual(table.count('% right'), 1)
            asked = json.loads((folder / 'runs/characters/mega-1/test.json').read_text())
            self.assertEqual(asked['tokens'], 120)  # a tenth of the characters
            # The results of models are kept with them, so models alone give the table.
            for task in ('imdb', 'characters'):
                shutil.rmtree(folder / 'runs' / task / 'data')
                for model in folder.glob(f'runs/{task}/*/final.mega'):
                    model.touch()
            again = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            for line in table.splitlines():
                if '|' in line:
                    self.assertIn(line.split(' ms |')[0].rpartition('|')[0], again)
            # A changed model is evaluated again, and there are no data for that now.
            shutil.copy(folder / 'runs/imdb/s4-1/final.mega', folder / 'runs/imdb/mega-1')
            failed = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    text=True)
            self.assertEqual(failed.returncode, 1)
            self.assertIn('imdb/mega-1/final.mega was not evaluated yet, and there is no',
                          failed.stderr)

    def test_models_are_trained_one_after_another_until_all_had_their_time(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            write_data(folder / 'sets')
            command = ['--task', 'imdb', '--system', 's4', 'mega', '--data', str(folder / 'sets'),
                       '--out', str(folder / 'runs')]
            more = ['--length', '32', '--batch', '4', '--layers', '1', '--dim', '32', '--convert',
                    str(BUILD / 'mega-convert')]

            def train(minutes):
                with mock.patch.object(twins, 'write_table') as written, \
                        contextlib.redirect_stdout(io.StringIO()) as told:
                    twins.main([*command, '--minutes', str(minutes), *more])
                written.assert_called_once_with(folder / 'runs')
                return told.getvalue(), [twins.trained(folder / 'runs/imdb' / f'{system}-1')
                                         for system in ('s4', 'mega')]

            told, first = train(0.01)
            self.assertEqual(told, 'imdb, s4:\nimdb, mega:\n')
            for model in first:
                self.assertGreaterEqual(model['minutes'], 0.01)
            self.assertEqual(train(0.01), ('', first))
            told, second = train(max(model['minutes'] for model in first) + 0.02)
            self.assertEqual(told, 'imdb, s4:\nimdb, mega:\n')
            for before, after in zip(first, second):
                self.assertGreater(after['steps'], before['steps'])

    def test_long_splits_are_thinned_the_same_way(self):
        with tempfile.TemporaryDirectory() as name, mock.patch.dict(twins.MOST, test=3):
            chosen = []
            for turn in ('one', 'two'):
                writer = twins.Writer(pathlib.Path(name, turn))
                for number in sorted(range(9), reverse=turn == 'two'):
                    for split in ('train', 'test'):
                        writer.add(f'{split}/{number}', number, split, b'a')
                writer.close()
                chosen.append([path.name for path, _, _ in
                               inputs.read_manifest(writer.folder / 'test.tsv')])
                self.assertEqual(len(inputs.read_manifest(writer.folder / 'manifest.tsv')), 9)
                self.assertEqual(sorted(path.name for path in (writer.folder / 'test').iterdir()),
                                 chosen[-1])
            self.assertEqual(len(chosen[0]), 3)
            self.assertEqual(*chosen)

    def test_every_model_has_a_command(self):
        count = sum(len(twins.systems_of(task)) for task in twins.TASKS)
        self.assertEqual(count, 5 * 4 + 3)

    def test_items_of_an_idx_file(self):
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name, 'x.gz')
            path.write_bytes(gzip.compress(bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3,
                                                  1, 2, 3, 4, 5, 6])))
            self.assertEqual(twins.read_idx(path), [b'\1\2\3', b'\4\5\6'])


if __name__ == '__main__':
    unittest.main()
