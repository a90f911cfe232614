"""Translators, language models and encoders of texts in PyTorch, for training.

Parameter names and shapes are those of the original implementation (see mega.py). Only what the
recipes need is here: pre-norm layers, layernorm, softmax attention, full sequences padded at the
right, no incremental state. The Transformers of baselines.py take the places of MEGA's encoder and
decoder if the arguments say so.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from baselines import TransformerDecoder, TransformerEncoder, token_embedding
from mega import (FeedForward, MovingAverage, SequenceNorm, SimpleRelativeBias, _initialise,
                  exponential_average)

TOEPLITZ_LIMIT = 320


class CausalAverage(MovingAverage):
    """The half of the moving average that looks back."""

    def __init__(self, dim, n_dim, truncation=None):
        super().__init__(dim, n_dim, truncation)
        for name in ('delta', 'alpha', 'beta', 'gamma'):
            setattr(self, name, nn.Parameter(getattr(self, name).data[:dim].clone()))

    def forward(self, x):
        length = x.size(1)
        if self.is_exponential(length):
            return F.silu(exponential_average(x, *self.exponentials()) + self.omega * x)
        kernel = self.kernel(length)
        if length <= TOEPLITZ_LIMIT:
            lag = torch.arange(length)[:, None] - torch.arange(length)[None, :]
            matrices = kernel[:, lag.clamp(min=0)] * (lag >= 0)
            y = torch.bmm(matrices, x.permute(2, 1, 0)).permute(2, 1, 0)
        else:
            size = 2 * length
            spectrum = torch.fft.rfft(x.transpose(1, 2), size) * torch.fft.rfft(kernel, size)
            y = torch.fft.irfft(spectrum, size)[..., :length].transpose(1, 2)
        return F.silu(y + self.omega * x)


class PaddedAverage(MovingAverage):
    """Both halves of the moving average; padded positions count as zeros."""

    def forward(self, x, mask=None):
        return super().forward(x if mask is None else x * mask)


class RotaryBias(nn.Module):
    """The product of two learnt vectors, rotated by the positions of the query and the key."""

    def __init__(self, z_dim):
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(1, z_dim).normal_(std=0.02))
        self.beta = nn.Parameter(torch.empty(1, z_dim).normal_(std=0.02))

    @staticmethod
    def rotate(vector, positions):
        half = vector.size(1) // 2
        angle = positions[:, None] * torch.exp(torch.arange(half) * (-math.log(10000.0) / half))
        first, second = vector[:, :half], vector[:, half:]
        return torch.cat([first * angle.cos() - second * angle.sin(),
                          second * angle.cos() + first * angle.sin()], dim=1)

    def forward(self, queries, keys=None):
        return self.rotate(self.alpha, torch.arange(queries)) @ \
            self.rotate(self.beta, torch.arange(keys or queries)).T

    def by_distance(self, longest):
        """The bias for the distances 1 - longest ... longest - 1 of a key from its query."""
        return self.rotate(self.beta, torch.arange(1 - longest, longest)) @ self.alpha[0]


class CrossBias(SimpleRelativeBias):
    """One number for every distance of a source position from a target position."""

    def forward(self, queries, keys):
        distance = torch.arange(keys)[None, :] - torch.arange(queries)[:, None]
        return self.rel_pos_bias[self.max_positions - 1 + distance]


class GatedAttention(nn.Module):
    """The MEGA layer with softmax attention."""

    def __init__(self, dim, hidden, z_dim, move, bias, chunk=None, causal=False, dropout=0.0):
        super().__init__()
        self.sizes = (dim, z_dim, hidden, dim)
        self.chunk, self.causal = chunk, causal
        self.dropout = nn.Dropout(dropout)
        self.norm = SequenceNorm('layernorm', dim)
        self.move = move
        self.v_proj = nn.Linear(dim, hidden)
        self.mx_proj = nn.Linear(dim, sum(self.sizes))
        self.h_proj = nn.Linear(hidden, dim)
        self.gamma = nn.Parameter(torch.empty(2, z_dim).normal_())
        self.beta = nn.Parameter(torch.zeros(2, z_dim))
        self.rel_pos_bias = bias
        for linear in (self.v_proj, self.mx_proj, self.h_proj):
            _initialise(linear)

    def forward(self, x, mask=None):
        batch, length, _ = x.shape
        normed = self.norm(x)
        v = F.silu(self.v_proj(normed))
        m = self.move(normed) if self.causal else self.move(normed, mask)
        update, z, reset, candidate = self.mx_proj(m).split(self.sizes, dim=-1)
        z = F.silu(z)
        q = (z * self.gamma[0] + self.beta[0]) * z.size(-1) ** -0.5
        k = z * self.gamma[1] + self.beta[1]
        chunk = min(self.chunk or length, length)
        rest = -length % chunk  # positions that are missing in the last chunk
        if rest:
            mask = x.new_ones(batch, length, 1) if mask is None else mask
            mask, q, k, v = (F.pad(t, (0, 0, 0, rest)) for t in (mask, q, k, v))
        q, k, v = (t.view(-1, chunk, t.size(-1)) for t in (q, k, v))
        scores = torch.bmm(q, k.transpose(1, 2)) + self.rel_pos_bias(chunk)
        if self.causal:
            scores = scores + torch.full((chunk, chunk), -1e9).triu(1)
        elif mask is not None:
            scores = scores + (mask.view(-1, 1, chunk) - 1) * 1e9
        attended = torch.bmm(F.softmax(scores, dim=-1), v).view(batch, length + rest, -1)
        attended = attended[:, :length]
        h = F.silu(candidate + self.h_proj(self.dropout(attended * F.silu(reset))))
        return x + torch.sigmoid(update) * (self.dropout(h) - x)


class CrossAttention(nn.Module):
    """Gated attention of the decoder to the encoder's states."""

    def __init__(self, dim, z_dim, max_positions, dropout=0.0):
        super().__init__()
        self.sizes = (dim, dim, z_dim)
        self.dropout = nn.Dropout(dropout)
        self.norm = SequenceNorm('layernorm', dim)
        self.q_proj = nn.Linear(dim, sum(self.sizes))
        self.k_proj = nn.Linear(dim, z_dim)
        self.v_proj = nn.Linear(dim, dim)
        self.h_proj = nn.Linear(dim, dim)
        self.rel_pos_bias = CrossBias(max_positions)
        for linear in (self.q_proj, self.v_proj, self.h_proj):
            _initialise(linear)
        for linear in (self.k_proj,):
            nn.init.normal_(linear.weight, std=linear.in_features ** -0.5)
            nn.init.zeros_(linear.bias)

    def forward(self, x, encoded, mask):
        update, reset, q = self.q_proj(self.norm(x)).split(self.sizes, dim=-1)
        k, v = self.k_proj(encoded), F.silu(self.v_proj(encoded))
        scores = torch.bmm(q * q.size(-1) ** -0.5, k.transpose(1, 2))
        scores = scores + self.rel_pos_bias(x.size(1), k.size(1)) + (mask.transpose(1, 2) - 1) * 1e9
        attended = torch.bmm(F.softmax(scores, dim=-1), v)
        h = F.silu(self.h_proj(self.dropout(attended * F.silu(reset))))
        return x + torch.sigmoid(update) * (self.dropout(h) - x)


