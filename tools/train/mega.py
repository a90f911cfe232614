"""MEGA (moving average equipped gated attention) encoders in PyTorch, for training.

Two classifiers are built from the same layer:

* ``SequenceClassifier``: real-valued sequences such as audio (the fairseq family of checkpoints);
* ``PatchClassifier``: images cut into patches (the vision family).

Parameter names and shapes are those of the original implementation, so that a state dict saved
here is converted like any other checkpoint. Only what the recipes of this folder need is here:
full sequences without padding, no decoder, no incremental state.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

# How a moving average is computed depends on the length: up to the first limit by one matrix per
# channel, up to the second by Fourier transforms, and beyond by states.
TOEPLITZ_LIMIT = 512
TRANSFORM_LIMIT = 1024
CHUNK = 64  # positions after which average_by_chunks hands on its states
OPERATOR = None  # flat.py puts an operator here that replaces average_by_chunks


class ScaleNorm(nn.Module):
    """Divide by the root mean square and multiply by one learnt scalar."""

    def __init__(self, dim):
        super().__init__()
        self.scalar = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.scalar * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5)


def _initialise(linear):
    """Start a projection so that outputs are somewhat smaller than inputs, with a bias of zero."""
    nn.init.normal_(linear.weight, std=0.5 * linear.in_features ** -0.5)
    nn.init.zeros_(linear.bias)


class SequenceNorm(nn.Module):
    """Normalisation over the channels of (batch, length, dim)."""

    KINDS = {
        'layernorm': nn.LayerNorm,
        'scalenorm': ScaleNorm,
        'rmsnorm': lambda dim: nn.RMSNorm(dim, eps=1e-5),
        'batchnorm': nn.BatchNorm1d,
    }

    def __init__(self, kind, dim):
        super().__init__()
        self.norm = self.KINDS[kind](dim)

    def forward(self, x):
        if isinstance(self.norm, nn.BatchNorm1d):
            return self.norm(x.flatten(0, -2)).view_as(x)
        return self.norm(x)


def exponential_average(x, log_decay, weight):
    """y[t] = sum over s <= t and states n of weight[n] exp((t - s) log_decay[n]) x[s].

    x is (batch, length, channels), the other two are (channels, states). The time is proportional
    to the length.
    """
    return (OPERATOR or average_by_chunks)(x, log_decay, weight)


def average_by_chunks(x, log_decay, weight):
    """The exponential average by PyTorch's own operators.

    Inside a chunk of positions it is a product with one matrix per channel. States, which are
    carried from chunk to chunk, hold the contribution of earlier chunks.
    """
    batch, length, dim = x.shape
    chunk, count = CHUNK, -(-length // CHUNK)
    position = torch.arange(chunk)
    lag = position[:, None] - position[None, :]
    kernel = torch.einsum('kn,knl->kl', weight, torch.exp(log_decay.unsqueeze(-1) * position))
    inside = kernel[:, lag.clamp(min=0)] * (lag >= 0)
    into = torch.exp(log_decay.unsqueeze(-1) * (chunk - 1 - position))
    out = torch.exp(log_decay.unsqueeze(1) * (position[:, None] + 1)) * weight.unsqueeze(1)
    chunks = F.pad(x, (0, 0, 0, count * chunk - length)).view(batch, count, chunk, dim)
    chunks = chunks.permute(3, 2, 1, 0).reshape(dim, chunk, count * batch)
    y = torch.bmm(inside, chunks)
    added = torch.bmm(into, chunks).view(dim, -1, count, batch).unbind(2)
    decay = torch.exp(log_decay * chunk).unsqueeze(-1)
    states = [torch.zeros_like(added[0])]
    for more in added[:-1]:
        states.append(decay * states[-1] + more)
    y = y + torch.bmm(out, torch.stack(states, 2).view(dim, -1, count * batch))
    return y.view(dim, chunk, count, batch).permute(3, 2, 1, 0).reshape(batch, -1, dim)[:, :length]


class MovingAverage(nn.Module):
    """Damped multi-dimensional exponential moving average, in both directions.

    The vision checkpoints differ in two ways, chosen by ``vision``: the names ``alpha`` and
    ``delta`` are swapped, and the half that looks ahead starts at the next position instead of
    counting the present one a second time.
    """

    def __init__(self, dim, n_dim, truncation=None, vision=False):
        super().__init__()
        self.truncation = truncation
        self.vision = vision
        # The original starts all states with nearly the same memory. Here the states of a channel
        # begin with memories of about one to fifty positions, and with equal energy.
        p = torch.empty(2 * dim, n_dim, 1).normal_(std=0.2)
        damping = torch.linspace(2.0, -3.5, n_dim).view(1, n_dim, 1).repeat(2 * dim, 1, 1)
        damping += torch.empty_like(damping).normal_(std=0.2)
        decay = 1 - torch.sigmoid(p) * torch.sigmoid(damping)
        self.delta = nn.Parameter(damping if vision else p)
        self.alpha = nn.Parameter(p if vision else damping)
        self.beta = nn.Parameter(torch.sqrt(1 - decay.square()) / torch.sigmoid(p))
        self.gamma = nn.Parameter(torch.empty(2 * dim, n_dim).normal_())
        self.omega = nn.Parameter(torch.empty(dim).normal_())

    def exponentials(self):
        """(log of the decay, weight) of every state, both (channels, states)."""
        p, damping = torch.sigmoid(self.delta), torch.sigmoid(self.alpha)
        if self.vision:
            p, damping = damping, p
        scale = math.sqrt(1.0 / self.gamma.size(1))
        weight = (p * self.beta).squeeze(-1) * self.gamma * scale
        return torch.log1p(-p * damping).squeeze(-1), weight

    def kernel(self, length):
        """Weights by lag, (2 dim, length): the first half looks back, the second ahead."""
        log_decay, weight = self.exponentials()
        lag = torch.arange(length, dtype=weight.dtype)
        kernel = torch.einsum('kn,knl->kl', weight, torch.exp(log_decay.unsqueeze(-1) * lag))
        if self.truncation is not None and 0 < self.truncation < length:
            kernel = kernel * (lag < self.truncation)
        return kernel

    def is_exponential(self, length):
        """Whether a sequence is long enough for states, and the average is not truncated."""
        return length > TRANSFORM_LIMIT and not 0 < (self.truncation or 0) < length

    def by_chunks(self, x):
        """Both halves of the average, by states."""
        dim = x.size(2)
        (back, ahead), (from_back, from_ahead) = (t.split(dim) for t in self.exponentials())
        y = exponential_average(x, back, from_back)
        other = exponential_average(x.flip(1), ahead, from_ahead).flip(1)
        if self.vision:  # the half that looks ahead starts at the next position
            other = F.pad(other[:, 1:], (0, 0, 0, 1))
        return y + other

    def forward(self, x):
        length, dim = x.size(1), x.size(2)
        if self.is_exponential(length):
            return F.silu(self.by_chunks(x) + self.omega * x)
        back, ahead = self.kernel(length).split(dim)
        # One two-sided kernel: `both[:, length - 1 + lag]` weighs the input at t - lag.
        ahead = ahead.flip(1)
        if self.vision:
            both = torch.cat([ahead[:, 1:], back], dim=1)
        else:
            both = torch.cat([ahead[:, :-1], back[:, :1] + ahead[:, -1:], back[:, 1:]], dim=1)
        if length <= TOEPLITZ_LIMIT:
            # For short sequences one matrix per channel beats the Fourier transform by far.
            lag = torch.arange(length)[:, None] - torch.arange(length)[None, :]
            matrices = both[:, length - 1 + lag]
            y = torch.bmm(matrices, x.permute(2, 1, 0)).permute(2, 1, 0)
        else:
            size = 3 * length
            spectrum = torch.fft.rfft(x.transpose(1, 2), size) * torch.fft.rfft(both, size)
            y = torch.fft.irfft(spectrum, size)[..., length - 1:2 * length - 1].transpose(1, 2)
        return F.silu(y + self.omega * x)


class SimpleRelativeBias(nn.Module):
    """One learnt number for every distance between query and key."""

    def __init__(self, max_positions):
        super().__init__()
        self.max_positions = max_positions
        self.rel_pos_bias = nn.Parameter(torch.empty(2 * max_positions - 1).normal_(std=0.02))

    def forward(self, length):
        position = torch.arange(length)
        return self.rel_pos_bias[self.max_positions - 1 + position[None, :] - position[:, None]]


def laplace(scores):
    """The original's replacement of softmax: a Gaussian's distribution function of each score.

    The weights of a query do not add up to 1.
    """
    return 0.5 * (1.0 + torch.erf((scores - 0.707107) / (0.282095 * math.sqrt(2.0))))


class GatedAttention(nn.Module):
    """The MEGA layer: moving average, single-head attention inside chunks, and gates."""

    def __init__(self, dim, hidden, z_dim, n_dim, norm, chunk=None, truncation=None,
                 max_positions=None, dropout=0.0, vision=False):
        super().__init__()
        self.sizes = (dim, z_dim, hidden, dim)
        self.chunk = chunk
        self.dropout = nn.Dropout(dropout)
        self.norm = SequenceNorm(norm, dim)
        self.move = MovingAverage(dim, n_dim, truncation, vision)
        self.v_proj = nn.Linear(dim, hidden)
        self.mx_proj = nn.Linear(dim, sum(self.sizes))
        self.h_proj = nn.Linear(hidden, dim)
        self.gamma = nn.Parameter(torch.empty(2, z_dim).normal_())
        self.beta = nn.Parameter(torch.zeros(2, z_dim))
        self.rel_pos_bias = SimpleRelativeBias(chunk or max_positions)
        for linear in (self.v_proj, self.mx_proj, self.h_proj):
            _initialise(linear)

    def forward(self, x):
        batch, length, _ = x.shape
        normed = self.norm(x)
        v = F.silu(self.v_proj(normed))
        update, z, reset, candidate = self.mx_proj(self.move(normed)).split(self.sizes, dim=-1)
        z = F.silu(z)
        chunk = min(self.chunk or length, length)
        q = (z * (self.gamma[0] / chunk) + self.beta[0] / chunk).view(-1, chunk, z.size(-1))
        k = (z * self.gamma[1] + self.beta[1]).view(-1, chunk, z.size(-1))
        weights = laplace(torch.bmm(q, k.transpose(1, 2)) + self.rel_pos_bias(chunk))
        attended = torch.bmm(weights, v.view(-1, chunk, v.size(-1))).view(batch, length, -1)
        h = F.silu(candidate + self.h_proj(self.dropout(attended * F.silu(reset))))
        return x + torch.sigmoid(update) * (h - x)


class FeedForward(nn.Module):
    """A norm and a two-layer network, with a residual connection around them."""

    def __init__(self, dim, hidden, norm, dropout=0.0):
        super().__init__()
        self.norm = SequenceNorm(norm, dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(dropout)
        for linear in (self.fc1, self.fc2):
            _initialise(linear)

    def forward(self, x):
        return x + self.fc2(self.dropout(F.silu(self.fc1(self.norm(x)))))


class Block(nn.Module):
    """One encoder layer: gated attention, then the feed-forward network."""

    def __init__(self, dim, hidden, ffn, z_dim, n_dim, norm, dropout=0.0, **attention):
        super().__init__()
        self.mega_layer = GatedAttention(dim, hidden, z_dim, n_dim, norm, dropout=dropout,
                                         **attention)
        self.nffn = FeedForward(dim, ffn, norm, dropout)

    def forward(self, x):
        return self.nffn(self.mega_layer(x))


class ScalarEmbedding(nn.Module):
    """Every sample x becomes x * weight + bias."""

    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim).normal_(std=0.02))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, samples):
        return samples.unsqueeze(-1) * self.weight + self.bias


class FrameEmbedding(nn.Module):
    """Overlapping frames of the waveform, each of which is projected to one position.

    Frame t is centred on the samples t * hop ... (t + 1) * hop; samples outside the clip are zero.
    """

    def __init__(self, dim, length, hop):
        super().__init__()
        self.hop = hop
        self.weight = nn.Parameter(torch.empty(dim, length).normal_(std=length ** -0.5))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, samples):
        length = self.weight.size(1)
        before = (length - self.hop) // 2
        frames = -(-samples.size(1) // self.hop)
        after = (frames - 1) * self.hop + length - before - samples.size(1)
        padded = F.pad(samples, (before, after))
        return F.linear(padded.unfold(1, length, self.hop), self.weight, self.bias)


class _Encoder(nn.Module):
    """Embedding, layers and final norm, under the names of the fairseq family."""

    def __init__(self, args):
        super().__init__()
        dim, norm = args.encoder_embed_dim, args.norm_type
        if getattr(args, 'input_type', None) == 'frames':
            self.embed_tokens = FrameEmbedding(dim, args.frame_length, args.frame_hop)
        else:
            self.embed_tokens = ScalarEmbedding(dim)
        self.embed_norm = None
        if getattr(args, 'normalize_embedding', False):
            self.embed_norm = SequenceNorm(norm, dim)
        self.layers = nn.ModuleList(
            Block(dim, args.encoder_hidden_dim, args.encoder_ffn_embed_dim, args.z_dim, args.n_dim,
                  norm, dropout=args.dropout,
                  chunk=args.chunk_size if args.chunk_size > 0 else None,
                  truncation=args.truncation_length, max_positions=args.max_source_positions)
            for _ in range(args.encoder_layers))
        self.final_norm = SequenceNorm(norm, dim)

    def embed(self, samples):
        x = self.embed_tokens(samples)
        return x if self.embed_norm is None else self.embed_norm(x)

    def forward(self, samples):
        x = self.embed(samples)
        for layer in self.layers:
            x = layer(x)
        return self.final_norm(x)


def mean_of(states, mask=None):
    """The mean over positions; with ``mask`` (batch, length, 1), over those that are not padded."""
    if mask is None:
        return states.mean(dim=1)
    return (states * mask).sum(dim=1) / mask.sum(dim=1)


class SequenceClassifier(nn.Module):
    """Classifier of the fairseq family: an encoder, the mean over positions, and a small network.

    ``args`` has the original's option names. Without an ``encoder`` the classifier takes sequences
    of real numbers (batch, samples), as the speech model does, and ``args`` must describe a
    pre-norm model with Laplace attention, SiLU and simple relative bias: no other encoder is built.
    """

    def __init__(self, args, encoder=None):
        super().__init__()
        self.encoder = nn.ModuleDict({'encoder': encoder or _Encoder(args)})
        self.classifier = nn.ModuleList()
        width = args.encoder_embed_dim
        for _ in range(args.classifier_layers):
            self.classifier.append(nn.Sequential(nn.Linear(width, args.classifier_out_dim)))
            width = args.classifier_out_dim
        self.dropout = nn.Dropout(args.dropout)
        self.sentence_projection_layer = nn.Linear(width, args.sentence_class_num, bias=False)

    def forward(self, inputs, mask=None):
        encoder = self.encoder['encoder']
        states = encoder(inputs) if mask is None else encoder(inputs, mask)
        return self.classify(mean_of(states, mask))

    # flat.py calls these parts one by one.

    @property
    def layers(self):
        return self.encoder['encoder'].layers

    def embed(self, samples):
        return self.encoder['encoder'].embed(samples)

    def answer(self, states):
        """Logits from the output of the last layer."""
        return self.classify(mean_of(self.encoder['encoder'].final_norm(states)))

    def classify(self, x):
        """Logits from the means over positions."""
        for layer in self.classifier:
            x = F.gelu(layer(x))
        return self.sentence_projection_layer(self.dropout(x))


class _PatchProjection(nn.Module):
    """Cut (batch, 3, height, width) into squares, rows first, and project each to one position."""

    def __init__(self, dim, patch, linear=False):
        super().__init__()
        self.patch = patch
        self.proj = nn.Linear(3 * patch * patch, dim) if linear else nn.Conv2d(3, dim, patch, patch)

    def forward(self, images):
        batch, colours, height, width = images.shape
        side = self.patch
        x = images.view(batch, colours, height // side, side, width // side, side)
        x = x.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, colours * side * side)
        return F.linear(x, self.proj.weight.flatten(1), self.proj.bias)


def _named_linear(inputs, outputs):
    """A linear layer called ``fc``, as the vision checkpoints name their last projections."""
    return nn.ModuleDict({'fc': nn.Linear(inputs, outputs)})


class PatchClassifier(nn.Module):
    """Image classifier over square patches: the vision model."""

    def __init__(self, dim, hidden, ffn, z_dim, n_dim, depth, size, patch, classes,
                 norm='layernorm', dropout=0.0, linear_patches=False, pos_embed=True,
                 representation=None):
        super().__init__()
        positions = (size // patch) ** 2
        self.patch_embed = nn.ModuleDict({'pemb': _PatchProjection(dim, patch, linear_patches)})
        self.pos_embed = None
        if pos_embed:
            self.pos_embed = nn.Parameter(torch.empty(1, positions, dim).normal_(std=0.02))
        self.blocks = nn.ModuleList(
            Block(dim, hidden, ffn, z_dim, n_dim, norm, dropout=dropout,
                  max_positions=positions, vision=True)
            for _ in range(depth))
        self.final_norm = SequenceNorm(norm, dim)
        self.out_proj = _named_linear(dim, dim)
        self.pre_logits = _named_linear(dim, representation) if representation else None
        self.head = nn.Linear(representation or dim, classes)

    @property
    def layers(self):
        return self.blocks

    def embed(self, images):
        x = self.patch_embed['pemb'](images)
        return x if self.pos_embed is None else x + self.pos_embed

    def forward(self, images):
        x = self.embed(images)
        for block in self.blocks:
            x = block(x)
        return self.answer(x)

    def answer(self, states):
        """Logits from the output of the last block."""
        x = F.silu(self.out_proj['fc'](self.final_norm(states))).mean(dim=1)
        if self.pre_logits is not None:
            x = F.silu(self.pre_logits['fc'](x))
        return self.head(x)
