"""Measures how fast training is on this processor: tokens and floating-point operations a second.

Usage: speed.py [--language | --classifiers | --averages] [--steps N]

By default a translator of 256 channels is measured on flat batches (flat.py) and on padded ones,
with random sentences as long as those of Tatoeba. The options measure instead:
    --language     the language model of `train language`, on flat windows and by PyTorch's own
                   operators
    --classifiers  the recipe of pictures, the systems of `train twins` on texts of 1,024 bytes, and
                   the recipe of film reviews
    --averages     all ways to compute the moving average, by the length of the sequence

Times are processor times of one thread, so that other work on the machine changes them little. The
products of a layer count as 2 operations for each parameter and token in the forward pass, and as 4
in the backward pass; nothing else counts, so that the figures compare with the processor's peak.
"""

import argparse
import random
import time
from unittest import mock

import torch
from torch.nn import functional as F

import classifiers
import classify
import flat
import language
import mega
from sequence import EOS, PAD, LanguageModel, TranslationModel
import training
import translation
import twins


PADDED = (14, 18, 24, 44)  # lengths to which both sides of a batch are padded
WARMING = 2  # the first steps, which compile and allocate memory, are not timed


def sentences(count, symbols):
    """Pairs of random ids as long as Tatoeba's sentences: about 9 on average, seldom over 25."""
    chance = random.Random(1)
    pairs = []
    for _ in range(count):
        length = 3 + int(chance.gammavariate(2.2, 3.0))
        pairs.append(tuple([chance.randrange(4, symbols) for _ in range(n - 1)] + [EOS]
                           for n in (length, max(2, length + chance.randrange(-2, 4)))))
    return pairs


def layers_operations(model, tokens, _):
    """Operations of a step of a model whose embedding table is too small to count."""
    return 6 * tokens * sum(p.numel() for n, p in model.named_parameters()
                            if n.endswith(training.MATRICES))


def operations(model, source, target):
    """Operations of a translator's step with so many tokens of source and target."""
    encoder = sum(p.numel() for n, p in model.encoder.named_parameters()
                  if n.endswith(training.MATRICES))
    decoder = sum(p.numel() for n, p in model.decoder.named_parameters()
                  if n.endswith(training.MATRICES)) + model.encoder.embed_tokens.weight.numel()
    return 6 * (encoder * source + decoder * target)


def padded_batches(pairs, tokens):
    """Yield batches as they are usually made: every pair is padded to one of four lengths."""
    for begin, size in zip((0, *PADDED), PADDED):
        group = [pair for pair in pairs if begin < max(map(len, pair)) <= size]
        count = tokens // size
        for i in range(0, len(group) - count + 1, count):
            part = group[i:i + count]
            source, target, previous = (
                torch.tensor([row + [PAD] * (size - len(row)) for row in rows]) for rows in
                ([a for a, _ in part], [b for _, b in part], [[EOS] + b[:-1] for _, b in part]))
            real = (source != PAD).sum().item(), (target != PAD).sum().item()
            yield ((source, previous), target), *real


def measure(name, model, loss, batches, options, operations=operations):
    """Print the speed of whole steps, without the first ones."""
    optimiser = training.Optimiser(model, options)
    spent = tokens = work = 0.0
    for step, (batch, source, target) in enumerate(batches[:options.steps + WARMING]):
        began = time.process_time()
        loss(batch).backward()
        gradients = {n: p.grad for n, p in model.named_parameters()}
        optimiser.step(gradients, 1.0, step + 1)
        model.zero_grad()
        if step >= WARMING:
            spent += time.process_time() - began
            tokens += source + target
            work += operations(model, source, target)
    print(f'{name:24} {tokens / spent:7.0f} tokens/s {work / spent / 1e9:6.1f} GFLOP/s', flush=True)


