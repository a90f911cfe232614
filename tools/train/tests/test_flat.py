"""Flat batches give the losses and gradients of sequence.py, and training can be resumed."""

import argparse
import contextlib
import io
import itertools
import os
import pathlib
import random
import signal
import sys
import tempfile
import unittest
from unittest import mock

os.environ['OMP_NUM_THREADS'] = '1'  # processes that fork have one thread
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import classifiers  # noqa: E402
import flat  # noqa: E402
import language  # noqa: E402
import mega  # noqa: E402
from sequence import EOS, PAD, TranslationModel  # noqa: E402
import training  # noqa: E402
from translation import model_args  # noqa: E402

SYMBOLS = 64


def make_model(dropout=0.0):
    torch.manual_seed(3)
    args = model_args(argparse.Namespace(dim=32, hidden=64, ffn=64, z_dim=32, n_dim=4, layers=2,
                                         positions=64, dropout=dropout))
    return TranslationModel(args, SYMBOLS)


def make_pairs(count, longest=21):
    chance = random.Random(5)

    def sentence():
        return [chance.randrange(4, SYMBOLS) for _ in range(chance.randrange(longest))] + [EOS]

    return [(sentence(), sentence()) for _ in range(count)]


def plain_loss(model, pairs, smoothing):
    """The loss of the padded model of sequence.py."""
    def padded(sentences):
        return torch.nn.utils.rnn.pad_sequence(list(map(torch.tensor, sentences)), True, PAD)

    logits = model(padded([a for a, _ in pairs]), padded([[EOS] + b[:-1] for _, b in pairs]))
    return F.cross_entropy(logits.transpose(1, 2), padded([b for _, b in pairs]),
                           label_smoothing=smoothing, ignore_index=PAD)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: param.grad.clone() for name, param in model.named_parameters()}


