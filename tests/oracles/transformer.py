#!/usr/bin/env python3
"""Compares random Transformers with a plain implementation: transformer.py [COUNT [SEED]]

    MEGA_BUILD=build python3 tests/oracles/transformer.py 200

Draws COUNT (200) classifiers, translators and language models with everything that a checkpoint of
fairseq may have: any number of heads of any width, norms before or after in encoder and decoder
independently, learned or sinusoidal positions or none, tied layers, adaptive input and softmax, and
the names of old versions. Each is written as a checkpoint, converted, and run by `mega-run
forward`. Its logits are compared with those of the function below, which knows tensors and
arguments only and computes in double precision. Scores of texts and greedy translations, which go
step by step, are compared as well. The script prints the models that differ and exits with 1 if
there are any. It needs NumPy and is not part of 'make test'.
"""
import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'cli'))
sys.dont_write_bytecode = True
import checkpoint  # noqa: E402

BUILD = pathlib.Path(os.environ.get('MEGA_BUILD', 'build')).resolve()
TOLERANCE = 1e-4
PAD, END = 1, 2

erf = np.vectorize(math.erf, otypes=[float])
ACTIVATIONS = {
    'relu': lambda x: np.maximum(x, 0),
    'gelu': lambda x: x * 0.5 * (1 + erf(x / math.sqrt(2))),
    'gelu_accurate': lambda x: 0.5 * x * (1 + np.tanh(
        math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3))),
    'silu': lambda x: x / (1 + np.exp(-x)),
    'linear': lambda x: x,
}
ACTIVATIONS['gelu_fast'] = ACTIVATIONS['gelu_accurate']

# ---- The function -----------------------------------------------------------------------------


