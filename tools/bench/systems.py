"""The systems that the paper compares MEGA with, for texts: a Transformer and S4, in PyTorch.

Their parameters have the originals' names, so that mega-convert imports what torch.save writes. What
they compute is in src/MODEL.md, "Transformer" and "S4 layer"; MEGA itself comes from shapes.py. The
widths and depths are those of the originals' recipes for IMDb as bytes: the Transformer of 4
layers, S4's fourth release, and MEGA of 4 layers with full attention or chunks of 128.
"""

import argparse
import math

import torch
from torch import nn
from torch.nn import functional as F

import shapes

LONGEST = 16384
CLASSES = 2
EPSILON = 1e-5

MEGA = shapes.Encoder('MEGA', 128, 256, 256, 64, 4, 'scalenorm', -1, 1024, LONGEST, text=True)
MEGA_CHUNK = shapes.Encoder('MEGA-chunk', 128, 256, 256, 64, 4, 'scalenorm', 128, 1024, LONGEST,
                            text=True)


# ---- Transformer --------------------------------------------------------------------------------

def sinusoids(length, width):
    """Rows 2 ... of the table, rounded as the original rounds."""
    half = width // 2
    step = torch.tensor(-math.log(10000) / (half - 1), dtype=torch.float32)
    frequency = torch.exp((torch.arange(half) * step).double()).float()
    angle = torch.arange(2, 2 + length, dtype=torch.float32)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class Attention(nn.Module):
    """Attention of several heads; fused is PyTorch's own function, which never writes L x L."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.fused = heads, False
        for part in ('q', 'k', 'v', 'out'):
            setattr(self, f'{part}_proj', nn.Linear(width, width))

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = (project(x).view(batch, length, self.heads, -1).transpose(1, 2)
                   for project in (self.q_proj, self.k_proj, self.v_proj))
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            scores = q * (width // self.heads) ** -0.5 @ k.transpose(2, 3)
            y = scores.softmax(dim=-1) @ v
        return self.out_proj(y.transpose(1, 2).reshape(batch, length, width))


class TransformerLayer(nn.Module):
    def __init__(self, width, heads, ffn):
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, ffn), nn.Linear(ffn, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x):
        x = self.self_attn_layer_norm(x + self.self_attn(x))
        return self.final_layer_norm(x + self.fc2(F.gelu(self.fc1(x))))


class TransformerEncoder(nn.Module):
    def __init__(self, width, heads, ffn, layers):
        super().__init__()
        self.embed_tokens = nn.Embedding(shapes.BYTES, width)
        nn.init.normal_(self.embed_tokens.weight, std=width ** -0.5)
        self.layers = nn.ModuleList(TransformerLayer(width, heads, ffn) for _ in range(layers))
        self.register_buffer('table', sinusoids(LONGEST, width), persistent=False)

    def forward(self, ids):
        x = self.embed_tokens(ids) * self.embed_tokens.embedding_dim ** 0.5
        x = x + self.table[:ids.size(1)]
        for layer in self.layers:
            x = layer(x)
        return x


class Transformer(nn.Module):
    """(logits, states)"""

    def __init__(self, width=256, heads=4, ffn=1024, layers=4):
        super().__init__()
        self.encoder = nn.ModuleDict({'encoder': TransformerEncoder(width, heads, ffn, layers)})
        self.classifier = nn.ModuleList([nn.Sequential(nn.Linear(width, 2 * width))])
        self.sentence_projection_layer = nn.Linear(2 * width, CLASSES, bias=False)

    def forward(self, ids):
        states = self.encoder['encoder'](ids)
        pooled = F.gelu(self.classifier[0](states.mean(dim=1)))
        return self.sentence_projection_layer(pooled), states

    def checkpoint(self):
        encoder = self.encoder['encoder']
        layer = encoder.layers[0]
        width = encoder.embed_tokens.embedding_dim
        args = argparse.Namespace(
            arch='transformer_lra_imdb', task='lra-text', layer_type='transformer',
            input_type='text', encoder_layers=len(encoder.layers), encoder_embed_dim=width,
            encoder_ffn_embed_dim=layer.fc1.out_features, sen_rep_type='mp',
            encoder_attention_heads=layer.self_attn.heads, encoder_normalize_before=False,
            encoder_learned_pos=False, activation_fn='gelu', classifier_activation_fn='gelu',
            classifier_layers=1, classifier_out_dim=2 * width, sentence_class_num=CLASSES,
            max_positions=LONGEST, tokens_per_sample=LONGEST)
        state = self.state_dict()
        state['encoder.encoder.embed_positions._float_tensor'] = torch.zeros(1)
        return {'model': state, 'args': args}


# ---- S4 -----------------------------------------------------------------------------------------

class Kernel(nn.Module):
    """The kernels of a layer: one state space of rank 1 for all features, in both directions."""

    def __init__(self, features, states):
        super().__init__()
        pairs = states // 2
        steps = torch.exp(torch.empty(features, 1).uniform_(math.log(0.001), math.log(0.1)))
        self.inv_dt = nn.Parameter(torch.log(torch.expm1(steps)))
        self.A_real = nn.Parameter(torch.full((1, pairs), math.log(0.5)))
        self.A_imag = nn.Parameter(-math.pi * torch.arange(1.0, pairs + 1)[None])
        self.B = nn.Parameter(torch.view_as_real(torch.ones(1, 1, pairs, dtype=torch.cfloat)))
        self.P = nn.Parameter(0.5 * torch.randn(1, 1, pairs, 2))
        self.C = nn.Parameter(torch.randn(2, features, pairs, 2) * 0.5 ** 0.5)
        self.register_buffer('l_kernel', torch.tensor(LONGEST))

    def kernels(self, real=torch.float32):
        """[2 directions, features, l_kernel]; the sums over states in `real`'s complex numbers."""
        n, complex_type = LONGEST, torch.complex64 if real == torch.float32 else torch.complex128

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
        for step in dt.split(16):                                           # less memory at a time
            factor = step / (2 * minus[:, None] - (1 + node)[:, None] * step * low)
            factor = factor.to(complex_type)                                # [16, k, 2N]
            part = slice(16 * len(found), 16 * len(found) + len(step))

            seen = c[:, part]                                               # [2, 16, 2N]
            bc, pc = (torch.einsum('hkn,rhn->rhk', factor, seen * v[0]) for v in (b, p))
            bp, pp = (factor @ (v[0] * p[0].conj()) for v in (b, p))        # [16, k]
            found.append(2 * (bc - plus * bp / (1 + plus * pp) * pc))
        return torch.fft.irfft(torch.cat(found, dim=1), n).to(torch.float32)