class FlatModel(unittest.TestCase):
    def compare(self, kind, tolerance):
        """Compare losses, and gradients relative to their own norm."""
        model, pairs = make_model(), make_pairs(14) + [([EOS], [EOS]), ([5] * 39 + [EOS], [EOS])]
        shape = flat.Shape(384, 384, 48, 40)
        translator = flat.FlatTranslator(model, shape, 0.0, kind)
        loss = translator.loss(shape.lay(pairs), 0.1)
        expected = plain_loss(model, pairs, 0.1)
        self.assertAlmostEqual(loss.item(), expected.item(), delta=tolerance * expected.item())
        ours, theirs = gradients(model, loss), gradients(model, expected)
        for name, gradient in theirs.items():
            error = (ours[name] - gradient).norm() / max(gradient.norm(), 1e-2)
            self.assertLess(error, tolerance * 10, name)

    def test_float32_equals_the_padded_model(self):
        self.compare(torch.float32, 1e-5)

    def test_bfloat16_is_near_the_padded_model(self):
        self.compare(torch.bfloat16, 1e-2)

    def compare_classifiers(self, chunk, kind, tolerance):
        """Compare logits and gradients of texts that are shorter and longer than a chunk."""
        torch.manual_seed(5)
        sizes = classifiers.sizes_of('mega', 32, 2, 0.0)
        form = classifiers.Tokens(SYMBOLS, 200, PAD)
        model = classifiers.build('mega-chunk' if chunk else 'mega', form, sizes, 'ab', chunk).model
        rows = [torch.randint(4, SYMBOLS, (length,)) for length in (1, 150, 16, 33, 200)]
        padded = torch.nn.utils.rnn.pad_sequence(rows, True, PAD)
        expected = model(padded, (padded != PAD).float().unsqueeze(-1))
        classifier, texts = flat.FlatClassifier(model, 200, 0.0, kind), flat.Texts.of(rows)
        logits = classifier.logits(classifier.states(texts), texts)
        self.assertLess((logits - expected).abs().max(), tolerance * expected.abs().max())
        towards = torch.randn(expected.shape)
        ours, theirs = (gradients(model, (y * towards).sum()) for y in (logits, expected))
        for name, gradient in theirs.items():
            error = (ours[name] - gradient).norm() / max(gradient.norm(), 1e-2)
            self.assertLess(error, tolerance * 10, name)

    def test_classifiers_equal_the_padded_model(self):
        for chunk in (None, 16):
            self.compare_classifiers(chunk, torch.float32, 1e-5)
            self.compare_classifiers(chunk, torch.bfloat16, 2e-2)

    def series(self, chunk, truncation, samples):
        """(model, inputs) of a classifier of frames of two samples"""
        args = argparse.Namespace(
            encoder_embed_dim=32, norm_type='layernorm', input_type='frames', frame_length=4,
            frame_hop=2, normalize_embedding=True, encoder_hidden_dim=64, encoder_ffn_embed_dim=64,
            z_dim=32, n_dim=4, dropout=0.0, chunk_size=chunk, truncation_length=truncation,
            max_source_positions=samples // 2, encoder_layers=2, classifier_layers=1,
            classifier_out_dim=32, sentence_class_num=3)
        return mega.SequenceClassifier(args), torch.randn(4, samples)

    def test_clips_and_pictures_equal_the_plain_model(self):
        torch.manual_seed(6)
        pictures = mega.PatchClassifier(32, 64, 64, 32, 4, 2, 16, 4, 3), torch.randn(4, 3, 16, 16)
        cases = {'patches': pictures, 'chunks': self.series(10, 20, 80),
                 'everything': self.series(-1, 0, 80), 'states': self.series(100, 0, 600)}
        for name, (model, inputs) in cases.items():
            self.assertTrue(flat.FlatSeries.suits(model), name)
            expected = model(inputs)
            for kind, tolerance in ((torch.float32, 2e-5), (torch.bfloat16, 5e-2)):
                logits = flat.FlatSeries(model, 0.0, kind).logits(inputs)
                self.assertLess((logits - expected).abs().max() / expected.abs().max(), tolerance,
                                f'{name}, {kind}')
            fast = flat.FlatSeries(model, 0.0, torch.float32)
            ours = gradients(model, fast.logits(inputs).square().sum())
            theirs = gradients(model, model(inputs).square().sum())
            for place, gradient in theirs.items():
                error = (ours[place] - gradient).norm() / max(gradient.norm(), 1e-2)
                self.assertLess(error, 1e-4, f'{name}: {place}')

    def test_series_of_other_models_are_left_to_them(self):
        narrow, _ = self.series(10, 20, 80)
        narrow.layers[0].nffn = mega.FeedForward(32, 40, 'layernorm')
        self.assertFalse(flat.FlatSeries.suits(narrow))
        s4 = classifiers.build('s4', classifiers.Frames(4, 2, 40, 8000, 0.0, 1.0),
                               classifiers.sizes_of('s4', 32, 2, 0.0), ['a', 'b'], None)
        transformer = classifiers.build('transformer', classifiers.Pixels(8, 0.0, 1.0),
                                        classifiers.sizes_of('transformer', 32, 2, 0.0), ['a', 'b'],
                                        None)
        self.assertFalse(flat.FlatSeries.suits(s4.model))
        self.assertFalse(flat.FlatSeries.suits(transformer.model))

    def test_validation_loss_counts_every_target_once(self):
        model, pairs = make_model().eval(), make_pairs(40)
        translator = flat.FlatTranslator(model, flat.Shape(128, 128, 24, 24), 0.3, torch.float32)
        self.assertAlmostEqual(translator.mean_loss(pairs), plain_loss(model, pairs, 0.0).item(),
                               delta=1e-4)

    def test_gates_equal_their_formulas(self):
        """Values and gradients are compared without dropout, with columns of a matrix as gates."""
        torch.manual_seed(4)
        wide = (torch.randn(9, 80) * 8).requires_grad_()
        x, c = torch.randn(9, 32, requires_grad=True), torch.randn(9, 32, requires_grad=True)
        u = wide[:, 16:48]
        cases = ((flat.Silu.apply(c, torch.float32), F.silu(c)),
                 (flat.Gate.apply(x, u, 0, 0.0), x * F.silu(u)),
                 (flat.Mix.apply(x, u, c, 0, 0.0), x + torch.sigmoid(u) * (F.silu(c) - x)),
                 (flat.Drop.apply(x, torch.float32, 0, 0.0), x))
        towards = torch.randn(9, 32)
        for ours, theirs in cases:
            self.assertTrue(torch.allclose(ours, theirs, atol=2e-6), (ours - theirs).abs().max())
            for one, other in zip(*(torch.autograd.grad((y * towards).sum(), (x, c, wide),
                                                        retain_graph=True, materialize_grads=True)
                                    for y in (ours, theirs))):
                self.assertTrue(torch.allclose(one, other, atol=2e-6))

    def test_far_gates_are_closed_or_open(self):
        u = torch.tensor([[-1e30, -200.0, -90.0, 90.0, 200.0, 1e30, 0.0, 1.0] * 2])
        y = flat.Mix.apply(torch.ones(1, 16), u, torch.zeros(1, 16), 0, 0.0)
        self.assertTrue(torch.allclose(y, 1 - torch.sigmoid(u), atol=1e-6))

    def test_dropout_drops_the_same_in_its_gradient(self):
        x = torch.ones(400, 64, requires_grad=True)
        u, c = torch.full((400, 64), 40.0), torch.full((400, 64), 40.0)
        for kind in (torch.float32, torch.bfloat16):
            for function, last in ((lambda s: flat.Drop.apply(x, kind, s, 0.25), 1.0),
                                   (lambda s: flat.Silu.apply(x * 40, kind, s, 0.25), 40.0),
                                   (lambda s: flat.Gate.apply(x.to(kind), u, s, 0.25), 40.0),
                                   (lambda s: flat.Mix.apply(x, u, c * x, s, 0.25), 40.0)):
                y = function(123)
                grad, = torch.autograd.grad(y.float().sum(), x)
                self.assertTrue(torch.allclose(grad, y.float(), rtol=1e-2))
                self.assertAlmostEqual(y.max().item(), last / 0.75, delta=last / 100)
                self.assertTrue(torch.equal(y, function(123)))
                dropped, other = y == 0, function(124) == 0
                self.assertAlmostEqual(dropped.float().mean().item(), 0.25, delta=0.02)
                both = (dropped & other).float().mean().item()
                self.assertAlmostEqual(both, 0.25 ** 2, delta=0.02)

    def test_averages_by_states_equal_those_by_chunks(self):
        """Values and gradients are compared for sequences of several lengths in one batch."""
        torch.manual_seed(6)
        log_decay = -torch.rand(32, 5).add(1e-3).requires_grad_()
        weight = torch.randn(32, 5, requires_grad=True)
        lengths = (1, 70, 2, 131)
        offsets = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32)
        x, towards = torch.randn(sum(lengths), 32, requires_grad=True), torch.randn(204, 32)
        ours = flat.Scan.apply(x, log_decay.exp().t().contiguous(), weight.t().contiguous(),
                               offsets)
        theirs = torch.cat([mega.average_by_chunks(part[None], log_decay, weight)[0]
                            for part in x.split(lengths)])
        self.assertTrue(torch.allclose(ours, theirs, atol=1e-4))
        for one, other in zip(*(torch.autograd.grad((y * towards).sum(), (x, log_decay, weight))
                                for y in (ours, theirs))):
            self.assertLess((one - other).norm(), 1e-5 * other.norm())
        half = flat.Scan.apply(x.bfloat16(), log_decay.exp().t().contiguous(),
                               weight.t().contiguous(), offsets)
        self.assertLess((half - theirs).norm(), 1e-2 * theirs.norm())

    def test_more_states_than_fit_are_refused(self):
        offsets = torch.tensor([0, 2], dtype=torch.int32)
        many = torch.zeros(65, 16)
        with self.assertRaisesRegex(ValueError, '65 states are more than 64'):
            flat.Scan.apply(torch.zeros(2, 16), many, many, offsets)

    def test_channels_that_fill_no_vector_are_refused(self):
        offsets = torch.tensor([0, 2], dtype=torch.int32)
        with self.assertRaisesRegex(ValueError, '7 channels are not a multiple of [0-9]+, the floats'):
            flat.Average.apply(torch.zeros(2, 7), torch.zeros(3, 7), offsets, True)

    def test_distances_without_a_bias_are_refused(self):
        offsets = torch.tensor([0, 4], dtype=torch.int32)
        x = torch.zeros(4, 16)
        with self.assertRaisesRegex(ValueError, 'longer than the distances'):
            flat.Attend.apply(x, x, x, torch.zeros(5), offsets, offsets, True)


