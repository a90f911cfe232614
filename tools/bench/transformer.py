"""A Transformer for translation with random weights, as fairseq's checkpoint and for CTranslate2.

Usage: transformer.py FOLDER                     writes FOLDER/transformer.pt, Transformer-base
       transformer.py FOLDER --check BUILD MODEL [--type float32|int8] [--lines N]

Both files hold the same weights, and the positions are given to CTranslate2 as a table, so that
mega-run and CTranslate2 compute the same function. --check translates N random lines with both,
greedily and with beam 5: with float32 they have to agree, and a line that differs has to be a tie
within rounding. With int8, which each side rounds in its own way, the log-probabilities of given
translations have to be about as near to those of float32 on both sides. Exits with 1 if not.

The two searches are the same, length penalty included, apart from two things. At the limit of the
length, fairseq and mega-run end every hypothesis with </s>, and CTranslate2 ends them without it.
Greedy translations are compared without </s>, where that makes no difference; a line whose beams
reach the limit and differ is counted apart. And CTranslate2 leaves symbols that are not allowed,
such as </s> before the least length, out of the softmax, which fairseq does not: so the least
length is 0 here.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
from dataclasses import dataclass

import numpy
import torch

from systems import baselines

PAD, EOS, FIRST_WORD = 1, 2, 4
LIMIT = 100             # tokens of a translation without </s>
GAIN = 2.0              # standard deviation of the logits
BIAS = 8.0              # length of the last norm's bias, see _let_sentences_end
TIE = 1e-4              # rounding may change the order of logits that differ by less
NEAR = 2e-5             # rounding may change the order of hypotheses whose scores differ by less
BEAMS = (1, 5)


@dataclass(frozen=True)
class Shape:
    """The sizes of a Transformer, by default Transformer-base, which is transformer_wmt_en_de."""
    d: int = 512
    heads: int = 8
    ffn: int = 2048
    layers: int = 6
    source_symbols: int = 32768
    target_symbols: int = 32768
    pre_norm: bool = False
    learned: bool = False
    tied: bool = True       # one table for both sides and the output
    activation: str = 'relu'
    positions: int = 1024
    end: float = 1.0        # how far </s> usually is below the best symbol, in deviations


BASE = Shape(end=0.0)     # even so, sentences seldom end


# ---- Weights ------------------------------------------------------------------------------------

def weights(shape, seed=1):
    """The state dict of NumPy arrays, under the original's names."""
    numbers = numpy.random.default_rng(seed)
    state = {}

    def normal(deviation, *size):
        return numpy.float32(deviation) * numbers.standard_normal(size, dtype=numpy.float32)

    def linear(name, rows, columns):
        state[f'{name}.weight'] = normal(columns ** -0.5, rows, columns)
        state[f'{name}.bias'] = normal(0.1, rows)

    def norm(name):
        state[f'{name}.weight'] = 1 + normal(0.1, shape.d)
        state[f'{name}.bias'] = normal(0.1, shape.d)

    for side, symbols in (('encoder', shape.source_symbols), ('decoder', shape.target_symbols)):
        state[f'{side}.version'] = numpy.array([3], numpy.float32)
        state[f'{side}.embed_tokens.weight'] = normal(GAIN * shape.d ** -0.5, symbols, shape.d)
        if shape.learned:
            state[f'{side}.embed_positions.weight'] = normal(0.5, shape.positions + 2, shape.d)
        else:
            state[f'{side}.embed_positions._float_tensor'] = numpy.zeros(1, numpy.float32)
        for i in range(shape.layers):
            layer = f'{side}.layers.{i}'
            for attention in ('self_attn', 'encoder_attn')[:2 if side == 'decoder' else 1]:
                for part in ('q', 'k', 'v', 'out'):
                    linear(f'{layer}.{attention}.{part}_proj', shape.d, shape.d)
                norm(f'{layer}.{attention}_layer_norm')
            linear(f'{layer}.fc1', shape.ffn, shape.d)
            linear(f'{layer}.fc2', shape.d, shape.ffn)
            # A constant part would make the same few symbols likely everywhere, so it is removed.
            fc2 = state[f'{layer}.fc2.weight']
            fc2 -= fc2.mean(axis=1, keepdims=True)
            norm(f'{layer}.final_layer_norm')
        if shape.pre_norm:
            norm(f'{side}.layer_norm')
    output = state['decoder.embed_tokens.weight']
    if shape.tied:
        state['encoder.embed_tokens.weight'] = output
    else:
        output = normal(GAIN * shape.d ** -0.5, shape.target_symbols, shape.d)
    state['decoder.output_projection.weight'] = output
    last = 'decoder.layer_norm' if shape.pre_norm else \
        f'decoder.layers.{shape.layers - 1}.final_layer_norm'
    # With one table for input and output, each symbol would be followed by itself, whose embedding
    # is the largest part of the states. Random signs prevent it.
    state[f'{last}.weight'] *= numbers.choice(numpy.array([-1, 1], numpy.float32), shape.d)
    _let_sentences_end(output, state[f'{last}.bias'], shape.end, numbers)
    return state