class S4Part(nn.Module):
    """y = K u + D u. With kept spectra nothing but the convolution is left for each input."""

    def __init__(self, features, states):
        super().__init__()
        self.D = nn.Parameter(torch.randn(1, features))
        self.kernel = Kernel(features, states)
        self.spectra = {}

    def spectrum(self, length):
        if length in self.spectra:
            return self.spectra[length]
        back, ahead = self.kernel.kernels()[..., :length]
        # looking ahead starts at the next position: K'[j] stands at lag -1 - j
        both = torch.cat([back, ahead.flip(-1)], dim=-1)
        return torch.fft.rfft(both)

    def keep(self, length):
        back, ahead = self.kernel.kernels(torch.float64)[..., :length]
        self.spectra = {length: torch.fft.rfft(torch.cat([back, ahead.flip(-1)], dim=-1))}

    def forward(self, u):
        length = u.size(-1)
        spectrum = torch.fft.rfft(u, 2 * length) * self.spectrum(length)
        return torch.fft.irfft(spectrum, 2 * length)[..., :length] + self.D[0, :, None] * u


class S4Block(nn.Module):
    def __init__(self, features, states):
        super().__init__()
        self.layer = S4Part(features, states)
        self.output_linear = nn.Sequential(nn.Linear(features, 2 * features))

    def forward(self, z):
        y = self.layer(z.transpose(1, 2)).transpose(1, 2)
        return F.glu(self.output_linear(F.gelu(y)), dim=-1)


