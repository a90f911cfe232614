"""Translators trained on flat batches: the tokens of all sentences end to end, without padding.

Dense layers see plain (tokens, channels) matrices, and the operators of flat.cpp walk the
sentences. The models, their parameters and their loss are those of sequence.py. On processors with
bfloat16 products all products are made in bfloat16, elsewhere in float32; parameters, norms, gates,
sums and the loss are float32 in either case.
"""

import ctypes
import hashlib
import math
import os
import pathlib
import platform
import subprocess
import tempfile
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sequence import EOS, PAD

SOURCE = pathlib.Path(__file__).with_name('flat.cpp')
FLAGS = ('-O3', '-march=native', '-fno-math-errno', '-std=c++17', '-shared', '-fPIC')


def fast_type():
    """The type of products: bfloat16 where the processor multiplies it."""
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def _load_library():
    """Compile flat.cpp for this processor, once, and load it."""
    processor = platform.machine()
    if os.path.exists('/proc/cpuinfo'):
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            processor += next((line for line in file if line.startswith('flags')), '')
    compiler = os.environ.get('CXX', 'c++')
    key = '\n'.join((SOURCE.read_text('utf-8'), compiler, processor, *FLAGS)).encode()
    cache = os.environ.get('XDG_CACHE_HOME', pathlib.Path.home() / '.cache')
    cache = pathlib.Path(cache, 'mega-train')
    library = cache / f'flat-{hashlib.sha256(key).hexdigest()[:16]}.so'
    if not library.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:  # nobody sees half of a library
            partial = pathlib.Path(folder, library.name)
            subprocess.run([compiler, *FLAGS, str(SOURCE), '-o', str(partial)], check=True)
            os.replace(partial, library)
    return ctypes.CDLL(str(library))


_library = _load_library()


def _call(name, values, *arguments):
    """Call a function of flat.cpp: tensors as pointers, whole numbers as int64, floats as float.

    ``values`` is the tensor whose type chooses between the two forms of the function.
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


def _check_channels(*counts):
    for count in counts:
        if count % _library.flat_width():
            raise ValueError(f'{count} channels are no multiple of the {_library.flat_width()} '
                             'floats of a vector')


# ---- Operators ----

def _empty(x):
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.custom_op('flat::average', mutates_args=())
def average(x: Tensor, taps: Tensor, offsets: Tensor, causal: bool, transposed: bool) -> Tensor:
    """Moving average of every sentence; ``taps`` (2 limit - 1, channels) are weights by lag."""
    _check_channels(x.size(1))
    x, taps, y = x.contiguous(), taps.contiguous(), _empty(x)
    _call('average', x, x, taps, y, offsets, offsets.numel() - 1, (taps.size(0) + 1) // 2,
          x.size(1), causal, transposed)
    return y


@average.register_fake
def _(x, taps, offsets, causal, transposed):
    return _empty(x)


@torch.library.custom_op('flat::average_taps', mutates_args=())
def average_taps(grad: Tensor, x: Tensor, offsets: Tensor, rows: int, causal: bool) -> Tensor:
    grad, x = grad.contiguous(), x.contiguous()
    taps = torch.zeros(rows, x.size(1))
    _call('average_taps', x, x, grad, taps, offsets, offsets.numel() - 1, (rows + 1) // 2,
          x.size(1), causal)
    return taps


@average_taps.register_fake
def _(grad, x, offsets, rows, causal):
    return torch.empty(rows, x.size(1))


def _average_setup(ctx, inputs, output):
    x, taps, offsets, ctx.causal, _ = inputs
    ctx.save_for_backward(x, taps, offsets)


def _average_backward(ctx, grad):
    x, taps, offsets = ctx.saved_tensors
    return (torch.ops.flat.average(grad, taps, offsets, ctx.causal, True),
            torch.ops.flat.average_taps(grad, x, offsets, taps.size(0), ctx.causal),
            None, None, None)


average.register_autograd(_average_backward, setup_context=_average_setup)


@torch.library.custom_op('flat::attend', mutates_args=())
def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, queries: Tensor, keys: Tensor,
           causal: bool, capacity: int) -> tuple[Tensor, Tensor]:
    """Softmax attention inside every sentence; also returns the weights, for the gradient.

    ``bias`` is by distance; ``queries`` and ``keys`` are offsets; all weights of the batch fit
    ``capacity`` numbers.
    """
    _check_channels(q.size(1), v.size(1))
    used = ((queries[1:] - queries[:-1]).long() * (keys[1:] - keys[:-1]).long()).sum().item()
    if used > capacity:
        raise ValueError(f'{used} weights of attention do not fit {capacity}')
    q, k, v, bias = q.contiguous(), k.contiguous(), v.contiguous(), bias.contiguous()
    out, weights = v.new_empty(q.size(0), v.size(1)), torch.empty(capacity)
    _call('attend', q, q, k, v, bias, out, weights, queries, keys, queries.numel() - 1, q.size(1),
          v.size(1), bias.numel(), causal)
    return out, weights


@attend.register_fake
def _(q, k, v, bias, queries, keys, causal, capacity):
    return v.new_empty(q.size(0), v.size(1)), q.new_empty(capacity, dtype=torch.float32)


@torch.library.custom_op('flat::attend_backward', mutates_args=())
def attend_backward(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, weights: Tensor,
                    queries: Tensor, keys: Tensor,
                    biases: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    grad, q, k, v = grad.contiguous(), q.contiguous(), k.contiguous(), v.contiguous()
    dq, dk, dv, dbias = _empty(q), _empty(k), _empty(v), torch.zeros(biases)
    _call('attend_backward', q, grad, q, k, v, weights, dq, dk, dv, dbias, queries, keys,
          queries.numel() - 1, q.size(1), v.size(1), biases)
    return dq, dk, dv, dbias


@attend_backward.register_fake
def _(grad, q, k, v, weights, queries, keys, biases):
    return _empty(q), _empty(k), _empty(v), q.new_empty(biases, dtype=torch.float32)


def _attend_setup(ctx, inputs, output):
    q, k, v, bias, queries, keys, _, _ = inputs
    ctx.biases = bias.numel()
    ctx.save_for_backward(q, k, v, output[1], queries, keys)


def _attend_backward(ctx, grad, _):
    q, k, v, weights, queries, keys = ctx.saved_tensors
    return (*torch.ops.flat.attend_backward(grad, q, k, v, weights, queries, keys, ctx.biases),
            None, None, None, None)


attend.register_autograd(_attend_backward, setup_context=_attend_setup)


class OutputLoss(torch.autograd.Function):
    """Cross-entropy of an output layer without bias, and its gradients, in one pass over chunks.

    No more than a chunk of logits exists at any time. The forward pass makes the gradients, and the
    backward pass hands them out. ``plain`` keeps the sum of the losses without smoothing.
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

    The gradient of the bias is a product too, which is faster than a sum over rows.
    """

    @staticmethod
    def forward(ctx, x, weight, bias):
        weight = weight.to(x.dtype)
        ctx.save_for_backward(x, weight)
        return (x @ weight.t()).float() + bias

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad = grad.to(x.dtype)
        ones = torch.ones(1, x.size(0), dtype=x.dtype)
        return grad @ weight, (grad.t() @ x).float(), (ones @ grad).float().view(-1)


def _kept(shape, seed, site, rate):
    """Which elements dropout keeps: a hash of their index, the step's seed and the place."""
    h = torch.arange(math.prod(shape), dtype=torch.int32).view(shape) * -1640531535
    h = h + (seed + site * 374761393)
    h = (h ^ (h >> 15)) * -2048144789
    h = (h ^ (h >> 13)) * -1028477387
    return h >= int((rate - 0.5) * 2 ** 32)