def _let_sentences_end(output, bias, end, numbers):
    """Give </s> a chance in each step, and <pad> none.

    Among many random symbols </s> would hardly ever be the best. <pad> matters because CTranslate2
    has to be told not to choose it, and then leaves it out of the softmax, which the original does
    not. All states get the same component along one direction; the embeddings of words have none
    along it, and those of </s> and <pad> as much as they need.
    """
    direction = numbers.standard_normal(len(bias), dtype=numpy.float32)
    direction /= numpy.linalg.norm(direction)
    bias += numpy.float32(BIAS) * direction
    output -= numpy.outer(output @ direction, direction)
    highest = math.sqrt(2 * math.log(len(output))) - 0.5  # about the largest of as many normal ones
    output[EOS] += numpy.float32(GAIN * (highest - end) / BIAS) * direction
    output[PAD] = -10 * direction


# ---- Files --------------------------------------------------------------------------------------

def arguments(shape):
    return argparse.Namespace(
        arch='transformer', task='translation', source_lang='en', target_lang='de',
        encoder_layers=shape.layers, decoder_layers=shape.layers, encoder_embed_dim=shape.d,
        decoder_embed_dim=shape.d, decoder_input_dim=shape.d, decoder_output_dim=shape.d,
        encoder_ffn_embed_dim=shape.ffn, decoder_ffn_embed_dim=shape.ffn,
        encoder_attention_heads=shape.heads, decoder_attention_heads=shape.heads,
        encoder_normalize_before=shape.pre_norm, decoder_normalize_before=shape.pre_norm,
        encoder_learned_pos=shape.learned, decoder_learned_pos=shape.learned,
        activation_fn=shape.activation, share_all_embeddings=shape.tied,
        share_decoder_input_output_embed=shape.tied, no_token_positional_embeddings=False,
        no_scale_embedding=False, layernorm_embedding=False, adaptive_input=False,
        adaptive_softmax_cutoff=None, max_source_positions=shape.positions,
        max_target_positions=shape.positions)


def write_checkpoint(path, shape, state):
    torch.save({'model': {name: torch.from_numpy(array) for name, array in state.items()},
                'args': arguments(shape)}, path)


def symbols(count):
    return ['<s>', '<pad>', '</s>', '<unk>'] + [f'w{i}' for i in range(FIRST_WORD, count)]


def write_dictionary(path, count):
    path.write_text(''.join(f'{symbol} 1\n' for symbol in symbols(count)[FIRST_WORD:]))