class EncoderLayer(nn.Module):
    def __init__(self, args):
        super().__init__()
        dim, chunk = args.encoder_embed_dim, args.encoder_chunk_size
        self.mega_layer = GatedAttention(
            dim, args.encoder_hidden_dim, args.encoder_z_dim,
            PaddedAverage(dim, args.encoder_n_dim, args.truncation_length),
            SimpleRelativeBias(args.max_source_positions if chunk <= 0 else chunk),
            chunk=chunk if chunk > 0 else None, dropout=args.dropout)
        self.nffn = FeedForward(dim, args.encoder_ffn_embed_dim, 'layernorm', args.dropout)

    def forward(self, x, mask):
        return self.nffn(self.mega_layer(x, mask))


class DecoderLayer(nn.Module):
    def __init__(self, args, cross):
        super().__init__()
        dim, chunk = args.decoder_embed_dim, args.decoder_chunk_size
        bias = RotaryBias(args.decoder_z_dim) if args.rel_pos_bias == 'rotary' else \
            SimpleRelativeBias(args.max_target_positions if chunk <= 0 else chunk)
        self.mega_layer = GatedAttention(
            dim, args.decoder_hidden_dim, args.decoder_z_dim,
            CausalAverage(dim, args.decoder_n_dim, args.truncation_length), bias,
            chunk=chunk if chunk > 0 else None, causal=True, dropout=args.dropout)
        self.cross_attn = None
        if cross:
            positions = max(args.max_source_positions, args.max_target_positions)
            self.cross_attn = CrossAttention(dim, args.decoder_z_dim, positions, args.dropout)
        self.nffn = FeedForward(dim, args.decoder_ffn_embed_dim, 'layernorm', args.dropout)

    def forward(self, x, encoded=None, mask=None):
        x = self.mega_layer(x)
        if self.cross_attn is not None:
            x = self.cross_attn(x, encoded, mask)
        return self.nffn(x)


