"""How fast training is on this processor: tokens and floating-point operations a second.

Usage: speed.py [--averages] [--steps N]
Without --averages: one translator of 256 channels on flat batches (flat.py) and on padded ones (the
recipe of multi30k.py), with random sentences as long as those of Tatoeba. With it: ways to compute
the moving average by the length of the sequence.

Times are of the processor, in one thread, so that other work on the machine disturbs little. A
product of a layer counts as 2 operations a parameter and token forwards and 4 backwards; nothing
else counts, so that the figures compare with what the processor multiplies at best.
"""

import argparse
import random
import time
from unittest import mock

import torch

import flat
import mega
import multi30k
from sequence import EOS, PAD, TranslationModel
import training


WARMING = 2  # steps that compile, and that get memory


def sentences(count, symbols):
    """Pairs of random numbers; lengths as in Tatoeba, mean 9 or so and seldom more than 25."""
    chance = random.Random(1)
    pairs = []
    for _ in range(count):
        length = 3 + int(chance.gammavariate(2.2, 3.0))
        pairs.append(tuple([chance.randrange(4, symbols) for _ in range(n - 1)] + [EOS]
                           for n in (length, max(2, length + chance.randrange(-2, 4)))))
    return pairs


def operations(model, source, target):
    """Of a step with so many tokens a side."""
    encoder = sum(p.numel() for n, p in model.encoder.named_parameters()
                  if n.endswith(training.MATRICES))
    decoder = sum(p.numel() for n, p in model.decoder.named_parameters()
                  if n.endswith(training.MATRICES)) + model.encoder.embed_tokens.weight.numel()
    return 6 * (encoder * source + decoder * target)


def padded_batches(pairs, tokens):
    """The batches of multi30k.py: four lengths, everything padded to one of them."""
    for begin, size in zip((0, *multi30k.BUCKETS), multi30k.BUCKETS):
        group = [pair for pair in pairs if begin < max(map(len, pair)) <= size]
        count = tokens // size
        for i in range(0, len(group) - count + 1, count):
            part = group[i:i + count]
            source, target, previous = (
                torch.tensor([row + [PAD] * (size - len(row)) for row in rows]) for rows in
                ([a for a, _ in part], [b for _, b in part], [[EOS] + b[:-1] for _, b in part]))
            real = (source != PAD).sum().item(), (target != PAD).sum().item()
            yield ((source, previous), target), *real


def measure(name, model, loss, batches, options):
    """Print speeds of whole steps; the first ones compile."""
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
        return TranslationModel(multi30k.model_args(sizes), symbols).train()

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


def averages():
    """Milliseconds of 8,192 positions of 128 channels, forwards and backwards, not compiled."""
    torch.manual_seed(1)
    move = mega.MovingAverage(128, 16)
    print('length  matrix  transform  chunks')
    for length in (64, 128, 256, 512, 1024, 2048, 4096):
        x = torch.randn(8192 // length, length, 128, requires_grad=True)
        row = [f'{length:6}']
        for limit, chunks in ((length, False), (0, False), (0, True)):
            if limit > 512:
                row.append('     -')
                continue
            best = float('inf')
            with mock.patch.object(mega, 'TOEPLITZ_LIMIT', limit), \
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
    parser.add_argument('--averages', action='store_true', help='measure moving averages instead')
    options = parser.parse_args()
    training.prepare(options)
    averages() if options.averages else translators(options)


if __name__ == '__main__':
    main()
