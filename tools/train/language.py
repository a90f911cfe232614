"""Train a language model of characters on a text of one's own.

Usage: train language --text TEXT --out FOLDER [--also TEXT ...] [--start MODEL.pt] [--minutes 60]
TEXT is any text in UTF-8, which may be gzipped. The model is trained on the first 90 % of it, but
for the end of that part, which is held out for choosing among models; the last 10 % test it. All of
the further texts (--also) is for training. --start begins with the weights of an earlier run,
OUT/final.pt, instead of random ones.

Writes OUT/dict.txt, OUT/curve.svg, OUT/last.pt and OUT/preview.pt while it runs, and OUT/final.pt
and OUT/final.mega at the end. --resume goes on with a run that was ended.
"""

import argparse
import collections
import pathlib
import pickle
import re
import sys

import torch
from torch.nn import functional as F

import baselines
import export
import inputs
import sequence
from sequence import EOS, LanguageModel
import training

ARCHITECTURES = ('mega', 'mega-chunk', 'transformer')
SYMBOLS = {' ': '▁', '\n': '⏎'}  # a dictionary's lines are cut at blanks


def read(path):
    """Read a text, with a blank for each character that a dictionary cannot have.

    Those are other white space, NUL and byte order marks. ▁ and ⏎, which stand for blank and line
    end in the dictionary, are read as these, as mega-run does.
    """
    text = inputs.read_utf8(path)
    for character, symbol in SYMBOLS.items():
        text = text.replace(symbol, character)
    return re.sub(r'[^\S \n]|[\0\ufeff]', ' ', text)


def write_dictionary(text, path):
    """Write characters by frequency, as fairseq does; return ({character: id}, number of ids)."""
    counts = collections.Counter(text).most_common()
    lines = [f'{SYMBOLS.get(character, character)} {count}' for character, count in counts]
    lines += [f'madeupword{i:04d} 0' for i in range(-(len(lines) + 4) % 8)]
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return {character: 4 + i for i, (character, _) in enumerate(counts)}, 4 + len(lines)


def read_dictionary(path):
    """({character: id} of a dictionary, number of all ids)"""
    characters = {symbol: character for character, symbol in SYMBOLS.items()}
    lines = path.read_text(encoding='utf-8').rstrip('\n').split('\n')
    names = [line.rpartition(' ')[0] for line in lines]
    return {characters.get(name, name): 4 + i for i, name in enumerate(names)
            if len(name) == 1}, 4 + len(names)


def encode(text, characters):
    """Ids of a text, without the characters that the dictionary lacks."""
    return torch.tensor([characters[c] for c in text if c in characters])


