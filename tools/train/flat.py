"""Trains models on flat batches: sentences, texts, clips or pictures end to end, without padding.

Dense layers see plain (tokens, channels) matrices, and the operators of flat.cpp walk the
sentences. The models, their parameters and their loss are those of sequence.py, in every
architecture, and of MEGA's classifiers in mega.py. All products are computed in bfloat16 where the
processor has such products, else in float32; parameters, norms, gates, sums and the loss are
float32 in either case.
"""

import ctypes
import hashlib
import os
import pathlib
import platform
import subprocess
import tempfile
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines import Stack
import mega
from sequence import EOS, PAD, RotaryBias

SOURCE = pathlib.Path(__file__).with_name('flat.cpp')
HEADER = SOURCE.with_name('vectors.hpp')
SCANNED = 128  # averages of longer sequences carry states from position to position
FLAGS = ('-O3', '-march=native', '-fno-math-errno', '-std=c++17', '-shared', '-fPIC')


def fast_type():
    """The type of the factors of products: bfloat16 if the processor multiplies it, or float32."""
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def _load_library():
    """Compile flat.cpp for this processor, once, and load it."""
    processor = platform.machine()
    if os.path.exists('/proc/cpuinfo'):
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            processor += next((line for line in file if line.startswith('flags')), '')
    compiler = os.environ.get('CXX', 'c++')
    sources = SOURCE.read_text('utf-8'), HEADER.read_text('utf-8')
    key = '\n'.join((*sources, compiler, processor, *FLAGS)).encode()
    cache = os.environ.get('XDG_CACHE_HOME', pathlib.Path.home() / '.cache')
    cache = pathlib.Path(cache, 'mega-train')
    library = cache / f'flat-{hashlib.sha256(key).hexdigest()[:16]}.so'
    if not library.exists():
        cache.mkdir(parents=True, exist_ok=True)
        # Renaming the finished library lets no other process load half of one.
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            partial = pathlib.Path(folder, library.name)
            subprocess.run([compiler, *FLAGS, str(SOURCE), '-o', str(partial)], check=True)
            os.replace(partial, library)
    return ctypes.CDLL(str(library))


_library = _load_library()


def _call(name, values, *arguments):
    """Call a function of flat.cpp with tensors as pointers, integers as int64, floats as float.

    The type of the tensor ``values`` chooses between the two forms of the function.
    """
    kind = {torch.float32: 'float', torch.bfloat16: 'bfloat16'}[values.dtype]
    converted = []
    for argument in arguments:
        if isinstance(argument, Tensor):
            converted.append(ctypes.c_void_p(argument.data_ptr()))
        elif isinstance(argument, bool):
            converted.append(ctypes.c_int(argument))
        elif isinstance(argument, int):
            converted.append(ctypes.c_int64(argument))
        else:
            converted.append(ctypes.c_float(argument))
    getattr(_library, f'flat_{name}_{kind}')(*converted)


def fills_vectors(*counts):
    """Whether rows of so many channels are whole vectors of this processor."""
    return not any(count % _library.flat_width() for count in counts)


def _check_channels(*counts):
    for count in counts:
        if not fills_vectors(count):
            raise ValueError(f'{count} channels are not a multiple of {_library.flat_width()}, the '
                             'floats of a vector')


# ---- Operators ----
#
# These are PyTorch functions that flat.cpp computes. Matrices are contiguous unless the docstring
# says otherwise. `seed` and `rate` belong to dropout, which keeps elements by a hash of seed and
# place, so that it neither stores a mask nor draws a random number for every element.