class Norm(nn.Module):
    """Batch norm over the last axis, under the name that the original gives it."""

    def __init__(self, features):
        super().__init__()
        self.norm = nn.BatchNorm1d(features)

    def forward(self, x):
        return self.norm(x.transpose(1, 2)).transpose(1, 2)


class S4Layer(nn.Module):
    def __init__(self, features, states):
        super().__init__()
        self.layer, self.norm = S4Block(features, states), Norm(features)

    def forward(self, x):
        return x + self.layer(self.norm(x))


class S4(nn.Module):
    """(logits, states)"""

    def __init__(self, features=256, states=4, layers=6):
        super().__init__()
        self.encoder = nn.ModuleList([nn.Embedding(shapes.BYTES, features)])
        self.model = nn.ModuleDict({
            'layers': nn.ModuleList(S4Layer(features, states) for _ in range(layers)),
            'norm': Norm(features)})
        self.decoder = nn.ModuleList(
            [nn.ModuleDict({'output_transform': nn.Linear(features, CLASSES)})])
        self.states_per_feature = states

    def forward(self, ids):
        x = self.encoder[0](ids)
        for layer in self.model['layers']:
            x = layer(x)
        states = self.model['norm'](x)
        return self.decoder[0]['output_transform'](states.mean(dim=1)), states

    def checkpoint(self):
        layer = dict(
            _name_='s4', mode='nplr', d_state=self.states_per_feature, channels=1, n_ssm=1, rank=1,
            bidirectional=True, activation='gelu', final_act='glu', postact=None, l_max=LONGEST,
            dt_transform='softplus', transposed=False)
        parameters = dict(
            model=dict(_name_='model', layer=layer, prenorm=True, transposed=False, norm='batch',
                       residual='R', n_layers=len(self.model['layers']),
                       d_model=self.encoder[0].embedding_dim),
            dataset=dict(_name_='imdb', l_max=LONGEST, level='char'), encoder='embedding',
            decoder=dict(_name_='sequence', mode='pool', use_lengths=True))
        return {'state_dict': self.state_dict(), 'hyper_parameters': parameters}


# ---- All four -----------------------------------------------------------------------------------

class _Mega(nn.Module):
    """MEGA of shapes.py, with (logits, states) and the checkpoint like the others."""

    def __init__(self, shape):
        super().__init__()
        model, self.args = shapes.classifier(shape)
        self.both, self.shape = shapes.WithStates(model), shape

    def forward(self, ids):
        return self.both(ids)

    def checkpoint(self):
        return {'model': self.both.model.state_dict(), 'args': self.args}


SYSTEMS = {
    'XFM': Transformer,
    'S4': S4,
    'MEGA': lambda: _Mega(MEGA),
    'MEGA-chunk': lambda: _Mega(MEGA_CHUNK),
}


def build(name):
    torch.manual_seed(1)
    return SYSTEMS[name]().eval()


def stage(name):
    """What mega-run calls the states: no norm follows the layers of this Transformer."""
    return 'layer.3' if name == 'XFM' else 'final'


def make_input(length):
    torch.manual_seed(2)
    return torch.randint(shapes.FIRST_ID, shapes.BYTES, (1, length))


def prepare(model, length):
    """Spares PyTorch what is the same for every input of that length: S4's kernels and MEGA's
    averages are kept, and attention is PyTorch's own."""
    shapes.keep_averages(model, length)
    for module in model.modules():
        if isinstance(module, S4Part):
            module.keep(length)
        elif isinstance(module, Attention):
            module.fused = True
    return model
