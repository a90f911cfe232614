#!/usr/bin/env python3
"""Compares random models of MEGA with a plain implementation: mega.py [COUNT [SEED]]

    MEGA_BUILD=build python3 tests/oracles/mega.py 200

Draws COUNT (200) classifiers of tokens, of numbers and of pictures, translators and language models
with everything that a checkpoint of the original may have: any widths, all norms, before or after,
all functions of attention, both kinds of bias, chunks, truncation, adaptive input and softmax. Each
is written as a checkpoint, converted, and run by `mega-run forward`. Its logits are compared with
those of the function below, which knows tensors and arguments only, follows MODEL.md and computes in
double precision. The script also compares runs in pieces, with one thread, with the kernels that
MEGA_TIERS names (generic) and with matrices of other types, probabilities of several inputs in one
run, and what goes step by step: scores, greedy texts and beam searches. It prints the models that
differ and exits with 1 if there are any. It needs NumPy and is not part of 'make test'.
"""
import argparse
import math
import os
import pathlib
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True
import transformer as plain  # noqa: E402

ACTIVATIONS = dict(plain.ACTIVATIONS, tanh=np.tanh, sigmoid=lambda x: 1 / (1 + np.exp(-x)))
ACTIVATIONS['swish'] = silu = ACTIVATIONS['silu']
sigmoid = ACTIVATIONS['sigmoid']
ATTENTIONS = ('softmax', 'relu2', 'laplace')
WILD = 1e4  # models with larger states are not compared, since rounding dominates
NORMS = ('layernorm', 'scalenorm', 'rmsnorm', 'batchnorm', 'syncbatchnorm')

# ---- The function -----------------------------------------------------------------------------