def write_ctranslate2(folder, shape, state):
    from ctranslate2.specs import TransformerSpec, common_spec
    kinds = {'relu': common_spec.Activation.RELU, 'gelu': common_spec.Activation.GELU}
    spec = TransformerSpec.from_config(shape.layers, shape.heads, pre_norm=shape.pre_norm,
                                       activation=kinds[shape.activation])

    def linear(out, *names):
        """Store several linear maps as one, their rows one after another."""
        out.weight = numpy.concatenate([state[f'{name}.weight'] for name in names])
        out.bias = numpy.concatenate([state[f'{name}.bias'] for name in names])

    def norm(out, name):
        out.gamma, out.beta = state[f'{name}.weight'], state[f'{name}.bias']

    def attention(out, name, *groups):
        for target, parts in zip(out.linear, groups):
            linear(target, *(f'{name}.{part}_proj' for part in parts))
        norm(out.layer_norm, f'{name}_layer_norm')

    for side, stack in (('encoder', spec.encoder), ('decoder', spec.decoder)):
        embeddings = stack.embeddings[0] if side == 'encoder' else stack.embeddings
        embeddings.weight = state[f'{side}.embed_tokens.weight']
        stack.scale_embeddings = True
        # Position 0 has row 2 of the original's table.
        stack.position_encodings.encodings = state[f'{side}.embed_positions.weight'][2:] \
            if shape.learned else baselines.sinusoids(shape.positions, shape.d).numpy()
        for i, layer in enumerate(stack.layer):
            name = f'{side}.layers.{i}'
            attention(layer.self_attention, f'{name}.self_attn', ('q', 'k', 'v'), ('out',))
            if side == 'decoder':
                attention(layer.attention, f'{name}.encoder_attn', ('q',), ('k', 'v'), ('out',))
            norm(layer.ffn.layer_norm, f'{name}.final_layer_norm')
            linear(layer.ffn.linear_0, f'{name}.fc1')
            linear(layer.ffn.linear_1, f'{name}.fc2')
        if shape.pre_norm:
            norm(stack.layer_norm, f'{side}.layer_norm')
    spec.decoder.projection.weight = state['decoder.output_projection.weight']
    spec.register_source_vocabulary(symbols(shape.source_symbols))
    spec.register_target_vocabulary(symbols(shape.target_symbols))
    spec.config.decoder_start_token, spec.config.add_source_eos = spec.config.eos_token, True
    spec.validate()
    spec.optimize()
    pathlib.Path(folder).mkdir(parents=True)
    spec.save(str(folder))


# ---- Both sides ---------------------------------------------------------------------------------

def random_lines(shape, count, seed=2):
    """Random lines: lists of ids without </s>."""
    numbers = numpy.random.default_rng(seed)
    return [numbers.integers(FIRST_WORD, shape.source_symbols, numbers.integers(1, 41)).tolist()
            for _ in range(count)]


def strip(ids):
    return ids[:-1] if ids and ids[-1] == EOS else ids


class Ours:
    """mega-run as a translator. If the model has dictionaries it reads words, else their ids."""

    def __init__(self, build, model, folder, words=False):
        self.run, self.model, self.folder, self.words = build / 'mega-run', model, folder, words

    def translate(self, lines, beam):
        """The best translation of each line, as (ids, score)."""
        if self.words:
            texts, options = (' '.join(f'w{i}' for i in line) for line in lines), []
        else:
            texts, options = (' '.join(map(str, [*line, EOS])) for line in lines), ['--ids']
        done = subprocess.run(
            [self.run, 'translate', '-q', '-m', self.model, '--beam', str(beam), '--batch', '8',
             '--max-len-b', str(LIMIT), '--min-len', '0', '--json', *options],
            input=''.join(f'{text}\n' for text in texts), stdout=subprocess.PIPE, text=True,
            check=True)
        best = (json.loads(line)['hypotheses'][0] for line in done.stdout.splitlines())
        return [(hypothesis['ids'], hypothesis['score']) for hypothesis in best]

    def logits(self, source, target):
        """Logits: a row for each symbol of the target, and one for the symbol after it."""
        numpy.save(self.folder / 'source.npy', numpy.array([*source, EOS]))
        numpy.save(self.folder / 'target.npy', numpy.array([EOS, *target]))
        subprocess.run(
            [self.run, 'forward', '-m', self.model, '--in', self.folder / 'source.npy', '--target',
             self.folder / 'target.npy', '-o', self.folder / 'logits.npy'], check=True)
        return numpy.load(self.folder / 'logits.npy')

    def log_probabilities(self, lines, targets):
        """The log-probabilities of all symbols of the targets and of </s>, one after another."""
        found = []
        for line, target in zip(lines, targets):
            logits = self.logits(line, target).astype(numpy.float64)
            highest = logits.max(axis=1)
            total = highest + numpy.log(numpy.exp(logits - highest[:, None]).sum(axis=1))
            found.append(logits[numpy.arange(len(logits)), [*target, EOS]] - total)
        return numpy.concatenate(found)


class Theirs:
    """CTranslate2 as a translator, with the methods of Ours."""

    def __init__(self, folder, compute='float32', threads=2):
        import ctranslate2
        self.translator = ctranslate2.Translator(str(folder), 'cpu', compute_type=compute,
                                                 inter_threads=1, intra_threads=threads)

    def translate(self, lines, beam):
        results = self.translator.translate_batch(
            [[f'w{i}' for i in line] for line in lines], beam_size=beam, length_penalty=1,
            max_decoding_length=LIMIT, min_decoding_length=0, return_scores=True,
            return_end_token=True, max_batch_size=8, suppress_sequences=[['<pad>']])
        return [(ids_of(result.hypotheses[0]), result.scores[0]) for result in results]

    def log_probabilities(self, lines, targets):
        results = self.translator.score_batch([[f'w{i}' for i in line] for line in lines],
                                              [symbols_of(target) for target in targets],
                                              max_batch_size=8)
        return numpy.concatenate([result.log_probs for result in results]).astype(numpy.float64)


