"""The systems that the paper compares MEGA with, in PyTorch: the Transformer and S4.

Parameter names and shapes are those of the originals, fairseq's Transformers and the fourth release
of S4's framework, so that mega-convert imports what torch.save writes. What they compute is in
src/MODEL.md, "Attention of several heads" and "S4 layer".
"""

import argparse
import math

import torch
from torch import nn
from torch.nn import functional as F

from mega import SequenceNorm, mean_of


# ---- Transformer ----

def sinusoids(length, width, first=2):
    """``length`` rows of the table from row ``first`` on; tokens begin at row 2.

    They are rounded where the original rounds.
    """
    half = width // 2
    step = torch.tensor(-math.log(10000) / (half - 1), dtype=torch.float32)
    frequency = torch.exp((torch.arange(half) * step).double()).float()
    angle = torch.arange(first, first + length, dtype=torch.float32)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class Attention(nn.Module):
    """Attention of several heads.

    With ``fused``, PyTorch's own function computes it, which never stores the L x L scores.
    """

    def __init__(self, width, heads, fused=True):
        super().__init__()
        self.heads, self.fused = heads, fused
        for part in ('q', 'k', 'v', 'out'):
            linear = nn.Linear(width, width)
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
            setattr(self, f'{part}_proj', linear)

    def forward(self, x, others=None, mask=None, causal=False):
        """``others`` are what is attended to, x itself by default; ``mask`` says which are real."""
        batch, length, width = x.shape
        others = x if others is None else others
        q, k, v = (project(y).view(batch, y.size(1), self.heads, -1).transpose(1, 2)
                   for project, y in ((self.q_proj, x), (self.k_proj, others),
                                      (self.v_proj, others)))
        seen = None if mask is None else mask.view(batch, 1, 1, -1) > 0
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=causal)
        else:
            scores = q * (width // self.heads) ** -0.5 @ k.transpose(2, 3)
            if seen is not None:
                scores = scores.masked_fill(~seen, float('-inf'))
            if causal:
                scores = scores + torch.full(scores.shape[-2:], float('-inf')).triu(1)
            y = scores.softmax(dim=-1) @ v
        return self.out_proj(y.transpose(1, 2).reshape(batch, length, width))


class TransformerLayer(nn.Module):
    """Self-attention, attention to the encoder (in a decoder), and a feed-forward network."""

    def __init__(self, width, heads, ffn, dropout=0.0, pre_norm=False, causal=False, cross=False):
        super().__init__()
        self.pre_norm, self.causal = pre_norm, causal
        self.self_attn = Attention(width, heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.encoder_attn = None
        if cross:
            self.encoder_attn = Attention(width, heads)
            self.encoder_attn_layer_norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, ffn), nn.Linear(ffn, width)
        for linear in (self.fc1, self.fc2):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        self.final_layer_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def add(self, x, norm, block):
        """Add what ``block`` makes of x to x, with the norm before the block or after the sum."""
        if self.pre_norm:
            return x + self.dropout(block(norm(x)))
        return norm(x + self.dropout(block(x)))

    def feed_forward(self, x):
        return self.fc2(self.dropout(F.gelu(self.fc1(x))))

    def forward(self, x, encoded=None, mask=None):
        """``mask`` belongs to the encoder's positions: to ``encoded`` in a decoder, else to x."""
        own = None if self.causal else mask
        x = self.add(x, self.self_attn_layer_norm,
                     lambda y: self.self_attn(y, mask=own, causal=self.causal))
        if self.encoder_attn is not None:
            x = self.add(x, self.encoder_attn_layer_norm,
                         lambda y: self.encoder_attn(y, encoded, mask))
        return self.add(x, self.final_layer_norm, self.feed_forward)


class Stack(nn.Module):
    """Embedding, positions and layers, which all Transformers have."""

    def __init__(self, embedding, width, heads, ffn, layers, positions, first=2, **layer):
        super().__init__()
        self.embed_tokens = embedding
        self.layers = nn.ModuleList(TransformerLayer(width, heads, ffn, **layer)
                                    for _ in range(layers))
        self.register_buffer('table', sinusoids(positions, width, first), persistent=False)
        self.dropout = nn.Dropout(layer.get('dropout', 0.0))

    def embed(self, inputs):
        x = self.embed_tokens(inputs) * self.table.size(1) ** 0.5
        return self.dropout(x + self.table[:x.size(1)])

    def run(self, inputs, encoded=None, mask=None):
        x = self.embed(inputs)
        for layer in self.layers:
            x = layer(x, encoded, mask)
        return x

    def forward(self, inputs, mask=None):
        return self.run(inputs, mask=mask)


def token_embedding(vocabulary, width):
    table = nn.Embedding(vocabulary, width)
    nn.init.normal_(table.weight, std=width ** -0.5)
    return table


class TransformerEncoder(Stack):
    """The encoder of a translator. Its layers are pre-norm, so a final norm follows them."""

    def __init__(self, args, vocabulary):
        super().__init__(token_embedding(vocabulary, args.encoder_embed_dim),
                         args.encoder_embed_dim, args.encoder_attention_heads,
                         args.encoder_ffn_embed_dim, args.encoder_layers,
                         args.max_source_positions, dropout=args.dropout, pre_norm=True)
        self.layer_norm = nn.LayerNorm(args.encoder_embed_dim)
        self.register_buffer('version', torch.tensor([3.0]))  # this version has a final norm

    def forward(self, tokens, mask=None):
        return self.layer_norm(self.run(tokens, mask=mask))


class TransformerDecoder(Stack):
    """The decoder of a translator or a language model; the output shares the embedding's table."""

    def __init__(self, args, vocabulary, cross, table=None):
        dim = args.decoder_embed_dim
        super().__init__(table or token_embedding(vocabulary, dim), dim,
                         args.decoder_attention_heads, args.decoder_ffn_embed_dim,
                         args.decoder_layers, args.max_target_positions, dropout=args.dropout,
                         pre_norm=True, causal=True, cross=cross)
        self.layer_norm = nn.LayerNorm(dim)
        self.register_buffer('version', torch.tensor([3.0]))
        self.output_projection = nn.Linear(dim, vocabulary, bias=False)
        self.output_projection.weight = self.embed_tokens.weight

    def forward(self, tokens, encoded=None, mask=None):
        x = self.layer_norm(self.run(tokens, encoded, mask))
        return self.output_projection(self.dropout(x))


def transformer_args(sides, **given):
    """Arguments that the checkpoints of translators and language models need."""
    args = {}
    for side in sides:
        args |= {f'{side}_attention_heads': given['heads'], f'{side}_learned_pos': False,
                 f'{side}_normalize_before': True, f'{side}_layers': given['layers'],
                 f'{side}_embed_dim': given['dim'], f'{side}_ffn_embed_dim': given['ffn'],
                 f'{side}_output_dim': given['dim'], f'{side}_input_dim': given['dim']}
    return argparse.Namespace(
        activation_fn='gelu', no_token_positional_embeddings=False, no_scale_embedding=False,
        layernorm_embedding=False, adaptive_input=False, adaptive_softmax_cutoff=None,
        no_decoder_final_norm=False, share_decoder_input_output_embed=True,
        share_all_embeddings='encoder' in sides, dropout=given['dropout'],
        max_source_positions=given['positions'], max_target_positions=given['positions'],
        tokens_per_sample=given['positions'], **args)


# ---- S4 ----

def legendre(states):
    """(poles, B, P) of the HiPPO matrix of Legendre polynomials, one of each conjugate pair.

    The matrix is normal plus the rank-one term -P P', so its eigenvectors are known exactly.
    """
    n = torch.arange(states, dtype=torch.float64)
    root = (2 * n + 1).sqrt()
    p, b = (n + 0.5).sqrt(), root
    a = -torch.outer(root, root).tril(-1) - torch.diag(n + 1)
    normal = a + torch.outer(p, p)
    # Apart from -1/2 on the diagonal, `normal` is skew-symmetric: -i times that is Hermitian.
    skew = normal + 0.5 * torch.eye(states, dtype=torch.float64)
    frequency, vectors = torch.linalg.eigh(-1j * skew.to(torch.complex128))
    half = vectors[:, :states // 2].conj().T
    poles = torch.complex(torch.full((states // 2,), -0.5, dtype=torch.float64),
                          frequency[:states // 2])
    return poles, half @ b.to(half.dtype), half @ p.to(half.dtype)


def _pairs(x):
    return torch.view_as_real(x.to(torch.complex64)).contiguous()


class Kernel(nn.Module):
    """The kernels of a layer: one state space of rank 1 for all features, in both directions."""

    GROUP = 16  # features computed at a time, which bounds the memory

    def __init__(self, features, states, length):
        super().__init__()
        poles, b, p = legendre(states)
        steps = torch.exp(torch.empty(features, 1).uniform_(math.log(0.001), math.log(0.1)))
        self.inv_dt = nn.Parameter(torch.log(torch.expm1(steps)))
        self.A_real = nn.Parameter((-poles.real).log().float()[None])
        self.A_imag = nn.Parameter(-poles.imag.float()[None])
        self.B = nn.Parameter(_pairs(b)[None, None])
        self.P = nn.Parameter(_pairs(p)[None, None])
        self.C = nn.Parameter(torch.randn(2, features, states // 2, 2) * 0.5 ** 0.5)
        self.register_buffer('l_kernel', torch.tensor(length))
        self.length = length

    def kernels(self, real=torch.float32):
        """[2 directions, features, length].

        Sums over states are computed in complex numbers of the precision of ``real``.
        """
        n, complex_type = self.length, torch.complex64
        if real == torch.float64:
            complex_type = torch.complex128

        def both(x):
            return torch.cat([x, x.conj()], dim=-1).to(complex_type)

        dt = F.softplus(self.inv_dt.double()).unsqueeze(-1)                 # [H, 1, 1]
        pole = torch.complex(-self.A_real.double().exp(), -self.A_imag.double())
        b, p, c = (both(torch.view_as_complex(x.double())) for x in (self.B[0], self.P[0], self.C))
        angle = -2 * math.pi * torch.arange(n // 2 + 1, dtype=torch.float64) / n
        node = torch.polar(torch.ones_like(angle), angle)
        minus, plus = (1 - node), (1 + node).to(complex_type)
        low = torch.cat([pole, pole.conj()], dim=-1)                        # [1, 2N]
        found = []
        for step, seen in zip(dt.split(self.GROUP), c.split(self.GROUP, dim=1)):
            factor = step / (2 * minus[:, None] - (1 + node)[:, None] * step * low)
            factor = factor.to(complex_type)                                # [16, k, 2N]
            bc, pc = (torch.einsum('hkn,rhn->rhk', factor, seen * v[0]) for v in (b, p))
            bp, pp = (factor @ (v[0] * p[0].conj()) for v in (b, p))        # [16, k]
            found.append(2 * (bc - plus * bp / (1 + plus * pp) * pc))
        return torch.fft.irfft(torch.cat(found, dim=1), n).to(torch.float32)


class S4Part(nn.Module):
    """y = K u + D u. After ``keep``, an input costs nothing but the convolution."""

    def __init__(self, features, states, length):
        super().__init__()
        self.D = nn.Parameter(torch.randn(1, features))
        self.kernel = Kernel(features, states, length)
        self.spectra = {}

    def spectrum(self, length, real=torch.float32):
        if length in self.spectra:
            return self.spectra[length]
        back, ahead = self.kernel.kernels(real)[..., :length]
        # The kernel that looks ahead starts at the next position: K'[j] stands at lag -1 - j.
        return torch.fft.rfft(torch.cat([back, ahead.flip(-1)], dim=-1))

    def keep(self, length):
        self.spectra = {length: self.spectrum(length, torch.float64)}

    def forward(self, u):
        length = u.size(-1)
        spectrum = torch.fft.rfft(u, 2 * length) * self.spectrum(length)
        return torch.fft.irfft(spectrum, 2 * length)[..., :length] + self.D[0, :, None] * u


class S4Block(nn.Module):
    def __init__(self, features, states, length):
        super().__init__()
        self.layer = S4Part(features, states, length)
        self.output_linear = nn.Sequential(nn.Linear(features, 2 * features))

    def forward(self, z):
        y = self.layer(z.transpose(1, 2)).transpose(1, 2)
        return F.glu(self.output_linear(F.gelu(y)), dim=-1)


class S4Layer(nn.Module):
    def __init__(self, features, states, length, norm, dropout):
        super().__init__()
        self.layer, self.norm = S4Block(features, states, length), SequenceNorm(norm, features)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        z = self.norm(x)
        return x + self.dropout(self.layer(z if mask is None else z * mask))


class S4(nn.Module):
    """Classifier: embedding, pre-norm layers, a final norm, and the mean over positions.

    ``embedding`` is a table for tokens or a linear map of the values at a position. Inputs have at
    most ``length`` positions.
    """

    def __init__(self, embedding, features, states, layers, classes, length, norm='layernorm',
                 dropout=0.0):
        super().__init__()
        self.encoder = nn.ModuleList([embedding])
        self.model = nn.ModuleDict({
            'layers': nn.ModuleList(S4Layer(features, states, length, norm, dropout)
                                    for _ in range(layers)),
            'norm': SequenceNorm(norm, features)})
        self.decoder = nn.ModuleList(
            [nn.ModuleDict({'output_transform': nn.Linear(features, classes)})])
        self.sizes = {'d_model': features, 'd_state': states, 'n_layers': layers,
                      'l_max': length, 'norm': norm.removesuffix('norm')}

    def states(self, inputs, mask=None):
        x = self.encoder[0](inputs)
        for layer in self.model['layers']:
            x = layer(x, mask)
        return self.model['norm'](x)

    def forward(self, inputs, mask=None):
        return self.decoder[0]['output_transform'](mean_of(self.states(inputs, mask), mask))

    def hyper_parameters(self, encoder, dataset):
        """The framework's arguments by section; `encoder` and `dataset` depend on the inputs."""
        sizes = self.sizes
        layer = dict(
            _name_='s4', mode='nplr', d_state=sizes['d_state'], channels=1, n_ssm=1, rank=1,
            bidirectional=True, activation='gelu', final_act='glu', postact=None,
            l_max=sizes['l_max'], dt_transform='softplus', transposed=False)
        return dict(
            model=dict(_name_='model', layer=layer, prenorm=True, transposed=False,
                       norm=sizes['norm'], residual='R', n_layers=sizes['n_layers'],
                       d_model=sizes['d_model']),
            dataset=dataset, encoder=encoder,
            decoder=dict(_name_='sequence', mode='pool', use_lengths=True))
