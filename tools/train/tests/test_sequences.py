"""Translators and language models of every architecture: flat batches, conversion, the recipes."""

import argparse
import contextlib
import io
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

os.environ['OMP_NUM_THREADS'] = '1'
os.environ.setdefault('MALLOC_CONF', 'thp:default')  # keeps recipes from restarting Python
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import numpy  # noqa: E402
import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import flat  # noqa: E402
import inputs  # noqa: E402
import language  # noqa: E402
from sequence import EOS, PAD, LanguageModel, TranslationModel  # noqa: E402
import training  # noqa: E402
import translate  # noqa: E402
import translation  # noqa: E402

BUILD = pathlib.Path(os.environ.get('BUILD', pathlib.Path(__file__).parents[3] / 'build'))
TOLERANCE = 1e-4
SYMBOLS = 64


def run(program, *arguments):
    return subprocess.run([BUILD / program, *map(str, arguments)], stdout=subprocess.PIPE,
                          check=True, text=True).stdout


def convert(folder, checkpoint, symbols):
    """The .mega file of a checkpoint whose dictionary has symbols s4 ..."""
    torch.save(checkpoint, folder / 'model.pt')
    (folder / 'dict.txt').write_text(''.join(f's{i} 1\n' for i in range(4, symbols)))
    run('mega-convert', '-q', folder / 'model.pt', '-o', folder / 'model.mega', '--dict',
        folder / 'dict.txt')
    return folder / 'model.mega'


def forward(folder, model, **arrays):
    """The output of mega-run forward for ids."""
    options = []
    for name, ids in arrays.items():
        numpy.save(folder / f'{name}.npy', numpy.array(ids))
        options += ['--in' if name == 'source' else '--target', folder / f'{name}.npy']
    run('mega-run', 'forward', '-m', model, *options, '-o', folder / 'out.npy')
    return torch.from_numpy(numpy.load(folder / 'out.npy'))


def sentences(count, longest=21):
    chance = random.Random(5)
    return [([chance.randrange(4, SYMBOLS) for _ in range(chance.randrange(1, longest))] + [EOS],
             [chance.randrange(4, SYMBOLS) for _ in range(chance.randrange(1, longest))] + [EOS])
            for _ in range(count)]


def weights(checkpoint):
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(checkpoint)['model']


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


class SameGradients(unittest.TestCase):
    def assert_same(self, model, loss, expected):
        """Check that loss and gradients of ``model`` are equal but for rounding."""
        self.assertAlmostEqual(loss.item(), expected.item(), delta=1e-5)
        found, plain = gradients(model, loss), gradients(model, expected)
        largest = max(gradient.norm().item() for gradient in plain.values())
        for name, gradient in plain.items():
            error = (found[name] - gradient).norm()
            self.assertLess(error, 1e-4 * max(gradient.norm().item(), largest * 1e-2), name)


def translator(architecture, dropout=0.0):
    """(model, arguments)"""
    torch.manual_seed(3)
    args = translation.checkpoint_args(argparse.Namespace(
        architecture=architecture, dim=64, hidden=64, ffn=96, z_dim=32, n_dim=4, layers=2,
        decoder_layers=2, positions=64, dropout=dropout, chunk=8), ('en', 'de'))
    return TranslationModel(args, SYMBOLS), args