def softmax(s):
    p = np.exp(s - s.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def log_softmax(s):
    return s - s.max(-1, keepdims=True) - np.log(
        np.exp(s - s.max(-1, keepdims=True)).sum(-1, keepdims=True))


class Model:
    """Tensors under their newest names, and arguments with the defaults of the original."""

    def __init__(self, tensors, args):
        self.t = {name: np.asarray(value, float) for name, value in tensors.items()}
        self.args = args

    def get(self, name, default):
        value = self.args.get(name)
        return default if value is None else value

    def linear(self, name, x):
        return x @ self.t[name + '.weight'].T + self.t[name + '.bias']

    def norm(self, name, x):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return ((x - mean) / np.sqrt(variance + 1e-5) * self.t[name + '.weight']
                + self.t[name + '.bias'])

    def attention(self, name, x, y, heads, causal):
        q, k, v = (self.linear(f'{name}.{part}_proj', z)
                   for part, z in (('q', x), ('k', y), ('v', y)))
        e = q.shape[1] // heads
        out = np.zeros_like(q)
        for h in range(heads):
            columns = slice(h * e, (h + 1) * e)
            s = (q[:, columns] / math.sqrt(e)) @ k[:, columns].T
            if causal:
                s = np.where(np.tri(len(x), len(y), dtype=bool), s, -np.inf)
            out[:, columns] = softmax(s) @ v[:, columns]
        return self.linear(name + '.out_proj', out)

    def layer(self, prefix, x, memory, heads, pre, causal, act):
        def block(norm, function, x):
            if pre:
                return x + function(self.norm(prefix + norm, x))
            return self.norm(prefix + norm, x + function(x))

        x = block('self_attn_layer_norm', lambda z: self.attention(
            prefix + 'self_attn', z, z, heads, causal), x)
        if memory is not None:
            x = block('encoder_attn_layer_norm', lambda z: self.attention(
                prefix + 'encoder_attn', z, memory, heads, False), x)
        return block('final_layer_norm', lambda z: self.linear(
            prefix + 'fc2', act(self.linear(prefix + 'fc1', z))), x)

    def positions(self, prefix, length, width, learned, first):
        if learned:
            return self.t[prefix + 'embed_positions.weight'][first:first + length]
        n, f32 = width // 2, np.float32
        step = f32(-math.log(10000) / (n - 1))
        k = np.arange(n, dtype=f32)
        frequency = np.exp((k * step).astype(float)).astype(f32)
        angle = (np.arange(first, first + length, dtype=f32)[:, None] * frequency).astype(float)
        return np.concatenate([np.sin(angle), np.cos(angle), np.zeros((length, width % 2))], 1)

    def stack(self, side, prefix, x, layers, memory=None, causal=False, pre=False, act='relu'):
        heads = self.get(side + '_attention_heads', 8)
        for i in range(layers):
            at = 0 if self.args.get('tie_layer_weights') else i
            x = self.layer(f'{prefix}layers.{at}.', x, memory, heads, pre, causal,
                           ACTIVATIONS[self.get('activation_fn', act)])
        return x

    def version(self, side):
        return float(self.t.get(side + '.version', np.ones(1))[0])

    def scale(self, width):
        return 1 if self.args.get('no_scale_embedding') else math.sqrt(width)


class Classifier(Model):
    def vector(self, x):
        prefix = 'encoder.encoder.'
        weight = self.t[prefix + 'embed_tokens.weight']
        learned = self.args.get('encoder_learned_pos', False)
        width = weight.shape[-1]
        if weight.ndim == 1:
            x = x[:, None] * weight + self.t[prefix + 'embed_tokens.bias']
        else:
            x = weight[x]
        first = 0 if weight.ndim == 1 else 2
        x = x * (1 if learned else math.sqrt(width)) + self.positions(
            prefix, len(x), width, learned, first)
        if self.args.get('encoder_normalize_before'):
            x = self.norm(prefix + 'emb_layer_norm', x)
        x = self.stack('encoder', prefix, x, self.get('encoder_layers', 6), act='gelu')
        return x.mean(0) if self.args.get('sen_rep_type') == 'mp' else x[0]

    def logits(self, *inputs):
        x = np.concatenate([self.vector(x) for x in reversed(inputs)])
        act = ACTIVATIONS[self.get('classifier_activation_fn', 'gelu')]
        for i in range(self.get('classifier_layers', 1)):
            x = act(self.linear(f'classifier.{i}.0', x))
        return self.t['sentence_projection_layer.weight'] @ x


class Decoder(Model):
    def cutoffs(self, name, vocabulary):
        cuts = [int(word) for word in self.args[name].split(',')]
        return cuts if cuts[-1] >= vocabulary else cuts + [vocabulary]

    def rows(self, ids, width):
        """The rows of the table or of its clusters for ids, scaled and projected."""
        t = self.t
        if self.args.get('adaptive_input'):
            cuts = self.cutoffs('adaptive_input_cutoff', self.vocabulary)
            x = np.zeros((len(ids), width))
            for row, word in enumerate(ids):
                band = next(i for i, cut in enumerate(cuts) if word < cut)
                name = f'decoder.embed_tokens.embeddings.{band}.'
                begin = cuts[band - 1] if band else 0
                x[row] = t[name + '1.weight'] @ t[name + '0.weight'][word - begin]
        else:
            x = t['decoder.embed_tokens.weight'][ids]
        x = x * self.scale(width)
        if 'decoder.project_in_dim.weight' in t:
            x = x @ t['decoder.project_in_dim.weight'].T
        return x

    def embed(self, ids):
        width = self.t['decoder.layers.0.fc1.weight'].shape[1]
        x = self.rows(ids, width)
        if not self.args.get('no_token_positional_embeddings'):
            x = x + self.positions('decoder.', len(ids), width,
                                   self.args.get('decoder_learned_pos', False), 2)
        if self.args.get('layernorm_embedding'):
            x = self.norm('decoder.layernorm_embedding', x)
        return x

    def adaptive(self, x):
        t, args = self.t, self.args
        cuts = self.cutoffs('adaptive_softmax_cutoff', self.vocabulary)
        prefix, out = 'decoder.adaptive_softmax.', np.zeros((len(x), self.vocabulary))
        embedding = 'decoder.embed_tokens.embeddings.%d.%d.weight'
        tied = args.get('tie_adaptive_weights')
        tied_maps = args.get('tie_adaptive_proj') or args.get('no_tie_adaptive_proj') is False
        if tied:
            table = (t[embedding % (0, 0)] if args.get('adaptive_input')
                     else t['decoder.embed_tokens.weight'])
            head = np.concatenate([x @ table[:cuts[0]].T,
                                   x @ t[prefix + 'head.class_proj.weight'].T], 1)
        else:
            head = x @ t[prefix + 'head.weight'].T
        head = log_softmax(head)
        out[:, :cuts[0]] = head[:, :cuts[0]]
        for i in range(len(cuts) - 1):
            z = x @ (t[embedding % (i + 1, 1)] if tied and tied_maps
                     else t[f'{prefix}tail.{i}.0.weight'].T)
            words = (t[embedding % (i + 1, 0)] if tied else t[f'{prefix}tail.{i}.2.weight'])
            out[:, cuts[i]:cuts[i + 1]] = (log_softmax(z @ words.T)
                                           + head[:, cuts[0] + i:cuts[0] + i + 1])
        return out

    def scores(self, x):
        t, args = self.t, self.args
        if 'decoder.project_out_dim.weight' in t:
            x = x @ t['decoder.project_out_dim.weight'].T
        if args.get('adaptive_softmax_cutoff'):
            return self.adaptive(x)
        if args.get('share_decoder_input_output_embed') or args.get('share_all_embeddings'):
            return x @ t['decoder.embed_tokens.weight'].T
        return x @ t['decoder.output_projection.weight'].T

    def decode(self, ids, memory, pre):
        args = self.args
        x = self.stack('decoder', 'decoder.', self.embed(ids), args['decoder_layers'], memory,
                       True, pre)
        without = args.get('no_decoder_final_norm', False)
        if 'no_tie_adaptive_proj' in args:
            without = True
        if 'decoder_final_norm' in args:
            without = not args['decoder_final_norm']
        if pre and not without and self.version('decoder') > 2:
            x = self.norm('decoder.layer_norm', x)
        return self.scores(x)


class LanguageModel(Decoder):
    def logits(self, ids):
        return self.decode(ids, None, True)


class Translator(Decoder):
    def logits(self, source, target):
        t, args = self.t, self.args
        width = t['encoder.layers.0.fc1.weight'].shape[1]
        pre = args.get('encoder_normalize_before', False)
        x = t['encoder.embed_tokens.weight'][source] * self.scale(width)
        if not args.get('no_token_positional_embeddings'):
            x = x + self.positions('encoder.', len(source), width,
                                   args.get('encoder_learned_pos', False), 2)
        if args.get('layernorm_embedding'):
            x = self.norm('encoder.layernorm_embedding', x)
        x = self.stack('encoder', 'encoder.', x, args['encoder_layers'], pre=pre)
        if pre and self.version('encoder') >= 2:
            x = self.norm('encoder.layer_norm', x)
        return self.decode(target, x, args.get('decoder_normalize_before', False))


# ---- Random models ----------------------------------------------------------------------------


class Draw:
    """The tensors and arguments of a random model."""

    def __init__(self, rng):
        self.rng, self.t, self.args = rng, {}, {}

    def chance(self, probability=0.5):
        return bool(self.rng.random() < probability)

    def one_of(self, *values):
        return values[self.rng.integers(len(values))]

    def number(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def flag(self, name, probability=0.5):
        """Sets an argument at random; a false one may be left out instead."""
        value = self.chance(probability)
        if value or self.chance():
            self.args[name] = value
        return value

    def values(self, *shape, scale=None):
        scale = scale or 1 / math.sqrt(shape[-1])
        return (self.rng.standard_normal(shape) * scale).astype(np.float32)

    def linear(self, name, out, inner):
        self.t[name + '.weight'] = self.values(out, inner)
        self.t[name + '.bias'] = self.values(out, scale=0.3)

    def norm(self, name, width):
        self.t[name + '.weight'] = 1 + self.values(width, scale=0.3)
        self.t[name + '.bias'] = self.values(width, scale=0.3)

    def attention(self, name, width, inner):
        self.linear(name + '.q_proj', width, width)
        self.linear(name + '.k_proj', width, inner)
        self.linear(name + '.v_proj', width, inner)
        self.linear(name + '.out_proj', width, width)

    def size(self):
        heads = self.one_of(1, 2, 3, 4, 5, 8)
        return heads, heads * self.one_of(*(4, 5) if heads == 1 else (2, 3), 8, 11, 16, 21)

    def layers(self, prefix, count, width, memory):
        hidden = self.one_of(1, 5, 16, 33, 64)
        for i in range(count):
            at = f'{prefix}layers.{i}.'
            self.attention(at + 'self_attn', width, width)
            self.norm(at + 'self_attn_layer_norm', width)
            if memory:
                self.attention(at + 'encoder_attn', width, memory)
                self.norm(at + 'encoder_attn_layer_norm', width)
            self.linear(at + 'fc1', hidden, width)
            self.linear(at + 'fc2', width, hidden)
            self.norm(at + 'final_layer_norm', width)

    def heads_of(self, side, heads):
        if heads != 8 or self.chance():
            self.args[side + '_attention_heads'] = heads

    def activation(self, usual):
        name = self.one_of('relu', 'gelu', 'gelu_accurate', 'gelu_fast', 'silu', 'linear', usual)
        if name != usual or self.chance():
            self.args['activation_fn'] = name

    def positions(self, side, prefix, width, rows, first):
        """Chooses the kind of positions; returns how many an input may have at most."""
        if self.args.get('no_token_positional_embeddings') and first:
            return 300
        if self.flag(side + '_learned_pos', 0.4):
            self.t[prefix + 'embed_positions.weight'] = self.values(rows + first, width, scale=0.5)
            return rows
        self.t[prefix + 'embed_positions._float_tensor'] = np.full(1, np.nan, np.float32)
        return 300

    def version(self, side):
        version = self.one_of(None, 1, 2, 3, 3, 3)
        if version:
            self.t[side + '.version'] = np.full(1, version, np.float32)

    # The three families

    def classifier(self):
        heads, width = self.size()
        prefix, pairs, image = 'encoder.encoder.', self.chance(0.3), self.chance(0.3)
        layers, rows = self.number(1, 4), self.number(20, 60)
        self.args.update(arch='transformer_lra_listop', task='lra-image' if image else 'lra-text',
                         layer_type='transformer', input_type='image' if image else 'text',
                         sen_rep_type='mp' if image else self.one_of('mp', 'cls'),
                         encoder_layers=layers, max_positions=rows)
        self.heads_of('encoder', heads)
        self.activation('gelu')
        tied = self.flag('tie_layer_weights', 0.3)
        self.layers(prefix, 1 if tied else layers, width, None)
        longest = self.positions('encoder', prefix, width, rows, 0 if image else 2)
        if image:
            self.t[prefix + 'embed_tokens.weight'] = self.values(width, scale=0.5)
            self.t[prefix + 'embed_tokens.bias'] = self.values(width, scale=0.5)
        else:
            self.t[prefix + 'embed_tokens.weight'] = self.values(23, width)
        if self.flag('encoder_normalize_before'):
            self.norm(prefix + 'emb_layer_norm', width)
        self.version(prefix[:-1])
        inner, depth = width * (1 + pairs), self.one_of(0, 1, 1, 2, 3)
        if depth != 1 or self.chance():
            self.args['classifier_layers'] = depth
        if self.chance():
            self.args['classifier_activation_fn'] = self.one_of(*ACTIVATIONS)
        for i in range(depth):
            self.linear(f'classifier.{i}.0', 10, inner)
            inner = 10
        self.t['sentence_projection_layer.weight'] = self.values(4, inner)

        def one():
            length = self.number(1, min(longest, rows))
            return (self.values(length, scale=1) if image else
                    self.rng.integers(4, 23, length))
        return Classifier, [one() for _ in range(1 + pairs)]

    def adaptive_cuts(self, vocabulary):
        first = self.number(6, vocabulary // 3)
        cuts = [first]
        if self.chance(0.6):
            cuts.append(self.number(first + 1, vocabulary - 1))
        if self.chance(0.2):
            cuts.append(vocabulary)
        return ','.join(map(str, cuts))

    def tables(self, width, vocabulary, language_model):
        """Makes the tensors of the decoder's input and output."""
        t, args = self.t, self.args
        adaptive_input = language_model and self.flag('adaptive_input', 0.4)
        adaptive_output = self.chance(0.4) if language_model else self.chance(0.1)
        narrow = self.one_of(width, width, self.number(2, 30)) if language_model else width
        output = width
        shared = False
        if adaptive_input:
            factor = self.one_of(1, 2, 4)
            if factor != 4 or self.chance():
                args['adaptive_input_factor'] = factor
            args['adaptive_input_cutoff'] = self.adaptive_cuts(vocabulary)
            args['decoder_input_dim'] = narrow = narrow if narrow >= 16 else 16
            cuts = Decoder(t, args).cutoffs('adaptive_input_cutoff', vocabulary)
            bands = [(cut - begin, int(narrow // factor ** i))
                     for i, (begin, cut) in enumerate(zip([0] + cuts, cuts))]
            for i, (count, inner) in enumerate(bands):
                name = f'decoder.embed_tokens.embeddings.{i}.'
                t[name + '0.weight'] = self.values(count, inner)
                t[name + '1.weight'] = self.values(width, inner)
        else:
            t['decoder.embed_tokens.weight'] = self.values(vocabulary, narrow)
            if language_model:
                args['decoder_input_dim'] = narrow
            if narrow != width:
                t['decoder.project_in_dim.weight'] = self.values(width, narrow)
            shared = self.flag('share_decoder_input_output_embed') and not adaptive_output
            args['share_decoder_input_output_embed'] = shared
        if adaptive_output:
            self.adaptive_output(width, vocabulary, adaptive_input, narrow)
            return
        if language_model:
            output = narrow if shared else self.one_of(width, self.number(2, 30))
            args['decoder_output_dim'] = output
        if output != width:
            t['decoder.project_out_dim.weight'] = self.values(output, width)
        if not shared:
            t['decoder.output_projection.weight'] = self.values(vocabulary, output)
        elif self.chance():
            t['decoder.output_projection.weight'] = t['decoder.embed_tokens.weight']

    def adaptive_output(self, width, vocabulary, adaptive_input, narrow):
        t, args, prefix = self.t, self.args, 'decoder.adaptive_softmax.'
        tied = adaptive_input and narrow == width and self.chance(0.7)
        output = width
        if tied:
            args['adaptive_softmax_cutoff'] = args['adaptive_input_cutoff']
            args['adaptive_softmax_factor'] = args.get('adaptive_input_factor', 4)
            args['tie_adaptive_weights'] = True
        else:
            args['adaptive_softmax_cutoff'] = self.adaptive_cuts(vocabulary)
            output = self.one_of(width, self.number(16, 30))
            args['adaptive_softmax_factor'] = self.one_of(1, 2, 4) if output >= 16 else 1
        args['decoder_output_dim'] = output
        if output != width:
            t['decoder.project_out_dim.weight'] = self.values(output, width)
        cuts = Decoder(t, args).cutoffs('adaptive_softmax_cutoff', vocabulary)
        if tied:
            t[prefix + 'head.word_proj.weight'] = t['decoder.embed_tokens.embeddings.0.0.weight']
            if len(cuts) > 1:
                t[prefix + 'head.class_proj.weight'] = self.values(len(cuts) - 1, output)
        else:
            t[prefix + 'head.weight'] = self.values(cuts[0] + len(cuts) - 1, output)
        maps = tied and self.chance()
        if maps and self.chance(0.3):
            args['no_tie_adaptive_proj'] = False
        elif maps or self.chance():
            args['tie_adaptive_proj'] = maps
        for i in range(len(cuts) - 1):
            inner = int(output // args['adaptive_softmax_factor'] ** (i + 1))
            count = cuts[i + 1] - cuts[i]
            words = (t[f'decoder.embed_tokens.embeddings.{i + 1}.0.weight'] if tied
                     else self.values(count, inner))
            t[f'{prefix}tail.{i}.2.weight'] = words
            t[f'{prefix}tail.{i}.0.weight'] = (
                t[f'decoder.embed_tokens.embeddings.{i + 1}.1.weight'] if maps
                else self.values(words.shape[1], output))

    def decoder(self, width, memory, limit, language_model):
        args = self.args
        args['decoder_layers'] = self.number(1, 3)
        self.layers('decoder.', args['decoder_layers'], width, memory)
        longest = self.positions('decoder', 'decoder.', width, limit, 2)
        self.flag('decoder_normalize_before')
        self.tables(width, 61, language_model)
        self.version('decoder')
        self.flag('no_decoder_final_norm', 0.2)
        if language_model and self.chance(0.15):
            self.flag('decoder_final_norm')
        if language_model and not args.get('tie_adaptive_proj') and self.chance(0.1):
            args.setdefault('no_tie_adaptive_proj', True)
        self.final_norm('decoder', width, language_model, 3)
        return longest

    def final_norm(self, side, width, pre, version):
        """Makes the final norm of a pre-norm stack, or its unused tensors for a lower `version`."""
        pre = pre or self.args.get(side + '_normalize_before')
        if pre or self.t.get(side + '.version', [1])[0] < version:
            self.norm(side + '.layer_norm', width)

    def shared_flags(self, sides):
        self.activation('relu')
        self.flag('no_scale_embedding')
        if self.flag('layernorm_embedding'):
            for side, width in sides:
                self.norm(side + '.layernorm_embedding', width)

    def language_model(self):
        heads, width = self.size()
        limit = self.number(20, 60)
        self.args.update(arch='transformer_lm', task='language_modeling')
        self.flag('no_token_positional_embeddings', 0.15)
        self.args[self.one_of('max_target_positions', 'tokens_per_sample')] = limit
        self.heads_of('decoder', heads)
        longest = self.decoder(width, None, limit, True)
        self.shared_flags([('decoder', width)])
        ids = self.rng.integers(2, 61, self.number(1, min(limit, longest)))
        return LanguageModel, [ids]

    def translator(self):
        heads, width = self.size()
        own_heads, own = self.size()
        limit, other = self.number(20, 60), self.number(20, 60)
        self.args.update(arch='transformer', task='translation', encoder_layers=self.number(1, 3),
                         max_source_positions=other, max_target_positions=limit)
        self.flag('no_token_positional_embeddings', 0.15)
        self.heads_of('encoder', heads)
        self.heads_of('decoder', own_heads)
        self.layers('encoder.', self.args['encoder_layers'], width, None)
        most = self.positions('encoder', 'encoder.', width, other, 2)
        self.flag('encoder_normalize_before')
        self.version('encoder')
        self.final_norm('encoder', width, False, 2)
        longest = self.decoder(own, width, limit, False)
        self.t['encoder.embed_tokens.weight'] = self.values(47, width)
        if own == width and self.chance(0.5) and not self.args.get('adaptive_softmax_cutoff'):
            self.args['share_all_embeddings'] = True
            self.t['encoder.embed_tokens.weight'] = self.t['decoder.embed_tokens.weight']
            if 'decoder.output_projection.weight' in self.t:
                self.t['decoder.output_projection.weight'] = self.t['decoder.embed_tokens.weight']
        self.shared_flags([('encoder', width), ('decoder', own)])
        return Translator, [self.rng.integers(4, 47, self.number(1, min(other, most))),
                            self.rng.integers(2, 61, self.number(1, min(limit, longest)))]


def renamed(draw):
    """The tensors, of which each may get its name of an old version."""
    t = dict(draw.t)
    if draw.chance(0.3):
        for name in [n for n in t if n.endswith('.q_proj.weight')]:
            at = name[:-len('q_proj.weight')]
            if t[at + 'k_proj.weight'].shape != t[at + 'q_proj.weight'].shape:
                continue
            for kind in 'weight', 'bias':
                t[f'{at}in_proj_{kind}'] = np.concatenate(
                    [t.pop(f'{at}{part}_proj.{kind}') for part in 'qkv'])
    if draw.chance(0.3):
        for name in [n for n in t if '.layers.' in n and n.endswith(('norm.weight', 'norm.bias'))]:
            at, norm, kind = name.rsplit('.', 2)
            norms = ['self_attn_layer_norm', 'encoder_attn_layer_norm', 'final_layer_norm']
            if at.startswith('encoder.'):
                del norms[1]
            t[f'{at}.layer_norms.{norms.index(norm)}.{kind}'] = t.pop(name)
    if 'decoder.output_projection.weight' in t and draw.chance(0.3):
        t['decoder.embed_out'] = t.pop('decoder.output_projection.weight')
    for name in [n for n in t if n.endswith('_float_tensor')]:
        if draw.chance(0.3):
            at = name[:-len('embed_positions._float_tensor')]
            width = t[at + 'layers.0.fc1.weight'].shape[1]
            t[at + 'embed_positions.weights'] = np.full((30, width), 777, np.float32)
    return t


def save(path, tensors, args):
    """Writes a checkpoint as fairseq does. Arrays that are one object share their storage."""
    made = {}

    def tensor(value):
        if id(value) not in made:
            made[id(value)] = checkpoint.tensor('Float', value.shape, bytearray(value.tobytes()))
        return made[id(value)]

    state = {name: tensor(value) for name, value in tensors.items()}
    checkpoint.save(path, *checkpoint.pickled({'args': argparse.Namespace(**args),
                                               'model': state}))


# ---- Runs -------------------------------------------------------------------------------------


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          check=False)
    return done.stderr.strip() if done.returncode else None


def convert(tensors, args, folder):
    """Makes model.mega of a checkpoint; returns why that failed, or None."""
    save(folder / 'model.pt', tensors, args)
    return run(BUILD / 'mega-convert', '-q', '--force', '-o', folder / 'model.mega',
               folder / 'model.pt')


def write_inputs(inputs, translates, folder):
    """Writes inputs as arrays; returns the arguments by which `mega-run forward` reads them."""
    arguments = []
    for i, x in enumerate(inputs):
        arguments += ['--target' if i and translates else '--in', folder / f'{i}.npy']
        np.save(folder / f'{i}.npy', x)
    return arguments


def check(draw, model, inputs, folder):
    """Returns a sentence about what differs, or None."""
    failed = convert(renamed(draw), draw.args, folder)
    if failed:
        return failed
    files = write_inputs(inputs, model is Translator, folder)
    failed = run(BUILD / 'mega-run', 'forward', '-m', folder / 'model.mega', *files, '-o',
                 folder / 'out.npy')
    if failed:
        return failed
    plain = model(draw.t, draw.args)
    plain.vocabulary = 61
    expected = plain.logits(*inputs)
    got = np.load(folder / 'out.npy').reshape(expected.shape)
    error = np.abs(got - expected).max() / max(1, np.abs(expected).max())
    if error > TOLERANCE:
        return f'off by {error:.2g}'
    if model is Translator:
        return check_greedy(plain, inputs[0], folder)
    return check_score(plain, inputs[0], folder) if model is LanguageModel else None


def text_command(name, folder, ids, *options):
    """The JSON that a command prints about a text of ids, or without ids about each of its inputs;
    if it fails, its message."""
    text = [] if ids is None else ['--text', ' '.join(map(str, ids))]
    done = subprocess.run([str(BUILD / 'mega-run'), name, '-m', str(folder / 'model.mega'), '--ids',
                           '--json', *options, *text],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr.strip() or done.stdout.strip()
    return (json.loads(done.stdout) if text else
            [json.loads(line) for line in done.stdout.splitlines()])


def check_score(plain, ids, folder):
    """Compares the probability of a text, which is read step by step after </s>."""
    logprobs = log_softmax(plain.logits(np.concatenate([[END], ids[:-1]])))
    expected = logprobs[np.arange(len(ids)), ids].sum()
    got = text_command('score', folder, ids)
    if isinstance(got, str):
        return got
    error = abs(got['logprob'] - expected) / max(1, abs(expected))
    return None if error <= TOLERANCE else f'score: off by {error:.2g}'


def check_greedy(plain, source, folder):
    """Compares a greedy translation, whose last token is always </s>, and its first one never."""
    source = [*source[:-1], END]
    most = min(12, plain.args['max_target_positions'] - 1)
    ids = [END]
    while len(ids) == 1 or ids[-1] != END:
        scores = plain.logits(np.array(source), np.array(ids))[-1]
        scores[PAD] = -np.inf
        scores[END] = -np.inf if len(ids) == 1 else scores[END]
        ids.append(END if len(ids) > most else int(scores.argmax()))
    got = text_command('translate', folder, source, '--beam', '1', '--max-len-b', str(most))
    if isinstance(got, str):
        return got
    got = got['hypotheses'][0]['ids']
    return None if got == ids[1:] else f'translates to {got}, not {ids[1:]}'


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            draw = Draw(np.random.default_rng([seed, i]))
            family = draw.one_of('classifier', 'translator', 'language_model')
            model, inputs = getattr(draw, family)()
            fault = check(draw, model, inputs, pathlib.Path(folder))
            if fault:
                failed += 1
                print(f'{family} {i} of seed {seed}: {fault}\n    {draw.args}')
    print(f'transformer: {count - failed} equal, {failed} differ')
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