class Average(torch.autograd.Function):
    """Moving average of every sentence; ``taps`` (2 limit - 1, channels) are its weights by lag."""

    @staticmethod
    def forward(ctx, x, taps, offsets, causal):
        _check_channels(x.size(1))
        ctx.save_for_backward(x, taps, offsets)
        ctx.causal = causal
        return Average.run(x, taps, offsets, causal, False)

    @staticmethod
    def run(x, taps, offsets, causal, transposed):
        y = torch.empty_like(x)
        _call('average', x, x, taps, y, offsets, offsets.numel() - 1, (taps.size(0) + 1) // 2,
              x.size(1), causal, transposed)
        return y

    @staticmethod
    def backward(ctx, grad):
        x, taps, offsets = ctx.saved_tensors
        grad, dtaps = grad.contiguous(), torch.zeros_like(taps)
        _call('average_taps', x, x, grad, dtaps, offsets, offsets.numel() - 1,
              (taps.size(0) + 1) // 2, x.size(1), ctx.causal)
        return Average.run(grad, taps, offsets, ctx.causal, True), dtaps, None, None


class Scan(torch.autograd.Function):
    """Causal average of every sentence, whose states go from position to position.

    s = decay s + x and y = sum of weight s over the states; ``decay`` and ``weight`` are
    (states, channels).
    """

    MOST_STATES = 64

    @staticmethod
    def forward(ctx, x, decay, weight, offsets):
        _check_channels(x.size(1))
        if decay.size(0) > Scan.MOST_STATES:
            raise ValueError(f'{decay.size(0)} states are more than {Scan.MOST_STATES}')
        ctx.save_for_backward(x, decay, weight, offsets)
        y = torch.empty_like(x)
        _call('scan', x, x, decay, weight, y, offsets, offsets.numel() - 1, *decay.shape)
        return y

    @staticmethod
    def backward(ctx, grad):
        x, decay, weight, offsets = ctx.saved_tensors
        dx, ddecay, dweight = torch.empty_like(x), *map(torch.zeros_like, (decay, weight))
        _call('scan_backward', x, grad.contiguous(), x, decay, weight, dx, ddecay, dweight, offsets,
              offsets.numel() - 1, *decay.shape)
        return dx, ddecay, dweight, None


def exponential_average(x, log_decay, weight):
    """Compute mega.exponential_average, by Scan if that can serve."""
    batch, length, dim = x.shape
    if not fills_vectors(dim) or weight.size(1) > Scan.MOST_STATES:
        return mega.average_by_chunks(x, log_decay, weight)
    offsets = torch.arange(0, batch * length + 1, length, dtype=torch.int32)
    decay, weight = log_decay.exp().t().contiguous(), weight.t().contiguous()
    return Scan.apply(x.reshape(-1, dim), decay, weight, offsets).view(x.shape)


def serve_averages():
    """Let plain models, too, average by Scan, which beats a Fourier transform at any length."""
    mega.OPERATOR, mega.TRANSFORM_LIMIT = exponential_average, 0


class Attend(torch.autograd.Function):
    """Softmax attention inside every sentence.

    ``bias`` has a number for each distance; ``queries`` and ``keys`` are offsets.
    """

    @staticmethod
    def forward(ctx, q, k, v, bias, queries, keys, causal):
        _check_channels(q.size(1), v.size(1))
        lengths = (queries[1:] - queries[:-1]).long(), (keys[1:] - keys[:-1]).long()
        if max(length.max().item() for length in lengths) > (bias.numel() + 1) // 2:
            raise ValueError('a sentence is longer than the distances that have a bias')
        weights = torch.empty((lengths[0] * lengths[1]).sum().item())
        out = v.new_empty(q.size(0), v.size(1))
        _call('attend', q, q, k, v, bias, out, weights, queries, keys, queries.numel() - 1,
              q.size(1), v.size(1), bias.numel(), causal)
        ctx.save_for_backward(q, k, v, bias, weights, queries, keys)
        ctx.causal = causal
        return out

    @staticmethod
    def backward(ctx, grad):
        q, k, v, bias, weights, queries, keys = ctx.saved_tensors
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        dbias = torch.zeros_like(bias)
        _call('attend_backward', q, grad.contiguous(), q, k, v, weights, dq, dk, dv, dbias, queries,
              keys, queries.numel() - 1, q.size(1), v.size(1), bias.numel(), ctx.causal)
        return dq, dk, dv, dbias, None, None, None


class Drop(torch.autograd.Function):
    """drop(x) of a float32 matrix, in another type."""

    @staticmethod
    def forward(ctx, x, kind, seed, rate):
        _check_channels(x.size(1))
        ctx.drop = seed, rate
        y = torch.empty_like(x, dtype=kind)
        _call('drop', y, x, y, *x.shape, seed, rate)
        return y

    @staticmethod
    def backward(ctx, grad):
        dx = torch.empty_like(grad, dtype=torch.float32)
        _call('drop_backward', grad, grad.contiguous(), dx, *grad.shape, *ctx.drop)
        return dx, None, None, None


class Silu(torch.autograd.Function):
    """drop(silu(x)) of a float32 matrix, in another type."""

    @staticmethod
    def forward(ctx, x, kind, seed=0, rate=0.0):
        _check_channels(x.size(1))
        x, y = x.contiguous(), torch.empty(x.shape, dtype=kind)
        _call('silu', y, x, y, *x.shape, seed, rate)
        ctx.save_for_backward(x)
        ctx.drop = seed, rate
        return y

    @staticmethod
    def backward(ctx, grad):
        x, = ctx.saved_tensors
        dx = torch.empty_like(x)
        _call('silu_backward', grad, grad.contiguous(), x, dx, *x.shape, *ctx.drop)
        return dx, None, None, None


class Gate(torch.autograd.Function):
    """drop(a * silu(r)) in the type of ``a``; ``r`` may be columns of a wider float32 matrix."""

    @staticmethod
    def forward(ctx, a, r, seed, rate):
        _check_channels(a.size(1))
        y = torch.empty_like(a)
        _call('gate', a, a, r, y, r.stride(0), *a.shape, seed, rate)
        ctx.save_for_backward(a, r)
        ctx.drop = seed, rate
        return y

    @staticmethod
    def backward(ctx, grad):
        a, r = ctx.saved_tensors
        da, dr = torch.empty_like(a), torch.empty(a.shape)
        _call('gate_backward', a, grad.contiguous(), a, r, da, dr, r.stride(0), *a.shape, *ctx.drop)
        return da, dr, None, None


class Mix(torch.autograd.Function):
    """x + sigmoid(u) * (drop(silu(c)) - x) in float32; ``u`` may be columns of a wider matrix."""

    @staticmethod
    def forward(ctx, x, u, c, seed, rate):
        _check_channels(x.size(1))
        y = torch.empty_like(x)
        _call('mix', x, x, u, c, y, u.stride(0), *x.shape, seed, rate)
        ctx.save_for_backward(x, u, c)
        ctx.drop = seed, rate
        return y

    @staticmethod
    def backward(ctx, grad):
        x, u, c = ctx.saved_tensors
        dx, du, dc = (torch.empty(x.shape) for _ in range(3))
        _call('mix_backward', x, grad.contiguous(), x, u, c, dx, du, dc, u.stride(0), *x.shape,
              *ctx.drop)
        return dx, du, dc, None, None


class OutputLoss(torch.autograd.Function):
    """Cross-entropy of an output layer without bias, and its gradients, in one pass over chunks.

    No more than a chunk of logits exists at any time. The forward pass computes the gradients, and
    the backward pass returns them. ``plain`` keeps the sum of the losses without smoothing.
    """

    CHUNK = 1024
    plain = 0.0

    @staticmethod
    def forward(ctx, x, table, targets, count, smoothing):
        _check_channels(table.size(0))
        weights, losses = table.to(x.dtype), torch.zeros(2, dtype=torch.float64)
        needed = x.requires_grad or table.requires_grad
        dx, dtable = torch.empty_like(x), torch.zeros_like(table) if needed else None
        for begin in range(0, x.size(0), OutputLoss.CHUNK):
            part = x[begin:begin + OutputLoss.CHUNK]
            target = targets[begin:begin + OutputLoss.CHUNK].contiguous()
            logits = part @ weights.t()
            _call('cross_entropy', logits, logits, target, losses, *logits.shape, PAD,
                  float(smoothing), 1.0 / count)
            if needed:
                torch.mm(logits, weights, out=dx[begin:begin + OutputLoss.CHUNK])
                dtable += logits.t() @ part
        ctx.save_for_backward(dx, dtable)
        OutputLoss.plain = losses[1].item()
        return (losses[0] / count).float()

    @staticmethod
    def backward(ctx, grad):
        dx, dtable = ctx.saved_tensors
        return dx * grad, dtable * grad, None, None, None


class Linear(torch.autograd.Function):
    """x W' + b with products in the type of ``x`` and a float32 result.

    The gradient of the bias is a product, too, which is faster than a sum over rows.
    """

    @staticmethod
    def forward(ctx, x, weight, bias):
        weight = weight.to(x.dtype)
        ctx.save_for_backward(x, weight)
        if x.dtype == torch.float32:
            return torch.addmm(bias, x, weight.t())
        return (x @ weight.t()).float().add_(bias)

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad = grad.to(x.dtype)
        ones = torch.ones(1, x.size(0), dtype=x.dtype)
        return grad @ weight, (grad.t() @ x).float(), (ones @ grad).float().view(-1)


# ---- Batches ----

class Batch(NamedTuple):
    """Sentences end to end. The first ``count`` targets are real, the rest is padding."""

    source: Tensor
    previous: Tensor
    target: Tensor
    source_offsets: Tensor
    target_offsets: Tensor
    count: int
    tokens: int


class Shape(NamedTuple):
    """The size of every batch. It never changes, so that memory is used again and again."""

    source: int
    target: int
    sentences: int
    longest: int  # of a sentence, in tokens

    @classmethod
    def of(cls, tokens, longest=96):
        """Batches of about ``tokens`` tokens a side; German has a few more than English."""
        return cls(tokens, tokens * 9 // 8 // 32 * 32, tokens // 4, longest)

    def group(self, pairs):
        """Yield lists of pairs that fill a batch, in the order given, without too long pairs."""
        spare = self.source // self.longest + self.target // self.longest + 4
        chosen, source, target = [], 0, 0
        for a, b in pairs:
            if max(len(a), len(b)) > self.longest:
                continue
            if chosen and (source + len(a) > self.source or target + len(b) > self.target
                           or len(chosen) + spare >= self.sentences):
                yield chosen
                chosen, source, target = [], 0, 0
            chosen.append((a, b))
            source, target = source + len(a), target + len(b)
        if chosen:
            yield chosen

    def lay(self, pairs):
        """Make the batch of one group. Its last rows become sentences of padding."""
        source, previous, target, starts, ends = [], [], [], [0], [0]
        for a, b in pairs:
            source += a
            previous += [EOS] + b[:-1]
            target += b
            starts.append(len(source))
            ends.append(len(target))
        count, tokens = len(target), len(source) + len(target)
        while len(source) < self.source or len(target) < self.target:
            a, b = (min(self.longest, left) for left in (self.source - len(source),
                                                         self.target - len(target)))
            source += [PAD] * a
            previous += [PAD] * b
            target += [PAD] * b
            starts.append(len(source))
            ends.append(len(target))
        for offsets in (starts, ends):
            offsets += offsets[-1:] * (self.sentences + 1 - len(offsets))
        return Batch(torch.tensor(source), torch.tensor(previous), torch.tensor(target),
                     torch.tensor(starts, dtype=torch.int32), torch.tensor(ends, dtype=torch.int32),
                     count, tokens)


# ---- Layers ----

class Dropout:
    """Gives each place of one pass through the model a new seed and the rate of dropout."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self):
        seed = torch.randint(2 ** 31, ()).item() if self.rate else 0
        return seed, self.rate


def _linear(x, layer):
    return Linear.apply(x, layer.weight, layer.bias)


def _taps(move, longest, causal):
    """The moving average's weights by lag; omega is added to that of lag 0."""
    kernel, dim = move.kernel(longest), move.omega.size(0)
    if causal:
        ahead, centre, back = kernel.new_zeros(dim, longest - 1), kernel[:, :1], kernel[:, 1:]
    else:
        back, ahead = kernel.split(dim)
        centre, back = back[:, :1], back[:, 1:]
        if move.vision:  # its half that looks ahead starts at the next position
            ahead = ahead[:, :-1].flip(1)
        else:
            centre, ahead = centre + ahead[:, :1], ahead[:, 1:].flip(1)
    return torch.cat([ahead, centre + move.omega[:, None], back], dim=1).t().contiguous()


def _average(move, x, offsets, longest, causal):
    """The moving average of every sentence, plus omega x."""
    if longest <= SCANNED or 0 < (move.truncation or 0) < longest or move.vision:
        return Average.apply(x, _taps(move, longest, causal), offsets, causal)
    decay, weight = (part.split(x.size(1)) for part in move.exponentials())
    decay = [part.exp() for part in decay]
    # Omega x is computed along: a state with decay 0 holds the input itself, and has weight omega.
    y = Scan.apply(x, F.pad(decay[0], (0, 1)).t().contiguous(),
                   torch.cat([weight[0], move.omega[:, None]], dim=1).t().contiguous(), offsets)
    if causal:
        return y
    ahead, weight = (part[1].t().contiguous() for part in (decay, weight))
    return y + Scan.apply(x.flip(0), ahead, weight, offsets[-1] - offsets.flip(0)).flip(0)


def _bias(bias, longest):
    """The bias that attention adds to scores, a number for each distance."""
    return bias.by_distance(longest) if isinstance(bias, RotaryBias) else bias.rel_pos_bias


def _chunks(offsets, chunk):
    """Offsets of the chunks that the sentences are cut into for attention."""
    if chunk is None:
        return offsets
    ends = offsets.tolist()
    cuts = [cut for begin, end in zip(ends, ends[1:]) for cut in range(begin, end, chunk)]
    return torch.tensor([*cuts, ends[-1]], dtype=torch.int32)


def _softmax_attention(layer, z, v, offsets, longest, causal, kind):
    q, k = ((z * layer.gamma[i] + layer.beta[i]).to(kind) for i in range(2))
    chunks, bias = _chunks(offsets, layer.chunk), _bias(layer.rel_pos_bias, longest)
    return Attend.apply(q, k, v, bias, chunks, chunks, causal)


def _laplace_attention(layer, z, v, longest, kind):
    """The attention of mega.py, inside chunks or sequences that are all equally long."""
    chunk = min(layer.chunk or longest, longest)
    q = z * (layer.gamma[0] / chunk) + layer.beta[0] / chunk
    k = z * layer.gamma[1] + layer.beta[1]
    q, k, v = (part.to(kind).view(-1, chunk, part.size(1)) for part in (q, k, v))
    scores = torch.bmm(q, k.transpose(1, 2)).float() + layer.rel_pos_bias(chunk)
    return torch.bmm(mega.laplace(scores).to(kind), v).flatten(0, 1)


def _gated_attention(layer, x, offsets, longest, causal, kind, drop):
    normed = layer.norm(x).to(kind)
    v = Silu.apply(_linear(normed, layer.v_proj), kind)
    m = F.silu(_average(layer.move, normed, offsets, longest, causal))
    update, z, reset, candidate = _linear(m, layer.mx_proj).split(layer.sizes, dim=-1)
    z = F.silu(z)
    of_series = isinstance(layer, mega.GatedAttention)
    attended = (_laplace_attention(layer, z, v, longest, kind) if of_series
                else _softmax_attention(layer, z, v, offsets, longest, causal, kind))
    h = _linear(Gate.apply(attended, reset, *drop()), layer.h_proj)
    last = (0, 0.0) if of_series else drop()  # mega.py has no dropout here
    return Mix.apply(x, update, candidate + h, *last)


def _cross_attention(layer, x, encoded, queries, keys, kind, drop):
    update, reset, q = _linear(layer.norm(x).to(kind), layer.q_proj).split(layer.sizes, dim=-1)
    k, v = _linear(encoded, layer.k_proj).to(kind), Silu.apply(_linear(encoded, layer.v_proj), kind)
    attended = Attend.apply(q.to(kind).contiguous(), k, v, layer.rel_pos_bias.rel_pos_bias, queries,
                            keys, False)
    h = _linear(Gate.apply(attended, reset, *drop()), layer.h_proj)
    return Mix.apply(x, update, h, *drop())


def _feed_forward(layer, x, kind, drop):
    hidden = _linear(layer.norm(x).to(kind), layer.fc1)
    return x + _linear(Silu.apply(hidden, kind, *drop()), layer.fc2)


def _multi_head_attention(attention, x, others, queries, keys, longest, causal, kind):
    """Attention of a Transformer, one head after another; its scores have no bias."""
    q = _linear(x, attention.q_proj).to(kind)
    k, v = (_linear(others, part).to(kind) for part in (attention.k_proj, attention.v_proj))
    bias = torch.zeros(2 * longest - 1)
    width = q.size(1) // attention.heads
    heads = zip(*(part.split(width, dim=1) for part in (q, k, v)))
    attended = [Attend.apply(*(part.contiguous() for part in head), bias, queries, keys, causal)
                for head in heads]
    return _linear(torch.cat(attended, dim=1), attention.out_proj)


def _transformer_layer(layer, x, encoded, own, keys, longest, kind, drop):
    """A pre-norm layer of baselines.py; ``own`` are the offsets of x."""
    def dropped(y):
        return Drop.apply(y, torch.float32, *drop())

    y = layer.self_attn_layer_norm(x).to(kind)
    x = x + dropped(_multi_head_attention(layer.self_attn, y, y, own, own, longest, layer.causal,
                                          kind))
    if encoded is not None:
        y = layer.encoder_attn_layer_norm(x).to(kind)
        x = x + dropped(_multi_head_attention(layer.encoder_attn, y, encoded, own, keys, longest,
                                              False, kind))
    hidden = F.gelu(_linear(layer.final_layer_norm(x).to(kind), layer.fc1))
    hidden = Drop.apply(hidden, kind, *drop())
    return x + dropped(_linear(hidden, layer.fc2))


def _places(offsets, count):
    """The place of every token in its sentence."""
    lengths = (offsets[1:] - offsets[:-1]).long()
    return torch.arange(count) - offsets[:-1].long().repeat_interleave(lengths)


class FlatModel:
    """The part that all models on flat batches share; ``model`` keeps the parameters."""

    def __init__(self, model, longest, rate, kind=None):
        self.model, self.longest, self.rate, self.kind = model, longest, rate, kind or fast_type()

    def drop(self, training):
        return Dropout(self.rate if training else 0.0)

    def embed(self, side, tokens, offsets, drop):
        table = side.embed_tokens.weight
        x = F.embedding(tokens, table) * table.size(1) ** 0.5
        if isinstance(side, Stack):
            x = x + side.table[_places(offsets, tokens.numel())]
        return Drop.apply(x, torch.float32, *drop())

    def run(self, side, x, encoded, own, keys, causal, drop):
        """All layers of the encoder or the decoder, and the final norm."""
        kind, longest = self.kind, self.longest
        for layer in side.layers:
            if isinstance(side, Stack):
                x = _transformer_layer(layer, x, encoded, own, keys, longest, kind, drop)
                continue
            x = _gated_attention(layer.mega_layer, x, own, longest, causal, kind, drop)
            if encoded is not None:
                x = _cross_attention(layer.cross_attn, x, encoded, own, keys, kind, drop)
            x = _feed_forward(layer.nffn, x, kind, drop)
        return side.layer_norm(x) if isinstance(side, Stack) else side.final_norm(x)


class FlatLanguageModel(FlatModel):
    """Loss of a LanguageModel on windows of a text, which are all equally long."""

    def loss(self, batch, smoothing=0.0):
        """Mean loss of the targets; ``batch`` is (inputs, targets), both (windows, length)."""
        inputs, targets = batch
        decoder, drop = self.model.decoder, self.drop(True)
        offsets = torch.arange(0, inputs.numel() + 1, inputs.size(1), dtype=torch.int32)
        x = self.embed(decoder, inputs.flatten(), offsets, drop)
        x = self.run(decoder, x, None, offsets, None, True, drop)
        x = Drop.apply(x, torch.float32, *drop())
        return F.cross_entropy(decoder.output_projection(x), targets.flatten(),
                               label_smoothing=smoothing)


class Texts(NamedTuple):
    """Texts end to end, and where each begins."""

    tokens: Tensor
    offsets: Tensor

    @classmethod
    def of(cls, rows):
        lengths = torch.tensor([0, *map(len, rows)])
        return cls(torch.cat(rows), lengths.cumsum(0).int())


class FlatClassifier(FlatModel):
    """States and logits of a SequenceClassifier of texts."""

    def states(self, texts, training=True):
        """(tokens, channels)"""
        encoder, drop = self.model.encoder['encoder'], self.drop(training)
        x = F.embedding(texts.tokens, encoder.embed_tokens['embed'].weight)
        x = Drop.apply(x, torch.float32, *drop())
        return self.run(encoder, x, None, texts.offsets, None, False, drop)

    def logits(self, states, texts):
        """(texts, classes)"""
        lengths = (texts.offsets[1:] - texts.offsets[:-1]).long()
        owner = torch.arange(len(lengths)).repeat_interleave(lengths)
        sums = states.new_zeros(len(lengths), states.size(1)).index_add(0, owner, states)
        return self.model.classify(sums / lengths[:, None])


class FlatSeries(FlatModel):
    """MEGA's classifiers of mega.py, whose inputs are all equally long: clips and pictures."""

    def __init__(self, model, rate, kind=None):
        super().__init__(model, None, rate, kind)

    @staticmethod
    def suits(model):
        """Whether flat.cpp can compute a model."""
        if not isinstance(model, (mega.SequenceClassifier, mega.PatchClassifier)):
            return False
        layer = model.layers[0]
        return (isinstance(layer, mega.Block)
                and fills_vectors(*layer.mega_layer.sizes, layer.nffn.fc1.out_features))

    def logits(self, inputs, training=True):
        """(inputs, classes)"""
        drop, x = self.drop(training), self.model.embed(inputs)
        count, length, dim = x.shape
        offsets = torch.arange(0, count * length + 1, length, dtype=torch.int32)
        x = x.reshape(-1, dim)
        for layer in self.model.layers:
            x = _gated_attention(layer.mega_layer, x, offsets, length, False, self.kind, drop)
            x = _feed_forward(layer.nffn, x, self.kind, drop)
        return self.model.answer(x.view(count, length, dim))


class FlatTranslator(FlatModel):
    """Loss of a TranslationModel on flat batches."""

    def __init__(self, model, shape, rate, kind=None):
        super().__init__(model, shape.longest, rate, kind)
        self.shape = shape

    def encode(self, batch, drop):
        encoder, offsets = self.model.encoder, batch.source_offsets
        x = self.embed(encoder, batch.source, offsets, drop)
        return self.run(encoder, x, None, offsets, None, False, drop).to(self.kind)

    def decode(self, batch, encoded, drop):
        decoder, offsets = self.model.decoder, batch.target_offsets
        x = self.embed(decoder, batch.previous, offsets, drop)
        x = self.run(decoder, x, encoded, offsets, batch.source_offsets, True, drop)
        return Drop.apply(x, self.kind, *drop())

    def loss(self, batch, smoothing=0.0, training=True):
        """Mean loss of the batch's real targets."""
        drop = self.drop(training)
        x = self.decode(batch, self.encode(batch, drop), drop)
        return OutputLoss.apply(x, self.model.encoder.embed_tokens.weight, batch.target,
                                batch.count, smoothing)

    @torch.no_grad()
    def mean_loss(self, pairs):
        """Loss in nats a token over all pairs, without dropout and smoothing."""
        total, count = 0.0, 0
        for group in self.shape.group(pairs):
            batch = self.shape.lay(group)
            self.loss(batch, training=False)
            total, count = total + OutputLoss.plain, count + batch.count
        return total / count
