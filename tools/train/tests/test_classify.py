"""Recipes for data of one's own: every architecture trains, converts, and computes the same."""

import gzip
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest
import wave
import xml.etree.ElementTree

os.environ['OMP_NUM_THREADS'] = '1'
os.environ.setdefault('MALLOC_CONF', 'thp:default')  # keeps recipes from restarting Python
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import numpy  # noqa: E402
from PIL import Image  # noqa: E402
import torch  # noqa: E402

import baselines  # noqa: E402
import cifar10  # noqa: E402
import classifiers  # noqa: E402
import classify  # noqa: E402
import curve  # noqa: E402
import inputs  # noqa: E402
import training  # noqa: E402
import twins  # noqa: E402

BUILD = pathlib.Path(os.environ.get('BUILD', pathlib.Path(__file__).parents[3] / 'build'))
TOLERANCE = 1e-4


def write_texts(folder, chance):
    """Write texts of two classes, of many lengths; one is much longer than the model takes."""
    for label, usual in (('good', 'fine lovely nice'), ('bad', 'poor dull grim')):
        for number in range(30):
            count = chance.randrange(1, 60) if number else 400
            words = [chance.choice(f'{usual} the a of film'.split()) for _ in range(count)]
            path = folder / label / f'{number}.txt'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(' '.join(words).encode() + b'\r\n' * (number % 2))
    return folder