class Batches(unittest.TestCase):
    def test_every_pair_is_in_one_batch(self):
        pairs, shape = make_pairs(200), flat.Shape(128, 96, 24, 24)
        groups = list(shape.group(pairs))
        self.assertEqual(sum(groups, []), pairs)
        for group in groups:
            batch = shape.lay(group)
            self.assertEqual(batch.source.numel(), 128)
            self.assertEqual(batch.target.numel(), 96)
            self.assertEqual(batch.source_offsets.numel(), batch.target_offsets.numel())
            self.assertEqual(batch.source_offsets[-1], 128)
            self.assertEqual(batch.target_offsets[-1], 96)
            self.assertEqual(batch.count, sum(len(b) for _, b in group))

    def test_sentences_that_are_too_long_are_left_out(self):
        shape = flat.Shape(128, 96, 24, 24)
        self.assertEqual(list(shape.group([([4] * 25, [4]), ([4], [4] * 25)])), [])


class Fit(unittest.TestCase):
    def train(self, folder, steps, resume=False, processes=1, told_in=None):
        """Train with dropout; return weights and their average after ``steps`` steps.

        SIGTERM comes while the ``told_in``-th batch is made.
        """
        parser = training.common_options('')
        options = parser.parse_args(['--data', '.', '--out', folder, '--steps', str(steps),
                                     '--processes', str(processes), '--no-compile', '--warmup', '2',
                                     '--decay-part', '0', '--seed', '7']
                                    + ['--resume'] * resume)
        model, shape = make_model(0.1), flat.Shape(64, 64, 20, 24)
        translator = flat.FlatTranslator(model, shape, 0.1, torch.float32)

        def epoch_batches(epoch):
            pairs = make_pairs(60, 12)
            random.Random(epoch).shuffle(pairs)
            for group in shape.group(pairs):
                yield lambda: lay(group)

        batches = itertools.count(1)

        def lay(group):
            if next(batches) == told_in:
                os.kill(os.getpid(), signal.SIGTERM)
            return shape.lay(group)

        def export(average, path):
            torch.save(average.state_dict(), path)

        export.suffix = '.pt'
        average, _ = training.fit(model, options, epoch_batches, 10, lambda model: 0.0, export,
                                  loss=lambda batch: translator.loss(batch, 0.1))
        return model.state_dict() | {f'average {k}': v for k, v in average.state_dict().items()}

    def assert_equal(self, first, second):
        for name, tensor in first.items():
            self.assertTrue(torch.equal(tensor, second[name]), name)

    def test_a_resumed_run_equals_an_unbroken_one(self):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            unbroken = self.train(one, 17)
            self.train(two, 4)
            self.train(two, 13, resume=True)
            self.assert_equal(unbroken, self.train(two, 17, resume=True))

    def test_a_run_that_is_told_to_end_goes_on_later(self):
        for processes in (1, 2):
            with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
                unbroken = self.train(one, 5, processes=processes)
                self.train(two, 5, processes=processes, told_in=2)
                self.assertEqual(torch.load(pathlib.Path(two, 'last.pt'))['step'], 2)
                self.assert_equal(unbroken, self.train(two, 5, resume=True, processes=processes))

    def test_a_damaged_checkpoint_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            self.train(folder, 1)
            last = pathlib.Path(folder, 'last.pt')
            whole = last.read_bytes()
            for content in (whole[:len(whole) // 2], b'no checkpoint', b''):
                last.write_bytes(content)
                with self.assertRaisesRegex(training.Mismatch, 'last.pt is damaged, or is not a'):
                    self.train(folder, 2, resume=True)

    def test_two_processes_average_their_gradients_and_resume(self):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            unbroken = self.train(one, 6, processes=2)
            self.train(two, 3, processes=2)
            self.assert_equal(unbroken, self.train(two, 6, resume=True, processes=2))

    def test_dense_batches_and_their_own_loss(self):
        """The recipes of pictures and sounds use the loop so."""
        torch.manual_seed(2)
        inputs, labels = torch.randn(64, 8), torch.randint(0, 3, (64,))
        model = torch.nn.Linear(8, 3)
        before = F.cross_entropy(model(inputs), labels).item()
        with tempfile.TemporaryDirectory() as folder:
            options = training.common_options('').parse_args(
                ['--data', '.', '--out', folder, '--epochs', '20', '--no-compile', '--lr', '0.02'])

            def export(average, path):
                torch.save(average.state_dict(), path)

            export.suffix = '.pt'
            _, epochs = training.fit(model, options,
                                     lambda epoch: zip(inputs.split(16), labels.split(16)), 4,
                                     lambda model: 0.0, export)
        self.assertEqual(epochs, 20)
        self.assertLess(F.cross_entropy(model(inputs), labels).item(), before - 0.1)

    def test_a_report_begins_with_how_good_the_model_is(self):
        inputs, labels = torch.randn(12, 8), torch.randint(0, 3, (12,))
        with tempfile.TemporaryDirectory() as folder:
            options = training.common_options('').parse_args(
                ['--data', '.', '--out', folder, '--steps', '3', '--no-compile'])

            def export(average, path):
                pass

            export.suffix = '.pt'
            with contextlib.redirect_stdout(io.StringIO()) as told:
                training.fit(torch.nn.Linear(8, 3), options,
                             lambda epoch: zip(inputs.split(2), labels.split(2)), 6,
                             lambda model: {'held-out accuracy %': 50.0, 'held-out loss': 0.25},
                             export)
        self.assertRegex(told.getvalue(), r'^minute 0\.0 \(100 %\): held-out accuracy 50\.0 %, '
                         r'held-out loss 0\.25; training loss [\d.]+, gradient norm [\d.]+, '
                         r'step 3, epoch 0\.50\n$')

    def test_minutes_of_processor_time_leave_out_waiting(self):
        inputs, labels = torch.randn(12, 8), torch.randint(0, 3, (12,))
        for more, steps in ([], 1), (['--processor-time'], 5):
            clock = mock.Mock(monotonic=itertools.count(0, 60).__next__,
                              process_time=itertools.count(0, 12).__next__)
            with tempfile.TemporaryDirectory() as folder, \
                    mock.patch.object(training, 'time', clock):
                options = training.common_options('').parse_args(
                    ['--data', '.', '--out', folder, '--minutes', '1', '--no-compile', *more])

                def export(average, path):
                    pass

                export.suffix = '.pt'
                training.fit(torch.nn.Linear(8, 3), options,
                             lambda epoch: zip(inputs.split(1), labels.split(1)), 12,
                             lambda model: 0.0, export)
                self.assertEqual(torch.load(pathlib.Path(folder, 'last.pt'))['step'], steps)

    def test_an_epoch_without_batches_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            options = training.common_options('').parse_args(
                ['--data', '.', '--out', folder, '--epochs', '1', '--no-compile'])
            with self.assertRaisesRegex(ValueError, 'fewer batches than there are processes'):
                training.fit(torch.nn.Linear(2, 2), options, lambda epoch: iter(()), 1,
                             lambda model: 0.0, None)

    def test_training_lowers_the_loss(self):
        with tempfile.TemporaryDirectory() as folder:
            trained, model = self.train(folder, 40), make_model()
            pairs = make_pairs(60, 12)
            before = plain_loss(model, pairs, 0.0).item()
            model.load_state_dict({k: v for k, v in trained.items() if 'average' not in k})
            self.assertLess(plain_loss(model, pairs, 0.0).item(), before - 0.3)


class Optimiser(unittest.TestCase):
    def test_orthogonalised_matrices_keep_their_singular_vectors(self):
        torch.manual_seed(1)
        for rows, columns in ((24, 60), (60, 24), (32, 32)):
            matrix = torch.randn(rows, columns)
            result, = training.orthogonalise([matrix])
            values = torch.linalg.svdvals(result)
            self.assertLess(values.max(), 1.3)
            self.assertGreater(values[:-2].min(), 0.6)
            u, _, v = torch.linalg.svd(matrix, full_matrices=False)
            rotated = u.T @ result @ v.T
            self.assertLess((rotated - rotated.diagonal().diag()).abs().max(), 0.05)

    def test_other_parameters_follow_adamw(self):
        model = make_model()
        options = argparse.Namespace(lr=2e-3, muon_lr=4e-3, weight_decay=0.1)
        ours = training.Optimiser(model, options)
        name = 'decoder.final_norm.norm.weight'
        copy = model.decoder.final_norm.norm.weight.detach().clone().requires_grad_()
        reference = torch.optim.AdamW([copy], 2e-3, betas=(0.9, 0.98), weight_decay=0.0)
        for step in range(1, 6):
            copy.grad = torch.randn_like(copy)
            ours.step({name: copy.grad}, 1.0, step)
            reference.step()
            self.assertTrue(torch.allclose(ours.params[name], copy, atol=1e-7))

    def test_shares_hold_every_parameter_once(self):
        ours = training.Optimiser(make_model(), argparse.Namespace())
        shares = ours.shares(3)
        self.assertEqual(sorted(sum(shares, [])), sorted(ours.params))
        loads = [sum(map(ours.cost, share)) for share in shares]
        self.assertLess(max(loads), 1.2 * min(loads))


class Options(unittest.TestCase):
    def refused(self, parse, *given):
        with contextlib.redirect_stderr(io.StringIO()) as told, self.assertRaises(SystemExit):
            parse(list(given))
        return told.getvalue().splitlines()[-1]

    def test_numbers_that_make_no_run_are_refused(self):
        parser = training.common_options('', prog='x')
        given = ['--data', '.', '--out', '.']
        for option in ('--minutes', '--epochs', '--steps', '--batch', '--warmup', '--processes',
                       '--threads', '--save-minutes', '--valid-minutes'):
            for value in ('0', '-1'):
                self.assertEqual(self.refused(parser.parse_args, *given, option, value),
                                 f'x: error: argument {option}: {value} is not above zero')
        for option in ('--smoothing', '--average'):
            for value in ('1', '-0.1', 'nan'):
                self.assertIn('is not from 0 to below 1',
                              self.refused(parser.parse_args, *given, option, value))
        self.assertIn('nan is not above zero',
                      self.refused(parser.parse_args, *given, '--minutes', 'nan'))
        self.assertEqual(self.refused(parser.parse_args, *given, '--batch', 'ten'),
                         "x: error: argument --batch: invalid int value: 'ten'")
        self.assertEqual(self.refused(parser.parse_args, *given, '--average', 'ten'),
                         "x: error: argument --average: invalid float value: 'ten'")

    def test_sizes_that_make_no_model_are_refused(self):
        given = ['--text', 'x', '--out', 'y']
        for more in (['--dim', '0'], ['--layers', '-1'], ['--chunk', '0'], ['--length', '0']):
            self.assertIn('is not above zero', self.refused(language.parse, *given, *more))
        self.assertIn('--z-dim is even', self.refused(language.parse, *given, '--z-dim', '33'))
        self.assertIn('--dim of the Transformer is a multiple of 64',
                      self.refused(language.parse, *given, '--architecture', 'transformer',
                                   '--dim', '200'))


class Schedule(unittest.TestCase):
    def test_a_file_moves_the_end_and_stays_while_it_is_written(self):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder)
            options = argparse.Namespace(minutes=3.0, out=out)
            self.assertEqual(training.budget(options), 180)
            (out / 'minutes').write_text('7\n')
            self.assertEqual(training.budget(options), 420)
            for text in ('', 'soon', '0', 'nan'):
                (out / 'minutes').write_text(text)
                self.assertEqual(training.budget(options), 420)

    def factor(self, step, progress, **changes):
        options = argparse.Namespace(warmup=10, decay_part=0.5, decay_minutes=None, minutes=100.0,
                                     out=pathlib.Path('/nonexistent'))
        vars(options).update(changes)
        return training.rate_factor(step, progress, options)

    def test_rates_rise_stay_and_fall(self):
        self.assertAlmostEqual(self.factor(0, 0.0), 0.1)
        self.assertEqual(self.factor(50, 0.3), 1.0)
        self.assertAlmostEqual(self.factor(50, 0.75), 0.5)
        self.assertEqual(self.factor(50, 1.0), 0.0)

    def test_minutes_of_decay_replace_the_part(self):
        self.assertEqual(self.factor(50, 0.75, decay_minutes=20.0), 1.0)
        self.assertAlmostEqual(self.factor(50, 0.9, decay_minutes=20.0), 0.5)

    def test_without_decay_the_rate_stays(self):
        self.assertEqual(self.factor(50, 0.999, decay_part=0.0), 1.0)


if __name__ == '__main__':
    unittest.main()