def translators(options):
    sizes = argparse.Namespace(dim=256, hidden=512, ffn=512, z_dim=64, n_dim=16, layers=4,
                               positions=256, dropout=0.1)
    symbols, tokens = 8160, 2048
    pairs = sentences(40 * tokens // 8, symbols)

    def fresh():
        torch.manual_seed(1)
        return TranslationModel(translation.model_args(sizes), symbols).train()

    kinds = [torch.float32]
    if flat.fast_type() != torch.float32:
        kinds.append(flat.fast_type())
    shape = flat.Shape.of(tokens)
    for kind in kinds:
        model = fresh()
        translator = flat.FlatTranslator(model, shape, 0.1, kind)
        batches = [(batch, batch.tokens - batch.count, batch.count)
                   for batch in map(shape.lay, shape.group(pairs))]
        measure(f'flat, {kind}'.replace('torch.', ''), model,
                lambda batch: translator.loss(batch, 0.1), batches, options)
    model = fresh()
    loss = training.dense_loss(model, options, PAD)
    batches = list(padded_batches([p for p in pairs if max(map(len, p)) <= 14], tokens))
    measure('padded, float32', model, loss, batches, options)


def language_models(options):
    """Measure the default sizes of `train language`, with 8 windows of 512 characters a step."""
    generator = torch.Generator().manual_seed(1)
    windows = torch.randint(4, 72, (options.steps + WARMING, 2, 8, 512), generator=generator)
    batches = [((x, y), x.numel(), 0) for x, y in windows]
    for name in ('flat', 'plain'):
        sizes = language.parse(['--text', 'x', '--out', 'x'])
        torch.manual_seed(1)
        model = LanguageModel(language.model_args(sizes), 72).train()
        loss = training.dense_loss(model, sizes)
        if name == 'flat':
            fast = flat.FlatLanguageModel(model, sizes.length, sizes.dropout)
            loss = fast.loss
        measure(f'language, {name}', model, loss, batches, options, layers_operations)


def byte_classifiers(options):
    """Measure classifiers of texts, with 16,384 positions a step and no padding."""
    flat.serve_averages()
    options.no_compile = True
    generator = torch.Generator().manual_seed(1)
    models = [(name, name, 1024, given) for name, given in twins.SIZES.items()]
    models += [(f'reviews, {dim} channels', 'mega-chunk', 4096, ['--dim', dim])
               for dim in ('96', '128')]
    for name, architecture, length, given in models:
        torch.manual_seed(1)
        form = classifiers.Tokens(260, length, 1)
        chosen = classify.parse(['--data', 'x', '--out', 'x', *given])
        sizes = classifiers.sizes_of(architecture, chosen.dim, chosen.layers, chosen.dropout)
        model = classifiers.build(architecture, form, sizes, ['neg', 'pos'], 128).model.train()
        count = 16384 // length
        batches = [(((torch.randint(4, 260, (count, length), generator=generator),
                      torch.ones(count, length, 1)),
                     torch.randint(2, (count,), generator=generator)), count * length, 0)
                   for _ in range(options.steps + WARMING)]
        with mock.patch.object(mega, 'TOEPLITZ_LIMIT', 64):  # as in train classify
            measure(name, model, training.dense_loss(model, options), batches, options,
                    layers_operations)
        if architecture.startswith('mega'):
            classifier = flat.FlatClassifier(model, length, chosen.dropout)

            def loss(batch):
                (rows, _), targets = batch
                texts = flat.Texts.of(list(rows))
                logits = classifier.logits(classifier.states(texts), texts)
                return F.cross_entropy(logits, targets)

            measure(f'{name}, flat', model, loss, batches, options, layers_operations)


def picture_classifiers(options):
    """Measure 64 pictures of 32 x 32 pixels a step, in patches of 4 x 4: 64 positions each."""
    count, positions = 64, 64
    generator = torch.Generator().manual_seed(1)
    batches = [((torch.randn(count, 3, 32, 32, generator=generator),
                 torch.randint(10, (count,), generator=generator)), count * positions, 0)
               for _ in range(options.steps + WARMING)]
    for dim in (96, 128):
        for name, operators, no_compile in (('compiled', None, False), ('flat', flat, True)):
            torch.manual_seed(1)
            options.no_compile = no_compile
            model = mega.PatchClassifier(dim, 2 * dim, 2 * dim, dim // 2, 16, 5, 32, 4, 10).train()
            measure(f'pictures, {dim}, {name}', model,
                    training.series_loss(operators, model, options, 0.0), batches, options,
                    layers_operations)


def averages():
    """Print milliseconds of both passes for 8,192 positions of 128 channels, not compiled."""
    torch.manual_seed(1)
    move = mega.MovingAverage(128, 16)
    print('length  matrix  transform  chunks  states')
    for length in (64, 128, 256, 512, 1024, 2048, 4096):
        x = torch.randn(8192 // length, length, 128, requires_grad=True)
        row = [f'{length:6}']
        for limit, chunks, operator in ((length, False, None), (0, False, None), (0, True, None),
                                        (0, True, flat.exponential_average)):
            if limit > 512:
                row.append('     -')
                continue
            best = float('inf')
            with mock.patch.object(mega, 'TOEPLITZ_LIMIT', limit), \
                    mock.patch.object(mega, 'OPERATOR', operator), \
                    mock.patch.object(move, 'is_exponential', lambda length: chunks):
                for _ in range(3):
                    began = time.process_time()
                    move(x).sum().backward()
                    best = min(best, time.process_time() - began)
            row.append(f'{best * 1e3:6.0f}')
        print('  '.join(row), flush=True)


def main():
    parser = training.common_options(__doc__.splitlines()[0], data=None)
    parser.set_defaults(steps=20)
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument('--averages', action='store_true', help='measure moving averages instead')
    kinds.add_argument('--classifiers', action='store_true', help='measure classifiers instead')
    kinds.add_argument('--language', action='store_true', help='measure language models instead')
    options = parser.parse_args()
    training.prepare(options)
    if options.averages:
        averages()
    elif options.classifiers:
        picture_classifiers(options)
        byte_classifiers(options)
    else:
        (language_models if options.language else translators)(options)


if __name__ == '__main__':
    main()