def write_sounds(folder, chance):
    """Write low and high tones of different lengths at 8 kHz, with a manifest that has splits."""
    rows = ['label\tpath\tsplit\tspeaker']
    for number in range(44):
        label = ('low', 'high')[number % 2]
        count = chance.randrange(300, 900)
        time = numpy.arange(count) / 8000
        tone = numpy.sin(2 * numpy.pi * (300 if label == 'low' else 1500) * time)
        samples = (9000 * tone + 500 * numpy.random.default_rng(number).standard_normal(count))
        with wave.open(str(folder / f'{number}.wav'), 'wb') as file:
            file.setparams((1, 2, 8000, count, 'NONE', ''))
            file.writeframes(samples.astype('<i2').tobytes())
        part = ('train', 'valid', 'test')[max(0, number - 37) // 3]
        rows.append(f'{label}\t{number}.wav\t{part}\tx')
    (folder / 'list.tsv').write_text('\n'.join(rows) + '\n', encoding='utf-8')
    return folder / 'list.tsv'


def write_pictures(folder, chance):
    """Write red and blue pictures of different sizes, some of which are transparent in part."""
    for number in range(40):
        label, colour = (('red', (200, 40, 30)), ('blue', (20, 60, 210)))[number % 2]
        size = chance.randrange(9, 50), chance.randrange(9, 50)
        noise = numpy.random.default_rng(number).integers(-20, 20, (size[1], size[0], 3))
        pixels = (numpy.array(colour) + noise).astype(numpy.uint8)
        picture = Image.fromarray(pixels)
        if number % 5 == 0:
            picture.putalpha(Image.new('L', size, 90))
        path = folder / label / f'{number}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    return folder


WRITERS = {'text': write_texts, 'sound': write_sounds, 'picture': write_pictures}
SMALL = ['--dim', '32', '--layers', '2', '--batch', '8', '--warmup', '2', '--minutes', '9',
         '--dtype', 'f32', '--convert', str(BUILD / 'mega-convert')]
CHUNKS = {'text': '16', 'sound': '4', 'picture': '32'}


def mega_run(*arguments):
    return subprocess.run([BUILD / 'mega-run', *map(str, arguments)], stdout=subprocess.PIPE,
                          check=True, text=True).stdout


class Erased(unittest.TestCase):
    def test_one_square_of_every_picture_is_left_out(self):
        pictures = torch.ones(300, 3, 32, 32)
        erased = cifar10.erase(pictures, torch.Generator().manual_seed(1), 8) == 0
        self.assertTrue(torch.equal(erased[:, 0], erased[:, 2]))
        rows, columns = erased[:, 0].any(2).sum(1), erased[:, 0].any(1).sum(1)
        self.assertTrue(torch.equal(erased[:, 0].sum((1, 2)), rows * columns))
        self.assertEqual((rows.min().item(), rows.max().item()), (4, 8))
        kept = cifar10.erase(pictures, torch.Generator().manual_seed(1), 0)
        self.assertTrue(torch.equal(kept, pictures))


class Architectures(unittest.TestCase):
    def train(self, kind, architecture, folder, *more):
        """Train for some steps on files in FOLDER/data; the results are in FOLDER/out."""
        source, out = folder / 'data', folder / 'out'
        if not source.exists():
            source.mkdir()
            self.source = WRITERS[kind](source, random.Random(3))
        out.mkdir(exist_ok=True)
        options = classify.parse(['--data', str(self.source), '--out', str(out), '--architecture',
                                  architecture, *SMALL, '--chunk', CHUNKS[kind], '--steps', '4',
                                  '--size', '16', *more])
        torch.manual_seed(options.seed)
        options.valid_minutes = 9
        classify.train(options, training.load_flat())
        return out

    def check(self, kind, architecture, *more):
        """Check that mega-run classifies files as PyTorch does, by the .mega file alone."""
        kept = {}

        def keep(model, data, part, labels, texts=None):
            kept.update(model=model, data=data)
            return measure(model, data, part, labels, texts)

        measure = classify.evaluate
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            classify.evaluate = keep
            try:
                out = self.train(kind, architecture, folder, *more)
            finally:
                classify.evaluate = measure
            _, labels, parts = inputs.list_files(self.source)
            rows = parts['valid'] + parts['test'] + parts['train'][:12]
            place = [('valid', i) for i in range(len(parts['valid']))]
            place += [('test', i) for i in range(len(parts['test']))]
            place += [('train', i) for i in range(12)]
            model = kept['model'].eval()
            for (path, _), (part, number) in zip(rows, place):
                with torch.no_grad():
                    expected = model(*kept['data'].batch(part, [number]))[0].softmax(0)
                found = json.loads(mega_run('classify', '-m', out / 'final.mega', '--json', '--top',
                                            len(labels), path))
                for entry in found['top']:
                    self.assertEqual(entry['label'], labels[entry['index']])
                    self.assertAlmostEqual(entry['probability'], expected[entry['index']].item(),
                                           delta=TOLERANCE, msg=f'{path}')
            evaluated = json.loads(mega_run('eval', '-m', out / 'final.mega', '--json', '--split',
                                            'valid', out / 'files.tsv'))
            numbers = torch.tensor([labels.index(label) for _, label in parts['valid']])
            expected = measure(model, kept['data'], 'valid', numbers)[0]
            self.assertAlmostEqual(100 * evaluated['accuracy'], expected, delta=1e-3)
            self.assertEqual(evaluated['errors'], 0)
            about = json.loads(mega_run('inspect', '--json', out / 'final.mega'))['metadata']
            self.assertEqual(about['general.name'], 'out')
            curve_file = xml.etree.ElementTree.parse(out / 'curve.svg')
            self.assertTrue(curve_file.getroot().tag.endswith('svg'))

    def test_texts(self):
        for architecture in classifiers.ARCHITECTURES:
            for unit in ('word', 'byte'):
                with self.subTest(architecture=architecture, unit=unit):
                    self.check('text', architecture, '--unit', unit, '--length', '96')

    def test_texts_with_hints(self):
        for architecture in ('mega', 'mega-chunk'):
            with self.subTest(architecture=architecture):
                self.check('text', architecture, '--unit', 'byte', '--length', '96', '--hints', '1')

    def test_hints_that_cannot_be_given_are_refused(self):
        for more in (['--unit', 'word'], ['--unit', 'byte', '--padded'],
                     ['--unit', 'byte', '--architecture', 's4']):
            with tempfile.TemporaryDirectory() as name, \
                    self.assertRaisesRegex(inputs.Problem, '--hints are for texts of bytes'):
                self.train('text', 'mega', pathlib.Path(name), '--hints', '1', *more)

    def test_sounds(self):
        for architecture in classifiers.ARCHITECTURES:
            with self.subTest(architecture=architecture):
                self.check('sound', architecture)

    def test_raw_sounds(self):
        for architecture in classifiers.ARCHITECTURES:
            with self.subTest(architecture=architecture):
                self.check('sound', architecture, '--hop', '16', '--frame', '16', '--plain-start')

    def test_pictures(self):
        for architecture in classifiers.ARCHITECTURES:
            with self.subTest(architecture=architecture):
                self.check('picture', architecture)

    def test_pixels_of_mega(self):
        self.check('picture', 'mega', '--pixels')

    def test_a_resumed_run_equals_an_unbroken_one(self):
        for kind, architecture in (('text', 's4'), ('text', 'mega'), ('sound', 'mega-chunk'),
                                   ('picture', 'transformer')):
            with self.subTest(kind=kind, architecture=architecture), \
                    tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
                states = []
                for folder, runs in ((pathlib.Path(one), [11]), (pathlib.Path(two), [3, 11])):
                    for steps in runs:
                        out = self.train(kind, architecture, folder, '--steps', str(steps),
                                         '--decay-part', '0', '--resume')
                    states.append(torch.load(out / 'last.pt'))
                for key in ('model', 'average'):
                    for name, tensor in states[0][key].items():
                        self.assertTrue(torch.equal(tensor, states[1][key][name]), name)


class Data(unittest.TestCase):
    def fails(self, message, manifest=None, **files):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for file, content in files.items():
                (folder / file).write_bytes(content)
            path = folder
            if manifest is not None:
                path = folder / 'list.tsv'
                path.write_text(manifest, encoding='utf-8')
            with self.assertRaisesRegex((inputs.Problem, OSError), message):
                inputs.list_files(path)

    def test_what_is_wrong_with_a_manifest_is_said(self):
        self.fails('first line must name', 'file\tlabel\nx\ty\n')
        self.fails('line 3 has 1 columns instead of 2', 'path\tlabel\na\tx\nb\n', a=b'text')
        self.fails('split "exam" is none of', 'path\tlabel\tsplit\na\tx\texam\n', a=b'text')
        self.fails('No such file', 'path\tlabel\nmissing\tx\n')
        self.fails('has no files', 'path\tlabel\n')
        self.fails('1 classes', 'path\tlabel\na\tx\n', a=b'text')
        self.fails('must be of one kind, and there are several: .*a .text., .*b .picture.',
                   'path\tlabel\na\tx\nb\ty\n', a=b'text',
                   b=b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR')
        self.fails('is not sound, a picture or text: it has NUL bytes and begins with 7f 45 4c 46',
                   'path\tlabel\na\tx\n', a=b'\x7fELF\0\0')
        self.fails('has no files')

    def test_a_folder_may_be_divided_into_splits(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for path in ('train/a/1', 'train/a/x/2', 'train/b/1', 'val/a/3', 'val/b/3', 'test/b/4',
                         '.cache/a/5', 'train/.hidden/6', 'train/a/.7'):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text('a text')
            kind, labels, parts = inputs.list_files(folder)
            self.assertEqual((kind, labels), ('text', ['a', 'b']))
            found = {part: [str(file.relative_to(folder)) for file, _ in rows]
                     for part, rows in parts.items()}
            self.assertEqual(found, {'train': ['train/a/1', 'train/a/x/2', 'train/b/1'],
                                     'valid': ['val/a/3', 'val/b/3'], 'test': ['test/b/4']})
            # Next to a folder that is not a split, folders named like splits are classes.
            (folder / 'other').mkdir()
            (folder / 'other' / 'file').write_text('a text')
            self.assertEqual({label for _, label, _ in inputs.read_folder(folder)},
                             {'train', 'val', 'test', 'other'})
            # They also are classes if they hold files and no folders.
            for label in ('train', 'test'):
                (folder / 'flat' / label).mkdir(parents=True)
                (folder / 'flat' / label / 'file').write_text('a text')
            self.assertEqual({label for _, label, _ in inputs.read_folder(folder / 'flat')},
                             {'train', 'test'})

    def test_lists_of_files_are_written_for_mega_run(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name).resolve()
            parts = {'train': [(folder / 'ä b', 'x'), (folder / 'tab\there', 'x'),
                               (folder / 'line\nend', 'x'), (folder / 'bytes\udcff', 'x')],
                     'valid': [(folder / 'c', 'y')]}
            inputs.write_manifest(parts, folder / 'files.tsv')
            self.assertEqual(inputs.read_manifest(folder / 'files.tsv'),
                             [(folder / 'ä b', 'x', 'train'), (folder / 'c', 'y', 'valid')])

    def test_files_that_are_no_text_are_named(self):
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name, 'a.txt')
            packed = pathlib.Path(name, 'a.gz')
            for file, content, message in (
                    (path, 'path\tlabel\n'.encode('utf-16'),
                     'a.txt is not text in UTF-8: the byte 0xff is invalid'),
                    (packed, gzip.compress(b'ab\xc3'),
                     'a.gz is not text in UTF-8: the byte 0xc3 is invalid'),
                    (packed, b'not packed', 'a.gz is not a gzipped file, or is damaged'),
                    (packed, gzip.compress(b'a text')[:-9], 'a.gz is not a gzipped file, or is'),
                    (packed, gzip.compress(bytes(9))[:10] + b'\xff' * 30, 'a.gz is not a gzipped')):
                file.write_bytes(content)
                with self.assertRaisesRegex(inputs.Problem, message):
                    inputs.read_utf8(file)
            packed.write_bytes(gzip.compress('\ufeffeins\r\nzwei'.encode()))
            self.assertEqual(inputs.read_utf8(packed), 'eins\nzwei')

    def test_texts_that_begin_like_other_files_are_texts(self):
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name, 'x')
            for content in (b'BMW is fine', b'FORM 10-K', b'ID3 tags', b'RIFF raff', b''):
                path.write_bytes(content)
                self.assertEqual(inputs.kind_of(path), 'text')

    def test_a_tenth_is_held_out_whatever_the_order(self):
        rows = [(pathlib.Path(f'{i}.txt'), str(i % 3), '') for i in range(200)]
        parts, other = inputs.divide(rows), inputs.divide(rows[::-1])
        self.assertEqual(len(parts['valid']), 20)
        self.assertEqual(sorted(parts['valid']), sorted(other['valid']))
        self.assertFalse(set(parts['train']) & set(parts['valid']))
        self.assertEqual(len(parts['train']), 180)

    def test_words_where_they_are_common_else_bytes(self):
        common, rare = [b'a few words again'] * 9, [str(i).encode() for i in range(200)]
        self.assertEqual(inputs.Units.choose(None, common, False).unit, 'word')
        self.assertEqual(inputs.Units.choose(None, rare, False).unit, 'byte')
        self.assertEqual(inputs.Units.choose('byte', common, True).encode(b'a\r\n', 9), [100, 2])
        self.assertEqual(inputs.Units.choose('word', common, False).encode(b'a few', 2), [4, 2])


class Kernels(unittest.TestCase):
    def test_kernels_of_s4_are_those_of_its_recurrence(self):
        """K[l] = C A^l B with dense matrices, where C is computed from the stored tensor."""
        torch.manual_seed(5)
        length = 24
        kernel = baselines.Kernel(3, 8, length)
        found = kernel.kernels(torch.float64).detach()

        def both(x):
            return torch.cat([x, x.conj()], -1)

        b, p = (both(torch.view_as_complex(x.detach().double())[0, 0])
                for x in (kernel.B, kernel.P))
        pole = torch.complex(-kernel.A_real.double().exp(), -kernel.A_imag.double())[0].detach()
        a = torch.diag(both(pole)) - torch.outer(p, p.conj())
        identity = torch.eye(len(b), dtype=a.dtype)
        for feature in range(3):
            dt = torch.nn.functional.softplus(kernel.inv_dt[feature].double()).item()
            inverse = torch.linalg.inv(identity - dt / 2 * a)
            step, first = inverse @ (identity + dt / 2 * a), inverse @ b * dt
            for direction in range(2):
                c = both(torch.view_as_complex(kernel.C.detach().double())[direction, feature])
                whole = torch.linalg.matrix_power(step, length)
                c = torch.linalg.solve((identity - whole).T, c)
                for lag in range(length):
                    self.assertAlmostEqual((c @ first).real.item(),
                                           found[direction, feature, lag].item(), delta=1e-5)
                    first = step @ first
                first = inverse @ b * dt

    def test_poles_of_legendre_are_stable_and_in_pairs(self):
        poles, b, p = baselines.legendre(16)
        n = torch.arange(16, dtype=torch.float64)
        root = (2 * n + 1).sqrt()
        a = -torch.outer(root, root).tril(-1) - torch.diag(n + 1)
        both = torch.cat([poles, poles.conj()])
        both_p = torch.cat([p, p.conj()])
        rebuilt = torch.diag(both) - torch.outer(both_p, both_p.conj())
        ours, theirs = (torch.linalg.eigvals(m).real.sort().values for m in (rebuilt, a))
        self.assertAlmostEqual(rebuilt.diagonal().sum().real.item(), a.diagonal().sum().item(),
                               delta=1e-6)
        self.assertLess(ours.max(), 0)
        self.assertLess(theirs.max(), 0)
        self.assertEqual(len(b), 8)


class Twins(unittest.TestCase):
    FORMS = {'listops': (classifiers.Tokens(19, 1024, 1), 10),
             'imdb': (classifiers.Tokens(260, 1024, 1), 2),
             'pathfinder': (classifiers.Pixels(32, 0.5, 0.5), 2),
             'cifar10': (classifiers.Pixels(32, 0.5, 0.5), 10),
             'speech': (classifiers.Frames(16, 16, 1000, 16000, 0.0, 1.0), 12)}

    def test_systems_of_a_task_have_about_as_many_parameters(self):
        for task, (form, classes) in self.FORMS.items():
            counts = {}
            for system in twins.systems_of(task):
                _, given = twins.command(task, system, pathlib.Path('x'), 1, 1)
                options = classify.parse(given)
                sizes = classifiers.sizes_of(system, options.dim, options.layers, options.dropout)
                built = classifiers.build(system, form, sizes, [str(i) for i in range(classes)],
                                          options.chunk)
                counts[system] = sum(p.numel() for p in built.model.parameters())
            middle = sum(counts.values()) / len(counts)
            for system, count in counts.items():
                self.assertLess(abs(count / middle - 1), 0.1, f'{task}: {counts}')
                self.assertTrue(200_000 < count < 400_000, counts)

    def test_language_models_have_about_as_many_parameters(self):
        import language
        from sequence import LanguageModel
        counts = {}
        for system in twins.systems_of('characters'):
            recipe, given = twins.command('characters', system, pathlib.Path('x'), 1, 1)
            self.assertIs(recipe, language)
            options = language.parse(given)
            model = LanguageModel(language.model_args(options), 72)
            counts[system] = sum(p.numel() for p in model.parameters())
        middle = sum(counts.values()) / len(counts)
        for count in counts.values():
            self.assertLess(abs(count / middle - 1), 0.1, counts)


class Curve(unittest.TestCase):
    def test_ticks_are_round_and_inside(self):
        self.assertEqual(curve.ticks(0.0, 1.0), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0])
        self.assertEqual(curve.ticks(13.0, 57.0), [20, 30, 40, 50])
        self.assertTrue(curve.ticks(2.0, 2.0))

    def test_every_figure_has_a_panel(self):
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name, 'c.svg')
            curve.draw([{'minutes': 1.0, 'loss': 2.0, 'a < b': 50.0},
                        {'minutes': 2.0, 'loss': float('nan'), 'a < b': 60.0},
                        {'minutes': 3.0, 'loss': 1.0}], path)
            root = xml.etree.ElementTree.parse(path).getroot()
        lines = root.findall('{http://www.w3.org/2000/svg}polyline')
        self.assertEqual(len(lines), 2)
        self.assertEqual([len(line.get('points').split()) for line in lines], [2, 2])


if __name__ == '__main__':
    unittest.main()