class Model(plain.Decoder):
    """The layers, which all models have; their parts are in the order of MODEL.md."""

    swapped = False  # the image model's names of alpha and delta, and its look-ahead from t + 1
    truncated = True
    largest = 0.0  # largest value of all states

    def kernels(self, name, length):
        t, truncation = self.t, self.args.get('truncation_length') or 0
        delta, alpha = t[name + 'delta'][..., 0], t[name + 'alpha'][..., 0]
        if self.swapped:
            delta, alpha = alpha, delta
        p = sigmoid(delta)
        q = 1 - p * sigmoid(alpha)
        lags = length if truncation <= 0 or not self.truncated else min(length, truncation)
        scale = p * t[name + 'beta'][..., 0] * t[name + 'gamma'] / math.sqrt(p.shape[1])
        return np.einsum('cn,cnt->ct', scale, q[..., None] ** np.arange(lags))

    def average(self, name, x):
        """silu(EMA(x) + omega x)."""
        length, d = x.shape
        kernel, y, shift = self.kernels(name, length), np.zeros_like(x), int(self.swapped)
        for c in range(d):
            y[:, c] = np.convolve(x[:, c], kernel[c])[:length]
            if len(kernel) > d and length > shift:
                ahead = np.convolve(x[::-1, c], kernel[d + c])[:length]
                y[:length - shift, c] += ahead[:length - shift][::-1]
        return silu(y + self.t[name + 'omega'] * x)

    def norm(self, name, x, affine=True):
        t, kind = self.t, self.args.get('norm_type') or self.args.get('normalization_type')
        if kind.endswith('batchnorm'):
            y = (x - t[name + 'running_mean']) / np.sqrt(t[name + 'running_var'] + 1e-5)
        elif kind == 'layernorm':
            y = ((x - x.mean(-1, keepdims=True))
                 / np.sqrt(x.var(-1, keepdims=True) + 1e-5))
        else:
            y = x / np.sqrt((x ** 2).mean(-1, keepdims=True) + 1e-5)
        if not affine:
            return y
        if kind == 'scalenorm':
            return y * t[name + 'scalar']
        return y * t[name + 'weight'] + t.get(name + 'bias', 0)

    def bias(self, name, rows, columns):
        """The relative position bias [rows][columns]."""
        t = self.t
        i, j = np.arange(rows)[:, None], np.arange(columns)[None]
        if name + 'rel_pos_bias' in t:
            table = t[name + 'rel_pos_bias']
            return table[len(table) // 2 + j - i]
        half = t[name + 'alpha'].shape[1] // 2
        f = 10000.0 ** (-np.arange(half) / half)

        def rotated(x, count):
            angle = np.arange(count)[:, None] * f
            a, b = x[0, :half], x[0, half:]
            return np.concatenate([a * np.cos(angle) - b * np.sin(angle),
                                   b * np.cos(angle) + a * np.sin(angle)], 1)
        return rotated(t[name + 'alpha'], rows) @ rotated(t[name + 'beta'], columns).T

    def weights(self, q, k, bias, causal):
        kind = self.args.get('attention_activation_fn', 'laplace')
        seen = np.tri(len(q), len(k), dtype=bool) if causal else np.ones((len(q), len(k)), bool)
        if kind == 'softmax':
            s = q @ k.T / math.sqrt(q.shape[1]) + bias
            return plain.softmax(np.where(seen, s, -np.inf))
        s = q @ k.T / seen.sum(1, keepdims=True) + bias
        if kind == 'relu2':
            return np.maximum(s, 0) ** 2 * seen
        return 0.5 * (1 + plain.erf((s - 0.707107) / (0.282095 * math.sqrt(2)))) * seen

    def gated(self, name, x, chunk, causal, pre, act):
        t, d = self.t, x.shape[1]
        y = self.norm(name + 'norm.norm.', x) if pre else x
        v = act(self.linear(name + 'v_proj', y))
        m = self.average(name + 'move.', y)
        z_dim, h = t[name + 'gamma'].shape[1], v.shape[1]
        u, z, r, c = np.split(self.linear(name + 'mx_proj', m),
                              np.cumsum([d, z_dim, h]), 1)
        u, z, r = sigmoid(u), silu(z), silu(r)
        q, k = (z * t[name + 'gamma'][i] + t[name + 'beta'][i] for i in range(2))
        a, step = np.zeros_like(v), chunk if chunk > 0 else len(x)
        for at in range(0, len(x), step):
            part = slice(at, at + step)
            n = len(q[part])
            a[part] = self.weights(q[part], k[part], self.bias(name + 'rel_pos_bias.', n, n),
                                   causal) @ v[part]
        x = x + u * (act(c + self.linear(name + 'h_proj', a * r)) - x)
        return x if pre else self.norm(name + 'norm.norm.', x)

    def cross(self, name, x, memory, pre, act):
        d = x.shape[1]
        y = self.norm(name + 'norm.norm.', x) if pre else x
        u, r, q = np.split(self.linear(name + 'q_proj', y), [d, 2 * d], 1)
        k, v = self.linear(name + 'k_proj', memory), act(self.linear(name + 'v_proj', memory))
        a = self.weights(q, k, self.bias(name + 'rel_pos_bias.', len(q), len(k)), False) @ v
        x = x + sigmoid(u) * (act(self.linear(name + 'h_proj', a * silu(r))) - x)
        return x if pre else self.norm(name + 'norm.norm.', x)

    def feed_forward(self, name, x, pre, act):
        y = self.norm(name + 'norm.norm.', x) if pre else x
        x = x + self.linear(name + 'fc2', act(self.linear(name + 'fc1', y)))
        return x if pre else self.norm(name + 'norm.norm.', x)

    def run(self, prefix, x, chunk, final_norm, memory=None, causal=False, pre=None):
        args, i = self.args, 0
        act = ACTIVATIONS[self.get('activation_fn', 'silu')]
        if pre is None:
            pre = bool(args.get('encoder_normalize_before') or args.get('normalize_before'))
        while f'{prefix}{i}.mega_layer.move.omega' in self.t:
            self.largest = max(self.largest, np.abs(x).max())
            x = self.gated(f'{prefix}{i}.mega_layer.', x, chunk, causal, pre, act)
            if memory is not None:
                x = self.cross(f'{prefix}{i}.cross_attn.', x, memory, pre, act)
            if f'{prefix}{i}.nffn.fc1.weight' in self.t:
                x = self.feed_forward(f'{prefix}{i}.nffn.', x, pre, act)
            i += 1
        if not pre:
            return x
        return self.norm(final_norm + '.norm.', x, not args.get('no_affine_final_norm'))

    def embed_norm(self, name, x):
        return self.norm(name, x) if self.args.get('normalize_embedding') else x


class Classifier(Model):
    def vector(self, x):
        t, prefix = self.t, 'encoder.encoder.'
        table = prefix + 'embed_tokens.embed.weight'
        x = (t[table][x] if table in t else
             x[:, None] * t[prefix + 'embed_tokens.weight'] + t[prefix + 'embed_tokens.bias'])
        x = self.run(prefix + 'layers.', self.embed_norm(prefix + 'embed_norm.norm.', x),
                     self.get('chunk_size', 0), prefix + 'final_norm')
        return x.mean(0) if self.args['sen_rep_type'] == 'mp' else x[0]

    def logits(self, *inputs):
        x = np.concatenate([self.vector(x) for x in reversed(inputs)])
        act = ACTIVATIONS[self.get('classifier_activation_fn', 'gelu')]
        for i in range(self.args['classifier_layers']):
            x = act(self.linear(f'classifier.{i}.0', x))
        return self.t['sentence_projection_layer.weight'] @ x


class Picture(Model):
    swapped = True

    def logits(self, x):
        t = self.t
        weight = t['patch_embed.pemb.proj.weight']
        channels, patch = len(x), int(round(math.sqrt(weight[0].size / len(x))))
        side = x.shape[1] // patch
        patches = x.reshape(channels, side, patch, side, patch).transpose(1, 3, 0, 2, 4)
        y = (patches.reshape(side * side, -1) @ weight.reshape(len(weight), -1).T
             + t['patch_embed.pemb.proj.bias'])
        if 'pos_embed' in t:
            y = y + t['pos_embed'][0]
        y = self.run('blocks.', y, 0, 'final_norm', pre=True)
        y = silu(self.linear('out_proj.fc', y)).mean(0)
        if 'pre_logits.fc.weight' in t:
            y = silu(self.linear('pre_logits.fc', y))
        return self.linear('head', y)


class LanguageModel(Model):
    def decode(self, ids, memory=None):
        x = self.rows(ids, len(self.t['decoder.layers.0.mega_layer.move.omega']))
        x = self.embed_norm('decoder.embed_norm.norm.', x)
        return self.scores(self.run('decoder.layers.', x, self.get('decoder_chunk_size', 0),
                                    'decoder.final_norm', memory, True))

    def logits(self, ids):
        return self.decode(ids)


class Translator(LanguageModel):
    def logits(self, source, target):
        x = self.t['encoder.embed_tokens.weight'][source]
        x = self.embed_norm('encoder.embed_norm.norm.', x * self.scale(x.shape[1]))
        truncated, self.truncated = self.truncated, True
        x = self.run('encoder.layers.', x, self.get('encoder_chunk_size', 0), 'encoder.final_norm')
        self.truncated = truncated
        return self.decode(target, x)


# ---- Random models ----------------------------------------------------------------------------


class Draw(plain.Draw):
    def norm(self, name, width, affine=True):
        kind = self.args.get('norm_type') or self.args.get('normalization_type')
        if affine and kind == 'scalenorm':
            self.t[name + 'scalar'] = 1 + self.values(1, scale=0.3)
        elif affine:
            self.t[name + 'weight'] = 1 + self.values(width, scale=0.3)
            if kind != 'rmsnorm':
                self.t[name + 'bias'] = self.values(width, scale=0.3)
        if kind.endswith('batchnorm'):
            self.t[name + 'running_mean'] = self.values(width, scale=0.3)
            self.t[name + 'running_var'] = 0.5 + np.abs(self.values(width, scale=1))

    def odd(self, *usual):
        """A size: a usual one, or any small one."""
        if self.chance(0.1):
            return self.number(70, 300)
        return self.one_of(*usual) if self.chance(0.3) else self.number(1, 70)

    def common(self, norm='norm_type', pre='encoder_normalize_before', attention=True):
        args = self.args
        args[norm] = self.one_of(*NORMS)
        if pre:
            args[pre] = self.one_of(True, False, 1, 0)
            if args[pre]:
                args['no_affine_final_norm'] = self.chance(0.3)
            self.flag('normalize_embedding', 0.3)
            args['truncation_length'] = self.one_of(None, 0, -1, 1, self.number(1, 60), 1000)
        if attention:
            args['attention_activation_fn'] = self.one_of(*ATTENTIONS)
        if self.chance(0.8):
            args['activation_fn'] = self.one_of(*ACTIVATIONS)
        self.rotary = self.chance()
        args['rel_pos_bias'] = 'rotary' if self.rotary else 'simple'

    def chunk(self, name):
        """A chunk size, or none."""
        chunk = self.one_of(None, -1, 0, 1, 2, self.number(3, 20), self.number(20, 70), 300)
        self.args[name] = chunk
        return max(chunk or 0, 0)

    def bias(self, name, z, positions):
        if self.rotary:
            self.t[name + 'alpha'] = self.values(1, z, scale=0.5)
            self.t[name + 'beta'] = self.values(1, z, scale=0.5)
        else:
            self.t[name + 'rel_pos_bias'] = self.values(2 * positions - 1, scale=0.5)

    def stack(self, prefix, final, width, count, positions, both, cross=0):
        h, z, n = self.odd(2 * width, 64), self.odd(16, 32, 1), self.one_of(1, 2, 3, 4, 7, 16, 20)
        ffn = self.one_of(0, self.odd(2 * width, 64))
        z += z % 2 if self.rotary else 0
        for i in range(count):
            at = f'{prefix}{i}.mega_layer.'
            self.norm(at + 'norm.norm.', width)
            rows = (1 + both) * width
            for name in 'delta', 'alpha', 'beta':
                self.t[f'{at}move.{name}'] = self.values(rows, n, 1, scale=1)
            self.t[at + 'move.delta'] -= 1
            self.t[at + 'move.gamma'] = self.values(rows, n, scale=1)
            self.t[at + 'move.omega'] = self.values(width, scale=1)
            self.linear(at + 'v_proj', h, width)
            self.linear(at + 'mx_proj', 2 * width + z + h, width)
            self.linear(at + 'h_proj', width, h)
            if self.args.get('attention_activation_fn') != 'softmax':  # weights can add up to much
                self.t[at + 'h_proj.weight'] *= np.float32(0.1)
            self.t[at + 'gamma'] = self.values(2, z, scale=1)
            self.t[at + 'beta'] = self.values(2, z, scale=0.5)
            self.bias(at + 'rel_pos_bias.', z, positions)
            if cross:
                to = f'{prefix}{i}.cross_attn.'
                self.norm(to + 'norm.norm.', width)
                self.linear(to + 'q_proj', 2 * width + z, width)
                self.linear(to + 'k_proj', z, width)
                self.linear(to + 'v_proj', width, width)
                self.linear(to + 'h_proj', width, width)
                self.bias(to + 'rel_pos_bias.', z, cross)
            if ffn:
                at = f'{prefix}{i}.nffn.'
                self.norm(at + 'norm.norm.', width)
                self.linear(at + 'fc1', ffn, width)
                self.linear(at + 'fc2', width, ffn)
        if self.args.get('encoder_normalize_before') or self.args.get('normalize_before'):
            self.norm(final + '.norm.', width, not self.args.get('no_affine_final_norm'))

    def length(self, most, chunk):
        """A length, often near a multiple of the chunk."""
        wanted = self.one_of(1, 2, self.number(1, 150), self.number(1, 150),
                             chunk * self.number(1, 4) + self.number(-1, 1))
        if self.chance(0.1):
            wanted = self.number(150, 4000)
        return min(max(wanted, 1), most)

    def classifier(self):
        width, prefix, args = self.odd(24, 32, 64), 'encoder.encoder.', self.args
        image, pairs = self.chance(0.4), self.chance(0.25)
        args.update(arch='mega_lra_listop', layer_type='mega',
                    task='lra-image' if image else 'lra-text',
                    input_type='image' if image else 'text',
                    sen_rep_type='mp' if image else self.one_of('mp', 'cls'),
                    encoder_layers=self.number(1, 3))
        self.common()
        chunk, most = self.chunk('chunk_size'), self.number(20, 200)
        args['max_positions'] = most
        if self.rotary or chunk:
            most = self.one_of(most, 4000)
        self.stack(prefix + 'layers.', prefix + 'final_norm', width, args['encoder_layers'],
                   chunk or most, True)
        if image:
            self.t[prefix + 'embed_tokens.weight'] = self.values(width, scale=1)
            self.t[prefix + 'embed_tokens.bias'] = self.values(width, scale=0.5)
        else:
            self.t[prefix + 'embed_tokens.embed.weight'] = self.values(23, width, scale=1)
        if args.get('normalize_embedding'):
            self.norm(prefix + 'embed_norm.norm.', width)
        inner = width * (1 + pairs)
        args['classifier_layers'] = self.one_of(0, 1, 1, 2, 3)
        if self.chance():
            args['classifier_activation_fn'] = self.one_of(*ACTIVATIONS)
        for i in range(args['classifier_layers']):
            out = args['classifier_out_dim'] = args.get('classifier_out_dim') or self.odd(64)
            self.linear(f'classifier.{i}.0', out, inner)
            inner = out
        self.t['sentence_projection_layer.weight'] = self.values(self.number(1, 9), inner)

        def one():
            length = self.length(most, chunk)
            return self.values(length, scale=1) if image else self.rng.integers(4, 23, length)
        return Classifier, [one() for _ in range(1 + pairs)]

    def picture(self):
        width, args = self.odd(24, 48), self.args
        patch, side = self.number(1, 8), self.number(1, 9)
        linear = self.chance()
        channels = 3 if linear else self.one_of(1, 3)
        self.common(pre=None, attention=False)
        del args['rel_pos_bias']
        args.pop('activation_fn', None)
        self.rotary = self.chance(0.2)
        args.update(model='mega_tiny_patch16_224', input_size=patch * side,
                    patch_impl='linear' if linear else 'conv')
        args['encoder_normalize_before'] = True  # for stack() below
        self.stack('blocks.', 'final_norm', width, self.number(1, 3), side * side, True)
        del args['encoder_normalize_before']
        shape = (channels * patch * patch,) if linear else (channels, patch, patch)
        self.t['patch_embed.pemb.proj.weight'] = self.values(width, *shape, scale=0.2)
        self.t['patch_embed.pemb.proj.bias'] = self.values(width, scale=0.3)
        if self.rotary or self.chance():
            self.t['pos_embed'] = self.values(1, side * side, width, scale=0.5)
        self.linear('out_proj.fc', width, width)
        inner = width
        if self.chance():
            inner = args['representation_size'] = self.odd(40)
            self.linear('pre_logits.fc', inner, width)
        self.linear('head', self.number(1, 9), inner)
        return Picture, [self.values(channels, patch * side, patch * side, scale=1)]

    def decoder(self, width, count, positions, language_model, cross=0):
        self.args['decoder_layers'] = count
        self.stack('decoder.layers.', 'decoder.final_norm', width, count, positions, False, cross)
        self.tables(width, 61, language_model)
        if self.args.get('normalize_embedding'):
            self.norm('decoder.embed_norm.norm.', width)
        self.flag('no_scale_embedding')

    def language_model(self):
        width, args = max(16, self.odd(24, 32, 64)), self.args
        args.update(arch='mega_lm_enwik8_base', task='language_modeling')
        self.common('normalization_type', 'normalize_before')
        chunk, most = self.chunk('decoder_chunk_size'), self.number(20, 200)
        args[self.one_of('max_target_positions', 'tokens_per_sample')] = most
        self.decoder(width, self.number(1, 3), chunk or most, True)
        if self.rotary or chunk:
            most = self.one_of(most, 2000)
        return LanguageModel, [self.rng.integers(2, 61, self.length(most, chunk))]

    def translator(self):
        width, args = self.odd(24, 32, 64), self.args
        args.update(arch='mega_wmt_en_de', task='translation', encoder_layers=self.number(1, 3),
                    max_source_positions=self.number(20, 100),
                    max_target_positions=self.number(20, 100))
        self.common('normalization_type', 'normalize_before')
        source, target = args['max_source_positions'], args['max_target_positions']
        chunk, own = self.chunk('encoder_chunk_size'), self.chunk('decoder_chunk_size')
        self.stack('encoder.layers.', 'encoder.final_norm', width, args['encoder_layers'],
                   chunk or source, True)
        if args.get('normalize_embedding'):
            self.norm('encoder.embed_norm.norm.', width)
        self.decoder(width, self.number(1, 3), own or target, False, max(source, target))
        self.t['encoder.embed_tokens.weight'] = self.values(47, width)
        if self.chance() and not args.get('adaptive_softmax_cutoff'):
            args['share_all_embeddings'] = True
            self.t['encoder.embed_tokens.weight'] = self.t['decoder.embed_tokens.weight']
            if 'decoder.output_projection.weight' in self.t:
                self.t['decoder.output_projection.weight'] = self.t['decoder.embed_tokens.weight']
        return Translator, [self.rng.integers(4, 47, self.length(source, chunk)),
                            self.rng.integers(2, 61, self.length(target, own))]


# ---- Runs -------------------------------------------------------------------------------------


def forward(folder, files, out, *options):
    return plain.run(plain.BUILD / 'mega-run', 'forward', '-m', folder / 'model.mega', *files, '-o',
                     folder / out, *options)


def compare(folder, out, expected):
    got = np.load(folder / out).reshape(expected.shape)
    error = np.abs(got - expected).max() / max(1, np.abs(expected).max())
    return None if error <= plain.TOLERANCE else f'{out} is off by {error:.2g}'


def check_forms(draw, model, files, expected, folder):
    """Compares one thread, other kernels and pieces."""
    failed = forward(folder, files, 'one-thread.npy', '-t', '1')
    if failed:
        return failed
    if not np.array_equal(np.load(folder / 'out.npy'), np.load(folder / 'one-thread.npy')):
        return 'one thread gives other bits'
    tier = draw.one_of(*os.environ.get('MEGA_TIERS', 'generic').split(','))
    fault = forward(folder, files, f'{tier}.npy', '--cpu', tier)
    fault = fault or compare(folder, f'{tier}.npy', expected)
    chunk = draw.args.get('chunk_size') or 0
    if fault or chunk < 1 or len(files) > 2:
        return fault
    fault = forward(folder, files, 'pieces.npy', '--pieces', chunk * draw.number(1, 3))
    return fault or compare(folder, 'pieces.npy', expected)


def check_chunks(draw, form, files, inputs, folder):
    """Compares another chunk, which a decoder with a rotary bias can have."""
    if not draw.rotary:
        return None
    chunk = form.args['decoder_chunk_size'] = draw.one_of(0, draw.number(1, 40))
    form.truncated = True
    fault = forward(folder, files, 'chunk.npy', '--chunk', chunk)
    return fault or compare(folder, 'chunk.npy', form.logits(*inputs))


def check_types(draw, files, expected, folder):
    """Compares smaller types of weights, which change the numbers a little."""
    kind, most = draw.one_of(('f16', 0.05), ('bf16', 0.3), ('int8', 0.3), ('int4', 1.5))
    fault = plain.run(plain.BUILD / 'mega-convert', '-q', '--force', '--dtype', kind, '-o',
                      folder / 'small.mega', folder / 'model.mega')
    fault = fault or plain.run(plain.BUILD / 'mega-run', 'forward', '-m', folder / 'small.mega',
                               *files, '-o', folder / 'small.npy')
    if fault:
        return fault
    error = np.abs(np.load(folder / 'small.npy').reshape(expected.shape) - expected).max()
    if error > most * max(1, np.abs(expected).max()):
        return f'{kind} is off by {error:.2g}'
    return None


def check_classified(draw, form, inputs, folder):
    """Compares the probabilities of several texts, which a session may run as one batch."""
    texts = [[int(x) for x in inputs[0][:draw.number(1, len(inputs[0]))]] for _ in range(3)]
    (folder / 'texts').write_text('\n'.join(' '.join(map(str, ids)) for ids in texts) + '\n')
    classes = len(form.t['sentence_projection_layer.weight'])
    found = plain.text_command('classify', folder, None, '--lines', '--top', str(classes),
                               str(folder / 'texts'))
    if isinstance(found, str):
        return found
    for ids, one in zip(texts, found, strict=True):
        expected = plain.softmax(form.logits(np.array(ids)))
        got = {label['index']: label['probability'] for label in one['top']}
        if any(abs(got[i] - p) > plain.TOLERANCE for i, p in enumerate(expected)):
            return f'{len(ids)} tokens have {got}, not {expected}'
    return None


def check_generated(form, prompt, folder):
    """Compares the most probable tokens after a text; <pad> is never chosen."""
    ids = [plain.END, *prompt]
    for _ in range(6):
        scores = form.logits(np.array(ids))[-1]
        scores[plain.PAD] = -np.inf
        ids.append(int(scores.argmax()))
    got = plain.text_command('generate', folder, ids[:1 + len(prompt)], '--greedy',
                             '--ignore-eos', '-n', '6')
    if isinstance(got, str):
        return got
    wanted = ids[1 + len(prompt):]
    return None if got['ids'] == wanted else f'goes on with {got["ids"]}, not {wanted}'


def search(form, source, beam, lenpen, longest):
    """The hypotheses of a beam search, best first, each with its score."""
    live, done = [([plain.END], 0.0)], []
    for step in range(longest + 1):
        candidates = []
        for ids, total in live:
            scores = plain.log_softmax(form.logits(np.array(source), np.array(ids)))[-1]
            scores[plain.PAD] = -np.inf
            if step < 1:
                scores[plain.END] = -np.inf
            if step == longest:
                scores[np.arange(len(scores)) != plain.END] = -np.inf
            candidates += [(total + score, ids + [word]) for word, score in enumerate(scores)]
        candidates.sort(key=lambda c: -c[0])
        live = []
        for rank, (total, ids) in enumerate(candidates[:2 * beam]):
            if not np.isfinite(total):
                continue
            if ids[-1] != plain.END:
                live.append((ids, total))
            elif rank < beam and len(done) < beam:
                done.append((total / (len(ids) - 1) ** lenpen, ids[1:]))
        live = live[:beam]
        if len(done) == beam:
            break
    return sorted(done, key=lambda d: -d[0])


def check_beam(draw, form, source, folder):
    source, beam = [*source[:-1], plain.END], draw.number(2, 5)
    lenpen, most = draw.one_of(0.5, 1, 2), min(9, draw.args['max_target_positions'] - 1)
    wanted = search(form, source, beam, lenpen, most)
    got = plain.text_command('translate', folder, source, '--beam', str(beam), '--nbest', str(beam),
                             '--lenpen', str(lenpen), '--max-len-b', str(most))
    if isinstance(got, str):
        return got
    for (score, ids), found in zip(wanted, got['hypotheses'], strict=True):
        if found['ids'] != ids or abs(found['score'] - score) > 1e-4 * max(1, abs(score)):
            return f'beam {beam} finds {found["ids"]} of {found["score"]}, not {ids} of {score}'
    return None


def check(draw, model, inputs, folder):
    """Returns a sentence about what differs, or None."""
    failed = plain.convert(draw.t, draw.args, folder)
    if failed:
        return failed
    files = plain.write_inputs(inputs, model is Translator, folder)
    form = model(draw.t, draw.args)
    form.vocabulary = 61
    expected = form.logits(*inputs)
    if not form.largest < WILD:
        return None
    failed = forward(folder, files, 'out.npy')
    if failed:
        return failed
    fault = (compare(folder, 'out.npy', expected)
             or check_forms(draw, model, files, expected, folder)
             or check_types(draw, files, expected, folder))
    if fault:
        return fault
    if model is Classifier and len(inputs) == 1 and inputs[0].dtype.kind == 'i':
        return check_classified(draw, form, inputs, folder)
    form.truncated = False  # as in the steps of the original
    if model is Translator:
        return (plain.check_greedy(form, inputs[0], folder)
                or check_beam(draw, form, inputs[0], folder))
    if model is not LanguageModel:
        return None
    return (plain.check_score(form, inputs[0], folder)
            or check_generated(form, [int(x) for x in inputs[0][:30]], folder)
            or check_chunks(draw, form, files, inputs, folder))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('count', nargs='?', type=int, default=200)
    parser.add_argument('seed', nargs='?', type=int, default=1)
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for i in range(options.count):
            draw = Draw(np.random.default_rng([options.seed, i]))
            family = draw.one_of('classifier', 'classifier', 'picture', 'translator',
                                 'language_model')
            model, inputs = getattr(draw, family)()
            fault = check(draw, model, inputs, pathlib.Path(folder))
            if fault:
                failed += 1
                print(f'{family} {i} of seed {options.seed}: {fault}\n    {draw.args} '
                      f'{[x.shape for x in inputs]}', flush=True)
    print(f'mega: {options.count - failed} equal, {failed} differ')
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