SPECIAL = {'<s>': 0, '<pad>': PAD, '</s>': EOS, '<unk>': 3}


def ids_of(words):
    return [SPECIAL[word] if word in SPECIAL else int(word[1:]) for word in words]


def symbols_of(ids):
    names = {number: name for name, number in SPECIAL.items()}
    return [names.get(i, f'w{i}') for i in ids]


# ---- The comparison -----------------------------------------------------------------------------

def margin(ours, line, mine, other):
    """The difference of the logits of our symbol and the other one where two translations part."""
    mine, other = [*mine, EOS], [*other, EOS]
    place = next(i for i, (a, b) in enumerate(zip(mine, other)) if a != b)
    row = ours.logits(line, mine[:place])[place]
    return float(row[mine[place]] - row[other[place]])


def compare_searches(ours, theirs, lines, beam, say=print):
    """Say which lines differ; return whether all are equal or ties."""
    equal, ended, ties, limited, wrong, farthest = 0, 0, 0, 0, 0, 0.0
    for line, (mine, my_score), (other, their_score) in zip(
            lines, ours.translate(lines, beam), theirs.translate(lines, beam), strict=True):
        mine, other = strip(mine), strip(other)
        cut = max(len(mine), len(other)) >= LIMIT
        ended += not cut
        if mine == other:
            equal += 1
            farthest = max(farthest, 0 if cut else abs(my_score - their_score))
            continue
        if beam == 1:
            apart = margin(ours, line, mine, other)
            tie, how = abs(apart) <= TIE, f'logits {apart:.1e} apart'
        else:
            apart = abs(my_score - their_score)
            tie, how = apart <= NEAR, f'scores {apart:.1e} apart'
        if cut and beam > 1 and not tie:
            limited += 1
            continue
        ties += tie
        wrong += not tie
        say(f'  differs, {how}: {line}\n    {mine}\n    {other}')
    say(f'  {"greedy" if beam == 1 else f"beam {beam}"}: {equal} of {len(lines)} lines equal, '
        f'{ties} ties, {limited} differ at the limit of the length, {wrong} differ otherwise; '
        f'{ended} ended before it; scores of equal ones within {farthest:.1e}')
    return wrong == 0 and farthest <= TIE and 2 * equal >= len(lines)


def compare_int8(ours, theirs, exact, lines, say=print):
    """Say how far int8 is from float32 on both sides; return whether ours is about as near."""
    targets = [strip(ids) for ids, _ in exact.translate(lines, 1)]
    expected = exact.log_probabilities(lines, targets)
    mine, other = (float(numpy.sqrt(numpy.mean(
        (side.log_probabilities(lines, targets) - expected) ** 2))) for side in (ours, theirs))
    say(f'  int8: log-probabilities differ from those of float32 by {mine:.3f} in mega-run, by '
        f'{other:.3f} in CTranslate2 (root mean square of {len(expected)})')
    return mine <= 2 * other + 0.01


def check(options):
    folder = options.folder / 'transformer'
    if not folder.exists():
        write_ctranslate2(folder, BASE, weights(BASE))
    build, model = options.check
    ours = Ours(pathlib.Path(build), model, options.folder)
    theirs, lines = Theirs(folder, options.type), random_lines(BASE, options.lines)
    if options.type == 'int8':
        return compare_int8(ours, theirs, Theirs(folder), lines)
    return all([compare_searches(ours, theirs, lines, beam) for beam in BEAMS])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=pathlib.Path)
    parser.add_argument('--check', nargs=2, metavar=('BUILD', 'MODEL'))
    parser.add_argument('--type', choices=['float32', 'int8'], default='float32')
    parser.add_argument('--lines', type=int, default=20)
    options = parser.parse_args()
    if options.check:
        return 0 if check(options) else 1
    write_checkpoint(options.folder / 'transformer.pt', BASE, weights(BASE))
    return 0


if __name__ == '__main__':
    sys.exit(main())