class Decoder(nn.Module):
    """Embedding, layers, final norm and the output, which shares the embedding's table."""

    def __init__(self, args, vocabulary, cross, table=None):
        super().__init__()
        dim = args.decoder_embed_dim
        self.embed_tokens = table or token_embedding(vocabulary, dim)
        self.dropout = nn.Dropout(args.dropout)
        self.layers = nn.ModuleList(DecoderLayer(args, cross) for _ in range(args.decoder_layers))
        self.final_norm = SequenceNorm('layernorm', dim)
        if getattr(args, 'no_affine_final_norm', False):
            self.final_norm.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.output_projection = nn.Linear(dim, vocabulary, bias=False)
        self.output_projection.weight = self.embed_tokens.weight

    def forward(self, tokens, encoded=None, mask=None):
        x = self.dropout(self.embed_tokens(tokens) * self.embed_tokens.embedding_dim ** 0.5)
        for layer in self.layers:
            x = layer(x, encoded, mask)
        return self.output_projection(self.dropout(self.final_norm(x)))


class Encoder(nn.Module):
    def __init__(self, args, vocabulary):
        super().__init__()
        self.embed_tokens = token_embedding(vocabulary, args.encoder_embed_dim)
        self.dropout = nn.Dropout(args.dropout)
        self.layers = nn.ModuleList(EncoderLayer(args) for _ in range(args.encoder_layers))
        self.final_norm = SequenceNorm('layernorm', args.encoder_embed_dim)

    def forward(self, tokens, mask):
        x = self.embed_tokens(tokens) * self.embed_tokens.embedding_dim ** 0.5
        x = self.dropout(x * mask)
        for layer in self.layers:
            x = layer(x, mask)
        return self.final_norm(x)


PAD, EOS, UNK = 1, 2, 3


class TextEncoder(nn.Module):
    """The encoder of a classifier of texts; unlike in translators, embeddings are not scaled."""

    def __init__(self, args, vocabulary):
        super().__init__()
        dim = args.encoder_embed_dim
        self.embed_tokens = nn.ModuleDict({'embed': nn.Embedding(vocabulary, dim)})
        self.dropout = nn.Dropout(args.dropout)
        self.layers = nn.ModuleList(EncoderLayer(args) for _ in range(args.encoder_layers))
        self.final_norm = SequenceNorm('layernorm', dim)

    def forward(self, tokens, mask=None):
        x = self.dropout(self.embed_tokens['embed'](tokens))
        for layer in self.layers:
            x = layer(x, mask)
        return self.final_norm(x)


def is_transformer(args):
    return args.arch.startswith('transformer')


class TranslationModel(nn.Module):
    """An encoder and a decoder that share one table of embeddings."""

    def __init__(self, args, vocabulary):
        super().__init__()
        encoder, decoder = Encoder, Decoder
        if is_transformer(args):
            encoder, decoder = TransformerEncoder, TransformerDecoder
        self.encoder = encoder(args, vocabulary)
        self.decoder = decoder(args, vocabulary, True, self.encoder.embed_tokens)

    def forward(self, source, previous):
        mask = (source != PAD).float().unsqueeze(-1)
        return self.decoder(previous, self.encoder(source, mask), mask)


class LanguageModel(nn.Module):
    def __init__(self, args, vocabulary):
        super().__init__()
        decoder = TransformerDecoder if is_transformer(args) else Decoder
        self.decoder = decoder(args, vocabulary, False)

    def forward(self, tokens):
        return self.decoder(tokens)