class Dropout(torch.autograd.Function):
    """Dropout whose mask is computed again in the backward pass.

    The seed comes twice. With one seed the compiler sees that both masks are equal and stores the
    first as bytes, in a scalar loop.
    """

    @staticmethod
    def forward(ctx, x, seed, same_seed, site, rate):
        ctx.save_for_backward(same_seed)
        ctx.site, ctx.rate = site, rate
        return torch.where(_kept(x.shape, seed, site, rate), x * (1 / (1 - rate)), 0.0)

    @staticmethod
    def backward(ctx, grad):
        seed, = ctx.saved_tensors
        kept = _kept(grad.shape, seed, ctx.site, ctx.rate)
        return torch.where(kept, grad * (1 / (1 - ctx.rate)), 0.0), None, None, None, None


# ---- Batches ----

class Batch(NamedTuple):
    """Sentences end to end. ``count`` targets are real; the rest are padding of the last rows."""

    source: Tensor
    previous: Tensor
    target: Tensor
    source_offsets: Tensor
    target_offsets: Tensor
    count: int
    tokens: int


class Shape(NamedTuple):
    """The size of every batch. It never changes, so that the compiler sees one shape."""

    source: int
    target: int
    sentences: int
    longest: int  # of a sentence, in tokens

    @classmethod
    def of(cls, tokens, longest=96):
        """About ``tokens`` tokens a side; German has some more than English."""
        return cls(tokens, tokens * 9 // 8 // 32 * 32, tokens // 4, longest)

    def group(self, pairs):
        """Lists of pairs that fill a batch, in the order given; too long pairs are left out."""
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
        """The batch of one group. Its last rows become sentences of padding."""
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

class Context(NamedTuple):
    """What the layers of one batch share; the seed of dropout comes twice (see Dropout)."""

    seed: Tensor
    same_seed: Tensor
    rate: float
    kind: torch.dtype
    longest: int
    capacity: int

    def drop(self, x, site):
        if not self.rate:
            return x
        return Dropout.apply(x, self.seed, self.same_seed, site, self.rate)


def _linear(x, layer):
    return Linear.apply(x, layer.weight, layer.bias)


def _taps(move, longest, causal):
    """The moving average's weights by lag, with omega in that of lag 0."""
    kernel, dim = move.kernel(longest), move.omega.size(0)
    if causal:
        ahead, centre, back = kernel.new_zeros(dim, longest - 1), kernel[:, :1], kernel[:, 1:]
    else:
        back, ahead = kernel.split(dim)
        centre, back, ahead = back[:, :1] + ahead[:, :1], back[:, 1:], ahead.flip(1)[:, :-1]
    return torch.cat([ahead, centre + move.omega[:, None], back], dim=1).t().contiguous()


def _gated_attention(layer, x, offsets, causal, context):
    kind = context.kind
    normed = layer.norm(x).to(kind)
    v = F.silu(_linear(normed, layer.v_proj)).to(kind)
    taps = _taps(layer.move, context.longest, causal)
    m = F.silu(torch.ops.flat.average(normed, taps, offsets, causal, False).float()).to(kind)
    update, z, reset, candidate = _linear(m, layer.mx_proj).split(layer.sizes, dim=-1)
    z = F.silu(z)
    q, k = ((z * layer.gamma[i] + layer.beta[i]).to(kind) for i in range(2))
    attended, _ = torch.ops.flat.attend(q, k, v, layer.rel_pos_bias.rel_pos_bias, offsets, offsets,
                                        causal, context.capacity)
    gated = context.drop(attended.float() * F.silu(reset), 1).to(kind)
    h = context.drop(F.silu(candidate + _linear(gated, layer.h_proj)), 2)
    return x + torch.sigmoid(update) * (h - x)


def _cross_attention(layer, x, encoded, queries, keys, context):
    kind = context.kind
    update, reset, q = _linear(layer.norm(x).to(kind), layer.q_proj).split(layer.sizes, dim=-1)
    k, v = _linear(encoded, layer.k_proj).to(kind), F.silu(_linear(encoded, layer.v_proj)).to(kind)
    attended, _ = torch.ops.flat.attend(q.to(kind), k, v, layer.rel_pos_bias.rel_pos_bias, queries,
                                        keys, False, context.capacity)
    gated = context.drop(attended.float() * F.silu(reset), 3).to(kind)
    h = context.drop(F.silu(_linear(gated, layer.h_proj)), 4)
    return x + torch.sigmoid(update) * (h - x)


def _feed_forward(layer, x, context):
    hidden = F.silu(_linear(layer.norm(x).to(context.kind), layer.fc1))
    return x + _linear(context.drop(hidden, 5).to(context.kind), layer.fc2)


def _encoder_layer(layer, x, offsets, context):
    x = _gated_attention(layer.mega_layer, x, offsets, False, context)
    return _feed_forward(layer.nffn, x, context)


def _decoder_layer(layer, x, encoded, queries, keys, context):
    x = _gated_attention(layer.mega_layer, x, queries, True, context)
    x = _cross_attention(layer.cross_attn, x, encoded, queries, keys, context)
    return _feed_forward(layer.nffn, x, context)


def _embed(table, tokens, context):
    return context.drop(F.embedding(tokens, table) * table.size(1) ** 0.5, 6)


def _finish(norm, x, context):
    return context.drop(norm(x), 7).to(context.kind)


class FlatTranslator:
    """Loss of a TranslationModel on flat batches; the model keeps the parameters.

    Layers are compiled one by one: four small graphs instead of a large one, and half of the time.
    """

    def __init__(self, model, shape, rate, kind=None, compiled=True):
        self.model, self.shape, self.rate, self.kind = model, shape, rate, kind or fast_type()
        steps = (_encoder_layer, _decoder_layer, _embed, _finish)
        if compiled:
            steps = [torch.compile(step, dynamic=False) for step in steps]
        self.encoder_layer, self.decoder_layer, self.embed, self.finish = steps

    def context(self, rate):
        """The next layer's context, with a seed of its own."""
        seed = torch.randint(-2 ** 31, 2 ** 31 - 1, (), dtype=torch.int32)
        shape = self.shape
        return Context(seed, seed.clone(), rate, self.kind, shape.longest,
                       max(shape.source, shape.target) * shape.longest)

    def loss(self, batch, smoothing=0.0, training=True):
        """Mean loss of the batch's real targets."""
        model, rate = self.model, self.rate if training else 0.0
        table = model.encoder.embed_tokens.weight
        x = self.embed(table, batch.source, self.context(rate))
        for layer in model.encoder.layers:
            x = self.encoder_layer(layer, x, batch.source_offsets, self.context(rate))
        encoded = self.finish(model.encoder.final_norm, x, self.context(0.0))
        x = self.embed(table, batch.previous, self.context(rate))
        for layer in model.decoder.layers:
            x = self.decoder_layer(layer, x, encoded, batch.target_offsets, batch.source_offsets,
                                   self.context(rate))
        x = self.finish(model.decoder.final_norm, x, self.context(rate))
        return OutputLoss.apply(x, table, batch.target, batch.count, smoothing)

    @torch.no_grad()
    def mean_loss(self, pairs):
        """Loss in nats a token over all pairs, without dropout and smoothing."""
        total, count = 0.0, 0
        for group in self.shape.group(pairs):
            batch = self.shape.lay(group)
            self.loss(batch, training=False)
            total, count = total + OutputLoss.plain, count + batch.count
        return total / count