def model_args(options):
    """The checkpoint's options, under the original's names."""
    if options.architecture == 'transformer':
        args = baselines.transformer_args(
            ('decoder',), dim=options.dim, heads=max(1, options.dim // 64),
            ffn=options.ffn or 4 * options.dim, layers=options.layers, positions=options.length,
            dropout=options.dropout)
        args.arch, args.task = 'transformer_lm', 'language_modeling'
        return args
    return argparse.Namespace(
        arch='mega_lm_enwik8_base', task='language_modeling', activation_fn='silu',
        attention_activation_fn='softmax', decoder_layers=options.layers,
        decoder_embed_dim=options.dim, decoder_input_dim=options.dim,
        decoder_hidden_dim=options.hidden, decoder_ffn_embed_dim=options.ffn or 512,
        decoder_z_dim=options.z_dim, decoder_n_dim=options.n_dim,
        decoder_chunk_size=options.chunk if options.architecture == 'mega-chunk' else -1,
        truncation_length=options.truncation,
        rel_pos_bias='rotary', normalization_type='layernorm', normalize_before=True,
        normalize_embedding=False, no_affine_final_norm=False, no_scale_embedding=False,
        share_decoder_input_output_embed=True, share_all_embeddings=False, adaptive_input=False,
        adaptive_softmax_cutoff=None, tie_adaptive_weights=False, dropout=options.dropout,
        max_target_positions=options.length, tokens_per_sample=options.length)


@torch.no_grad()
def nats(model, ids, length, factors=(1.0,), batch=8):
    """The mean loss per character for each factor of the logits.

    The text is read in windows of `length`, of which the first half is context only.
    """
    model.eval()
    half, totals, count = length // 2, torch.zeros(len(factors), dtype=torch.float64), 0
    ids = torch.cat([torch.tensor([EOS]), ids])
    starts = list(range(0, len(ids) - 1 - length, half))
    for group in (starts[i:i + batch] for i in range(0, len(starts), batch)):
        x = torch.stack([ids[s:s + length] for s in group])
        y = torch.stack([ids[s + 1:s + 1 + length] for s in group])[:, half:].flatten()
        logits = model(x)[:, half:].flatten(0, 1)
        totals += torch.stack([F.cross_entropy(logits * factor, y, reduction='sum').double()
                               for factor in factors])
        count += len(y)
    return (totals / count).tolist()


def best_factor(model, ids, length):
    """The factor of the logits with the least loss on `ids`, which must be held-out text.

    A model that has seen its text several times is overconfident on new text.
    """
    factors = [i / 100 for i in range(50, 121)]
    losses = nats(model, ids, length, factors)
    return factors[losses.index(min(losses))]


@torch.no_grad()
def scale_logits(model, factor):
    """Multiply all logits by a constant, which is folded into the final norm."""
    decoder = model.decoder
    norm = decoder.layer_norm if isinstance(decoder, baselines.Stack) else decoder.final_norm
    for param in norm.parameters():
        param.mul_(factor)


def flat_loss(model, options):
    """Return the loss of flat.py, which takes half the time, or None if it cannot be used.

    It needs a C++ compiler, and sizes that are whole vectors of the processor.
    """
    flat = training.load_flat()
    sizes = [options.dim, options.ffn or options.dim]
    if options.architecture == 'transformer':
        sizes.append(options.dim // max(1, options.dim // 64))
    else:
        sizes += [options.hidden, options.z_dim]
    if flat is None or not flat.fills_vectors(*sizes):
        return None
    flat.serve_averages()
    fast = flat.FlatLanguageModel(model, options.length, options.dropout)
    return lambda batch: fast.loss(batch, options.smoothing)


def parse(arguments):
    parser = training.common_options(__doc__.splitlines()[0], '--text', 'a text in UTF-8',
                                     prog='train language')
    training.set_user_defaults(parser, minutes=60.0)
    parser.set_defaults(smoothing=0.0, batch=8, decay_part=0.6, average=0.995, warmup=100)
    parser.add_argument('--architecture', choices=ARCHITECTURES, default='mega-chunk')
    positive = training.positive(int)
    parser.add_argument('--dim', type=positive, default=256)
    parser.add_argument('--hidden', type=positive, default=512)
    parser.add_argument('--ffn', type=positive, help='512; of the Transformer 4 x dim')
    parser.add_argument('--z-dim', type=positive, default=64)
    parser.add_argument('--n-dim', type=positive, default=16)
    parser.add_argument('--layers', type=positive, default=4)
    parser.add_argument('--chunk', type=positive, default=256)
    parser.add_argument('--length', type=positive, default=512,
                        help='characters of a training window')
    parser.add_argument('--truncation', type=positive, default=1024)
    parser.add_argument('--dropout', type=training.fraction, default=0.15)
    parser.add_argument('--also', type=pathlib.Path, nargs='+', default=[], metavar='TEXT',
                        help='further texts to train on')
    parser.add_argument('--start', type=pathlib.Path, metavar='MODEL.pt',
                        help="weights to begin with: an earlier run's final.pt, in whose folder "
                             'its dict.txt is')
    parser.add_argument('--valid', type=pathlib.Path, metavar='TEXT',
                        help='a text to choose by, instead of the end of the training part')
    parser.add_argument('--with-valid', action='store_true', help='train on the held-out part too')
    parser.add_argument('--logit-scale', type=float,
                        help='factor of the logits (default: the best on the held-out part)')
    export.add_option(parser)
    options = parser.parse_args(arguments)
    if options.z_dim % 2:
        parser.error(f'--z-dim is even, not {options.z_dim}: the rotary bias rotates pairs')
    if options.architecture == 'transformer' and options.dim > 64 and options.dim % 64:
        parser.error('--dim of the Transformer is a multiple of 64, the channels of a head, not '
                     f'{options.dim}')
    if options.with_valid and not options.logit_scale:
        parser.error('--with-valid leaves no text to find the factor of the logits on; '
                     'give --logit-scale, as 1 or as found by a run without --with-valid')
    return options


def load_start(model, path):
    """Begin with the weights of an earlier run."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            model.load_state_dict(torch.load(path)['model'])
    except (KeyError, RuntimeError, pickle.UnpicklingError) as error:
        raise training.Mismatch(f'{path} is not a checkpoint of this recipe, or is of a model of '
                                'other sizes; give the sizes that it was trained with') from error


def train_on(text, options):
    if options.start:
        (options.out / 'dict.txt').write_bytes((options.start.parent / 'dict.txt').read_bytes())
        characters, vocabulary = read_dictionary(options.out / 'dict.txt')
    else:
        characters, vocabulary = write_dictionary(text, options.out / 'dict.txt')
    further = [encode(read(path), characters) for path in options.also]
    text = ''.join(c for c in text if c in characters)
    ids = encode(text, characters)
    train_end = len(text) * 9 // 10
    valid_begin = train_end - min(50000, train_end // 10)
    if train_end - valid_begin < 2 * options.length:
        raise ValueError(f'{len(text)} characters are too few: for a held-out part of two windows '
                         f'there must be about {25 * options.length}, or a smaller --length')
    train, valid, test = ids[:valid_begin], ids[valid_begin:train_end], ids[train_end:]
    if options.valid:
        valid = encode(read(options.valid), characters)[:50000]
        if len(valid) < 2 * options.length:
            raise inputs.Problem(f'{options.valid} has {len(valid)} characters, which are fewer '
                                 f'than two windows of {options.length}')
    if options.with_valid or options.valid:
        train = ids[:train_end]
    train = torch.cat([*further, train])
    args = model_args(options)
    model = LanguageModel(args, vocabulary)
    if options.start:
        load_start(model, options.start)
    print(f'{len(train)} characters to train on, {len(valid)} held out, {len(test)} to test; '
          f'{sum(p.numel() for p in model.parameters())} parameters', flush=True)

    def epoch_batches(epoch):
        """Windows at random offsets that cover the text once."""
        generator = torch.Generator().manual_seed(options.seed * 100000 + epoch)
        offset = torch.randint(options.length, (1,), generator=generator).item()
        starts = torch.arange(offset, len(train) - options.length - 1, options.length)
        starts = starts[torch.randperm(len(starts), generator=generator)]
        for group in starts[:len(starts) // options.batch * options.batch].split(options.batch):
            x = torch.stack([train[s:s + options.length] for s in group])
            y = torch.stack([train[s + 1:s + 1 + options.length] for s in group])
            yield x, y

    def write(model, path):
        training.save_atomically({'model': model.state_dict(), 'args': args}, path)

    write.suffix = '.pt'
    steps = (len(train) // options.length - 1) // options.batch

    def validate(average):
        return {'held-out loss': nats(average, valid, options.length)[0]}

    average, epochs = training.fit(model, options, epoch_batches, steps, validate, write,
                                   flat_loss(model, options))
    finish(average, options, epochs, valid, test, write)


def finish(model, options, epochs, valid, test, write):
    """Scale the logits, measure, and write the model."""
    factor = options.logit_scale or best_factor(model, valid, options.length)
    scale_logits(model, factor)
    print(f'logits scaled by {factor}: valid {nats(model, valid, options.length)[0]:.4f}',
          flush=True)
    final = options.out / 'final.pt'
    write(model, final)
    print(f'test {nats(model, test, options.length)[0]:.4f} nats per character after '
          f'{epochs:.1f} epochs', flush=True)
    export.convert(options, final, ['--tokenizer', 'char', '--dict', options.out / 'dict.txt'],
                   f'generate -m {options.out}/final.mega --prompt "..."')


def main(arguments=None):
    options = parse(arguments)
    training.prepare(options)
    # A matrix per channel is only fast if torch.compile fuses the passes that make it.
    sequence.TOEPLITZ_LIMIT = 64
    try:
        train_on(read(options.data), options)
    except (inputs.Problem, training.Mismatch) as error:
        sys.exit(f'train language: {error}')
    except (OSError, ValueError) as error:
        sys.exit(f'train language: {training.explain(error, options.data)}')


if __name__ == '__main__':
    main()
