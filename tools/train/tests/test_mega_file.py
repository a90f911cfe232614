"""Weights and vocabulary of a .mega file come back as they were, so that training can go on."""

import argparse
import collections
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import inputs  # noqa: E402
import mega_file  # noqa: E402
import pairs  # noqa: E402
from sequence import TranslationModel  # noqa: E402
import translation  # noqa: E402

CONVERT = pathlib.Path(os.environ.get('BUILD', pathlib.Path(__file__).parents[3] / 'build'),
                       'mega-convert')
COUNTS = collections.Counter({'We': 9, 'like': 9, 'books': 9, 'Wir': 9, 'mögen': 9, '.': 9})


def checkpoint_args(dim):
    parser = argparse.ArgumentParser()
    translation.add_options(parser)
    options = parser.parse_args(['--dim', str(dim), '--hidden', '24', '--ffn', '20', '--z-dim',
                                 '8', '--n-dim', '3', '--layers', '2', '--decoder-layers', '1',
                                 '--positions', '32'])
    options.smoothing = 0.1
    return translation.checkpoint_args(options, ['en', 'de'])


class MegaFile(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.vocabulary = pairs.Vocabulary.learn(COUNTS, 10, self.folder)
        self.options = ['--tokenizer', 'moses', '--bpe-codes', self.folder / 'codes',
                        '--source-dict', self.folder / 'dict.txt',
                        '--target-dict', self.folder / 'dict.txt']
        torch.manual_seed(1)
        self.model = self.new_model(16)
        checkpoint, self.path = self.folder / 'final.pt', self.folder / 'final.mega'
        torch.save({'model': self.model.state_dict(), 'args': checkpoint_args(16)}, checkpoint)
        subprocess.run([CONVERT, '-q', checkpoint, '-o', self.path, *self.options], check=True)

    def new_model(self, dim):
        return TranslationModel(checkpoint_args(dim), len(self.vocabulary.symbols))

    def test_weights_and_vocabulary_come_back(self):
        metadata, tensors = mega_file.read_model(self.path, CONVERT)
        again = self.folder / 'again'
        again.mkdir()
        mega_file.write_vocabulary(metadata, again)
        self.assertEqual(pairs.Vocabulary(again).symbols, self.vocabulary.symbols)
        self.assertEqual(*((folder / 'codes').read_text() for folder in (again, self.folder)))
        other = self.new_model(16)
        mega_file.load_weights(other, checkpoint_args(16), tensors, CONVERT, *self.options)
        for (name, mine), theirs in zip(self.model.named_parameters(), other.parameters()):
            self.assertTrue(torch.equal(mine, theirs), name)

    def test_other_sizes_are_refused(self):
        _, tensors = mega_file.read_model(self.path, CONVERT)
        with self.assertRaisesRegex(inputs.Problem, 'other sizes'):
            mega_file.load_weights(self.new_model(32), checkpoint_args(32), tensors, CONVERT,
                                   *self.options)

    def test_what_is_no_model_is_said(self):
        path = self.folder / 'text.mega'
        path.write_text('no model')
        with self.assertRaisesRegex(inputs.Problem, 'text.mega'):
            mega_file.read_model(path, CONVERT)


if __name__ == '__main__':
    unittest.main()