class Translators(SameGradients):
    def test_flat_batches_compute_the_padded_model(self):
        for architecture in translation.ARCHITECTURES:
            with self.subTest(architecture=architecture):
                model, _ = translator(architecture)
                pairs = sentences(12) + [([EOS], [EOS]), ([5] * 39 + [EOS], [EOS])]
                shape = flat.Shape(384, 384, 48, 40)
                loss = flat.FlatTranslator(model, shape, 0.0, torch.float32).loss(shape.lay(pairs))
                source, previous, target = (
                    torch.nn.utils.rnn.pad_sequence(list(map(torch.tensor, rows)), True, PAD)
                    for rows in ([a for a, _ in pairs], [[EOS] + b[:-1] for _, b in pairs],
                                 [b for _, b in pairs]))
                self.assert_same(model, loss, F.cross_entropy(
                    model(source, previous).transpose(1, 2), target, ignore_index=PAD))

    def test_converted_models_give_the_same_logits(self):
        for architecture in translation.ARCHITECTURES:
            with self.subTest(architecture=architecture), tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                model, args = translator(architecture)
                path = convert(folder, {'model': model.state_dict(), 'args': args}, SYMBOLS)
                model.eval()
                for source, target in sentences(4, 40):
                    with torch.no_grad():
                        expected = model(torch.tensor([source]), torch.tensor([target]))[0]
                    found = forward(folder, path, source=source, target=target)
                    self.assertLess((found - expected).abs().max(), TOLERANCE)

    @staticmethod
    def write_pairs(path):
        chance = random.Random(1)
        words = {'one': 'eins', 'two': 'zwei', 'three': 'drei', 'four': 'vier', 'five': 'fünf'}
        lines = [chance.choices(list(words), k=chance.randrange(2, 7)) for _ in range(400)]
        path.write_text(''.join(f'{" ".join(line)} .\t{" ".join(words[word] for word in line)} .\n'
                                for line in lines), encoding='utf-8')

    @staticmethod
    def train(pairs, out, architecture, steps, *more):
        """Run the recipe; return the weights of final.pt."""
        out.mkdir(exist_ok=True)
        translate.main([
            '--pairs', str(pairs), '--out', str(out), '--architecture', architecture, '--steps',
            str(steps), '--batch', '96', '--dim', '64', '--hidden', '64', '--ffn', '64', '--layers',
            '1', '--decoder-layers', '1', '--bleu', '4', '--merges', '20', '--chunk', '4',
            '--decay-part', '0', '--convert', str(BUILD / 'mega-convert'), *more])
        return weights(out / 'final.pt')

    def test_the_recipe_from_pairs_to_a_translation(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            self.write_pairs(folder / 'pairs.tsv')
            for architecture in translation.ARCHITECTURES:
                with self.subTest(architecture=architecture):
                    out = folder / architecture
                    self.train(folder / 'pairs.tsv', out, architecture, 3)
                    answer = run('mega-run', 'translate', '-q', '-m', out / 'final.mega',
                                 'one two .')
                    self.assertTrue(answer.endswith('\n'))
                    self.assertTrue((out / 'curve.svg').exists())

    def test_what_is_wrong_is_said_in_a_sentence(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            self.write_pairs(folder / 'pairs.tsv')
            self.train(folder / 'pairs.tsv', folder / 'out', 'mega', 1)
            (folder / 'list.tsv').write_text('no tab\n')
            (folder / 'utf-16.tsv').write_text('a\tb\n', encoding='utf-16')
            (folder / 'few.tsv').write_text('a\tb\n')
            (folder / 'file').write_text('')
            for pairs, out, more, message in (
                    ('list.tsv', 'new', [], 'list.tsv: line 1 has no tab, which separates'),
                    ('utf-16.tsv', 'new', [], 'utf-16.tsv is not text in UTF-8'),
                    ('few.tsv', 'new', [], 'few.tsv has too few pairs: '),
                    ('none.tsv', 'new', [], 'none.tsv: No such file or directory'),
                    ('pairs.tsv', 'out', [], 'out has a run already: --resume goes on with it'),
                    ('pairs.tsv', 'out', ['--resume', '--dim', '96'], 'a model of other sizes'),
                    ('pairs.tsv', 'new', ['--convert', 'nowhere'], 'nowhere: there is no such')):
                with self.subTest(message), self.assertRaises(SystemExit) as raised, \
                        contextlib.redirect_stdout(io.StringIO()):
                    self.train(folder / pairs, folder / out, 'mega', 2, *more)
                self.assertIn(message, str(raised.exception))
            with self.assertRaises(SystemExit) as raised:
                translate.main(['--pairs', str(folder / 'pairs.tsv'), '--out',
                                str(folder / 'file')])
            self.assertIn('file: File exists', str(raised.exception))

    def test_a_resumed_run_equals_an_unbroken_one(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            self.write_pairs(folder / 'pairs.tsv')
            for architecture in translation.ARCHITECTURES:
                with self.subTest(architecture=architecture):
                    given = folder / 'pairs.tsv', folder / f'{architecture}-1', architecture
                    unbroken = self.train(*given, 7)
                    given = folder / 'pairs.tsv', folder / f'{architecture}-2', architecture
                    self.train(*given, 3)
                    resumed = self.train(*given, 7, '--resume')
                    for key, tensor in unbroken.items():
                        self.assertTrue(torch.equal(tensor, resumed[key]), key)


class LanguageModels(SameGradients):
    def model(self, architecture, *more):
        options = language.parse([
            '--text', 'x', '--out', 'y', '--architecture', architecture, '--dim', '64', '--hidden',
            '64', '--ffn', '96', '--z-dim', '32', '--n-dim', '4', '--layers', '2', '--chunk', '8',
            '--length', '32', *more])
        args = language.model_args(options)
        torch.manual_seed(3)
        return LanguageModel(args, SYMBOLS), args

    def test_converted_models_give_the_same_logits(self):
        for architecture in language.ARCHITECTURES:
            with self.subTest(architecture=architecture), tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                model, args = self.model(architecture)
                path = convert(folder, {'model': model.state_dict(), 'args': args}, SYMBOLS)
                model.eval()
                for length in (1, 8, 21, 32):
                    ids = [EOS, *range(4, 3 + length)]
                    with torch.no_grad():
                        expected = model(torch.tensor([ids]))[0]
                    found = forward(folder, path, source=ids)
                    self.assertLess((found - expected).abs().max(), TOLERANCE)

    def test_flat_windows_compute_the_plain_model(self):
        """That holds also if averages carry states, and if the last chunk is not full."""
        generator = torch.Generator().manual_seed(1)
        for architecture in language.ARCHITECTURES:
            for length, chunk in ((24, 8), (21, 8), (flat.SCANNED + 13, 48)):
                with self.subTest(architecture=architecture, length=length):
                    model, _ = self.model(architecture, '--length', str(length), '--chunk',
                                          str(chunk), '--dropout', '0')
                    x, y = torch.randint(4, SYMBOLS, (2, 3, length), generator=generator)
                    fast = flat.FlatLanguageModel(model, length, 0.0, torch.float32)
                    self.assert_same(model, fast.loss((x, y), 0.1), F.cross_entropy(
                        model(x).transpose(1, 2), y, label_smoothing=0.1))

    def train(self, folder, architecture, steps, *more):
        """(weights of final.pt, what the run prints)"""
        text = folder / 'text.txt'
        chance = random.Random(3)
        text.write_text(''.join(chance.choice('abcd e\n') for _ in range(1600)))
        options = language.parse([
            '--text', str(text), '--out', str(folder), '--architecture', architecture, '--dim',
            '64', '--hidden', '64', '--ffn', '64', '--z-dim', '32', '--layers', '1', '--chunk', '8',
            '--length', '16', '--steps', str(steps), '--decay-part', '0', '--logit-scale', '1',
            *more])
        options.valid_minutes, options.convert = 9, None
        torch.manual_seed(options.seed)
        with contextlib.redirect_stdout(io.StringIO()) as told:
            language.train_on(language.read(options.data), options)
        return weights(folder / 'final.pt'), told.getvalue()

    def assert_equal(self, first, second):
        for name, tensor in first.items():
            self.assertTrue(torch.equal(tensor, second[name]), name)

    def test_a_resumed_run_equals_an_unbroken_one(self):
        for architecture in language.ARCHITECTURES:
            with self.subTest(architecture=architecture), \
                    tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
                unbroken, _ = self.train(pathlib.Path(one), architecture, 15)
                self.train(pathlib.Path(two), architecture, 4)
                resumed, _ = self.train(pathlib.Path(two), architecture, 15, '--resume')
                self.assert_equal(unbroken, resumed)

    def test_a_run_begins_with_the_weights_of_another_and_reads_further_texts(self):
        for architecture in language.ARCHITECTURES:
            with self.subTest(architecture=architecture), \
                    tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
                folder = pathlib.Path(one)
                earlier, told = self.train(folder, architecture, 2)
                self.assertIn('1296 characters to train on, 144 held out, 160 to test', told)
                further = folder / 'further.txt'
                further.write_text('xyz abc\n' * 50)
                begun, told = self.train(
                    pathlib.Path(two), architecture, 1, '--start', str(folder / 'final.pt'),
                    '--also', str(further), str(further), '--lr', '0', '--muon-lr', '0')
                self.assert_equal(earlier, begun)
                self.assertIn('1796 characters to train on, 144 held out', told)
                with tempfile.TemporaryDirectory() as three:
                    _, told = self.train(pathlib.Path(three), architecture, 1, '--start',
                                         str(folder / 'final.pt'), '--valid', str(further))
                self.assertIn('1440 characters to train on, 250 held out, 160 to test', told)
                (folder / 'short.txt').write_text('abc')
                with self.assertRaisesRegex(inputs.Problem, 'short.txt has 3 characters, which'):
                    self.train(pathlib.Path(two), architecture, 1, '--valid',
                               str(folder / 'short.txt'))
                with self.assertRaisesRegex(training.Mismatch, 'of a model of other sizes'):
                    self.train(pathlib.Path(two), architecture, 1, '--start',
                               str(folder / 'final.pt'), '--ffn', '96')

    def test_the_recipe_from_a_text_to_more_of_it(self):
        text = 'To be,\0 or not\u2581to be:\tthat is the\xa0\ufeffquestion.\r\n\u23ce' * 40
        for architecture in language.ARCHITECTURES:
            with self.subTest(architecture=architecture), tempfile.TemporaryDirectory() as name:
                out = pathlib.Path(name)
                (out / 'text.txt').write_bytes(b'\xef\xbb\xbf' + text.encode())
                options = language.parse([
                    '--text', str(out / 'text.txt'), '--out', name, '--architecture', architecture,
                    '--dim', '64', '--hidden', '64', '--ffn', '64', '--z-dim', '32', '--layers',
                    '1', '--chunk', '8', '--length', '16', '--steps', '3', '--convert',
                    str(BUILD / 'mega-convert')])
                options.valid_minutes = 9
                language.train_on(language.read(options.data), options)
                answer = run('mega-run', 'generate', '-m', out / 'final.mega', '-p', 'To be',
                             '--greedy', '--max-tokens', '4')
                self.assertGreaterEqual(len(answer), 4)

    def test_losses_of_several_factors(self):
        model, _ = self.model('mega-chunk')
        ids = torch.randint(4, SYMBOLS, (100,), generator=torch.Generator().manual_seed(1))
        plain, doubled = language.nats(model, ids, 16, (1.0, 2.0))
        self.assertGreater(plain, 0)
        self.assertNotAlmostEqual(plain, doubled, places=3)
        self.assertIn(language.best_factor(model, ids, 16), [i / 100 for i in range(50, 121)])


if __name__ == '__main__':
    unittest.main()
