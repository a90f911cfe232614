"""The original's named configurations with random weights, in PyTorch, for compare.py.

The models are those of tools/train under the original's parameter names, so that mega-convert
imports them: PyTorch and mega-run compute the same function. The text classifier with softmax
attention, which tools/train does not build, is put together from its parts; like all models here it
is pre-norm. Decoding is in decoding.py.
"""

import argparse
import pathlib
import sys
from dataclasses import dataclass

import numpy
import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'train'))
import sequence  # noqa: E402
from mega import MovingAverage, SequenceClassifier, SequenceNorm  # noqa: E402

VOCABULARY = 32768  # of the translators, both sides' joint table
WORDS = 267744      # of the language model with adaptive softmax, as many as WikiText-103 gives
BYTES = 260         # of the text classifier: 256 bytes and four symbols
CHARACTERS = 208    # of the language model: bytes of enwik8 and four symbols
FIRST_ID = 4        # lower ids are symbols with a meaning


@dataclass(frozen=True)
class Encoder:
    title: str
    d: int
    h: int
    ffn: int
    z: int
    layers: int
    norm: str
    chunk: int
    truncation: int
    length: int
    text: bool = False


ENCODERS = {
    'speech': Encoder('sc_raw_base, 1 s of speech', 60, 120, 120, 30, 6, 'batchnorm', 1000, 1000,
                      16000),
    'text': Encoder('lra_imdb, 4,096 bytes, chunk 128', 128, 256, 256, 64, 4, 'scalenorm', 128,
                    1024, 4096, text=True),
    'pixels': Encoder('lra_cifar10, 1,024 pixels', 160, 320, 320, 96, 8, 'batchnorm', -1, 1024,
                      1024),
    'path': Encoder('lra_pf128 (Path-X), 16,384 pixels, chunk 4,096', 64, 128, 128, 32, 4,
                    'batchnorm', 4096, 4096, 16384),
}


# ---- Classifiers --------------------------------------------------------------------------------

class _TextEmbedding(nn.Module):
    """A table under the name that the original's text classifiers give it."""

    def __init__(self, words, dim):
        super().__init__()
        self.embed = nn.Embedding(words, dim)

    def forward(self, ids):
        return self.embed(ids)


def _make_textual(model, shape):
    """Replace the embedding of real numbers by one of tokens, and Laplace attention by softmax."""
    encoder = model.encoder['encoder']
    encoder.embed_tokens = _TextEmbedding(BYTES, shape.d)
    for block in encoder.layers:
        block.mega_layer = sequence.GatedAttention(
            shape.d, shape.h, shape.z, sequence.PaddedAverage(shape.d, 16, shape.truncation),
            sequence.SimpleRelativeBias(shape.length if shape.chunk < 0 else shape.chunk),
            chunk=None if shape.chunk < 0 else shape.chunk)
        block.mega_layer.norm = SequenceNorm(shape.norm, shape.d)


def classifier(shape):
    """(model, arguments as the original's checkpoint has them)"""
    args = argparse.Namespace(
        arch='mega', input_type='text' if shape.text else 'audio', encoder_layers=shape.layers,
        encoder_embed_dim=shape.d, encoder_hidden_dim=shape.h, encoder_ffn_embed_dim=shape.ffn,
        z_dim=shape.z, n_dim=16, chunk_size=shape.chunk, truncation_length=shape.truncation,
        rel_pos_bias='simple', norm_type=shape.norm, encoder_normalize_before=True,
        activation_fn='silu', attention_activation_fn='softmax' if shape.text else 'laplace',
        classifier_activation_fn='gelu', sen_rep_type='mp', classifier_layers=1,
        classifier_out_dim=2 * shape.d, sentence_class_num=10, dropout=0.0,
        normalize_embedding=False, no_affine_final_norm=False, max_source_positions=shape.length,
        max_positions=shape.length, audio_mean=0.0, audio_std=1.0)
    torch.manual_seed(1)
    model = SequenceClassifier(args)
    if shape.text:
        _make_textual(model, shape)
    else:  # inputs must have the size of normed ones, since new batch norms change nothing
        nn.init.normal_(model.encoder['encoder'].embed_tokens.weight)
    return model.eval(), args


class WithStates(nn.Module):
    """Returns (logits, states after the final norm).

    States show differences that the mean over positions would hide.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        states = self.model.encoder['encoder'](x)
        pooled = states.mean(dim=1)
        for layer in self.model.classifier:
            pooled = F.gelu(layer(pooled))
        return self.model.sentence_projection_layer(pooled), states


def classifier_input(shape, length=None):
    torch.manual_seed(2)
    length = length or shape.length
    return torch.randint(FIRST_ID, BYTES, (1, length)) if shape.text else torch.randn(1, length)


# ---- Translators and language models ------------------------------------------------------------

def _decoder_args(**given):
    args = dict(
        activation_fn='silu', attention_activation_fn='softmax', normalization_type='layernorm',
        normalize_before=True, normalize_embedding=False, no_affine_final_norm=False,
        no_scale_embedding=False, adaptive_input=False, adaptive_softmax_cutoff=None,
        tie_adaptive_weights=False, dropout=0.0, share_decoder_input_output_embed=True)
    return argparse.Namespace(**{**args, **given})


def translator(d=512, h=1024, ffn=1024, z=128, n=16, layers=6, positions=1024,
               vocabulary=VOCABULARY):
    """(model, arguments) of mega_wmt_en_de with random weights"""
    args = _decoder_args(
        arch='mega_wmt_en_de', task='translation', encoder_layers=layers, encoder_embed_dim=d,
        encoder_hidden_dim=h, encoder_ffn_embed_dim=ffn, encoder_z_dim=z, encoder_n_dim=n,
        encoder_chunk_size=-1, decoder_layers=layers, decoder_embed_dim=d, decoder_input_dim=d,
        decoder_hidden_dim=h, decoder_ffn_embed_dim=ffn, decoder_z_dim=z, decoder_n_dim=n,
        decoder_chunk_size=-1, truncation_length=1024, rel_pos_bias='simple',
        share_all_embeddings=True, max_source_positions=positions, max_target_positions=positions)
    torch.manual_seed(1)
    return sequence.TranslationModel(args, vocabulary).eval(), args


def language_model(d=512, h=1024, ffn=1024, z=128, n=16, layers=12, chunk=2048, truncation=8192,
                   vocabulary=CHARACTERS):
    """(model, arguments) of mega_lm_enwik8_base"""
    args = _decoder_args(
        arch='mega_lm_enwik8_base', task='language_modeling', decoder_layers=layers,
        decoder_embed_dim=d, decoder_input_dim=d, decoder_hidden_dim=h, decoder_ffn_embed_dim=ffn,
        decoder_z_dim=z, decoder_n_dim=n, decoder_chunk_size=chunk, truncation_length=truncation,
        rel_pos_bias='rotary', share_all_embeddings=False, max_target_positions=10384,
        tokens_per_sample=10384)
    torch.manual_seed(1)
    return sequence.LanguageModel(args, vocabulary).eval(), args


class _AdaptiveEmbedding(nn.Module):
    """Clusters of words, each with a table as wide as it needs (MODEL.md, "Embeddings")."""

    def __init__(self, ends, dim, factor):
        super().__init__()
        self.embedding_dim, self.begins, self.ends = dim, [0, *ends[:-1]], ends
        widths = [dim // factor ** band for band in range(len(ends))]
        self.embeddings = nn.ModuleList(
            nn.Sequential(nn.Embedding(end - begin, width), nn.Linear(width, dim, bias=False))
            for begin, end, width in zip(self.begins, self.ends, widths))
        for table, projection in self.embeddings:
            nn.init.normal_(table.weight, std=table.embedding_dim ** -0.5)
            nn.init.xavier_uniform_(projection.weight)

    def forward(self, ids):
        x = torch.zeros(*ids.shape, self.embedding_dim)
        for begin, end, embed in zip(self.begins, self.ends, self.embeddings):
            inside = (ids >= begin) & (ids < end)
            x[inside] = embed(ids[inside] - begin)
        return x


class _AdaptiveSoftmax(nn.Module):
    """Log-probabilities by the tables and projections of the embedding (MODEL.md, "Heads")."""

    def __init__(self, embedding):
        super().__init__()
        self.tied = [embedding]  # in a list, so that the state dict does not have it twice
        slots = nn.Linear(embedding.embedding_dim, len(embedding.ends) - 1, bias=False)
        self.head = nn.ModuleDict({'class_proj': slots})

    def forward(self, x):
        (words, _), *tails = self.tied[0].embeddings
        head = torch.cat([F.linear(x, words.weight), self.head['class_proj'](x)], dim=-1)
        first, slots = head.log_softmax(dim=-1).split([len(words.weight), len(tails)], dim=-1)
        return torch.cat([first, *(
            slot + F.linear(x @ projection.weight, table.weight).log_softmax(dim=-1)
            for (table, projection), slot in zip(tails, slots.split(1, dim=-1)))], dim=-1)


def adaptive_language_model(d=1024, h=2048, ffn=2048, z=256, layers=16, chunk=1024,
                            ends=(20000, 60000, WORDS)):
    """(model, arguments) of mega_lm_adaptive_big"""
    model, args = language_model(d, h, ffn, z, layers=layers, chunk=chunk, vocabulary=FIRST_ID)
    decoder = model.decoder
    decoder.embed_tokens = _AdaptiveEmbedding(list(ends), d, 4)
    decoder.output_projection = None
    decoder.adaptive_softmax = _AdaptiveSoftmax(decoder.embed_tokens)
    # Decoder.forward knows it by this name, which the state dict must not have.
    decoder.__dict__['output_projection'] = decoder.adaptive_softmax
    vars(args).update(arch='mega_lm_adaptive_big', adaptive_input=True, adaptive_input_factor=4,
                      adaptive_softmax_factor=4, tie_adaptive_weights=True,
                      tie_adaptive_proj=True, tokens_per_sample=1024,
                      share_decoder_input_output_embed=False, max_target_positions=8096,
                      adaptive_input_cutoff=','.join(map(str, ends[:-1])),
                      adaptive_softmax_cutoff=','.join(map(str, ends[:-1])))
    return model.eval(), args


def large_language_model():
    """A model of about 250 million parameters, to measure how long a large file takes to open."""
    return language_model(d=1024, h=2048, ffn=2048, z=256, layers=16, chunk=1024,
                          vocabulary=43000)


# ---- The moving average without the work of training --------------------------------------------
#
# mega.py computes the weights of all lags in every pass, and transforms three times the length. At
# inference the weights are constants, which the original keeps, too. These modules replace
# MovingAverage for inputs of one length, so that the peer wastes no time.

class _Kept(nn.Module):
    def __init__(self, move, length):
        super().__init__()
        with torch.no_grad():
            reach = min(move.truncation if (move.truncation or 0) > 0 else length, length)
            back, ahead = move.kernel(reach).split(move.omega.numel())
            ahead = ahead.flip(1)
            both = torch.cat([ahead[:, :-1], back[:, :1] + ahead[:, -1:], back[:, 1:]], dim=1)
            self.keep(both, reach, length)
        self.omega = move.omega

    def forward(self, x, mask=None):
        return F.silu(self.average(x) + self.omega * x)


class KeptMatrices(_Kept):
    """One matrix per channel, for short inputs."""

    def keep(self, both, reach, length):
        lag = torch.arange(length)[:, None] - torch.arange(length)[None, :]
        self.register_buffer('matrices', both[:, reach - 1 + lag])

    def average(self, x):
        return torch.bmm(self.matrices, x.permute(2, 1, 0)).permute(2, 1, 0)


class KeptSpectrum(_Kept):
    """A Fourier transform of the least length that is fast and does not wrap round."""

    power_of_two = False

    def keep(self, both, reach, length):
        self.size = _fast_length(length + reach - 1, (2,) if self.power_of_two else (2, 3, 5))
        circular = torch.zeros(both.size(0), self.size)
        circular[:, :reach] = both[:, reach - 1:]
        if reach > 1:
            circular[:, 1 - reach:] = both[:, :reach - 1]
        self.register_buffer('spectrum', torch.fft.rfft(circular))
        self.length = length

    def average(self, x):
        spectrum = torch.fft.rfft(x.transpose(1, 2), self.size) * self.spectrum
        return torch.fft.irfft(spectrum, self.size)[..., :self.length].transpose(1, 2)


class KeptConvolution(_Kept):
    """A convolution of each channel by itself."""

    def keep(self, both, reach, length):
        self.register_buffer('weight', both.flip(1).unsqueeze(1))
        self.reach = reach

    def average(self, x):
        padded = F.pad(x.transpose(1, 2), (self.reach - 1, self.reach - 1))
        return F.conv1d(padded, self.weight, groups=self.weight.size(0)).transpose(1, 2)


class KeptBlocks(_Kept):
    """A product of overlapping windows with one matrix per channel, for batches of 1 only."""

    BLOCK = 128

    def keep(self, both, reach, length):
        window = self.BLOCK + 2 * (reach - 1)
        place = torch.arange(window)[:, None] - torch.arange(self.BLOCK)[None, :]
        used = (place >= 0) & (place < both.size(1))
        # y[t] is the sum over i of x[t - (reach - 1) + i] * both[2 (reach - 1) - i].
        matrices = both.flip(1)[:, place.clamp(0, both.size(1) - 1)] * used
        self.register_buffer('matrices', matrices)
        self.window, self.reach, self.length = window, reach, length
        self.fill = -length % self.BLOCK

    def average(self, x):
        padded = F.pad(x[0].T, (self.reach - 1, self.reach - 1 + self.fill))
        windows = padded.unfold(1, self.window, self.BLOCK)
        y = torch.bmm(windows, self.matrices).flatten(1)
        return y[:, :self.length].T.unsqueeze(0)


class KeptSpectrumOfTwo(KeptSpectrum):
    """KeptSpectrum for transforms that are only fast for powers of two."""

    power_of_two = True


def _fast_length(least, primes):
    size = least
    while True:
        rest = size
        for prime in primes:
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 1


def keep_averages(model, length, form=None):
    """Replace all two-sided averages by `form`, by default the faster one in PyTorch."""
    form = form or (KeptMatrices if length <= 512 else KeptSpectrum)
    for module in list(model.modules()):
        move = getattr(module, 'move', None)
        if isinstance(move, MovingAverage) and not isinstance(move, sequence.CausalAverage):
            module.move = form(move, length)
    return model


# ---- Files --------------------------------------------------------------------------------------

BUILDERS = {name: (lambda shape=shape: classifier(shape)) for name, shape in ENCODERS.items()}
BUILDERS.update(translator=translator, language=language_model, large=large_language_model,
                adaptive=adaptive_language_model)


@torch.inference_mode()
def write_sample(name, model, folder):
    """Write an input and the model's output, to compare mega-run and the peers with."""
    torch.manual_seed(4)
    arrays = {}
    if name in ENCODERS:
        arrays['in'] = classifier_input(ENCODERS[name])
        arrays['expected'] = WithStates(model)(arrays['in'])[1]
    elif name == 'translator':
        arrays['in'] = torch.randint(FIRST_ID, VOCABULARY, (1, 25))
        arrays['target'] = torch.randint(FIRST_ID, VOCABULARY, (1, 12))
        arrays['expected'] = model(arrays['in'], arrays['target'])
    elif name == 'language':
        arrays['in'] = torch.randint(FIRST_ID, CHARACTERS, (1, 48))
        arrays['expected'] = model(arrays['in'])
    elif name == 'adaptive':
        arrays['in'] = torch.randint(FIRST_ID, WORDS, (1, 12))
        arrays['expected'] = model(arrays['in'])
    for part, array in arrays.items():
        numpy.save(folder / f'{name}.{part}.npy', array[0].numpy())


def main():
    parser = argparse.ArgumentParser(description='Writes NAME.pt, a random model, and a sample.')
    parser.add_argument('name', choices=BUILDERS)
    parser.add_argument('folder', type=pathlib.Path)
    options = parser.parse_args()
    model, args = BUILDERS[options.name]()
    torch.save({'model': model.state_dict(), 'args': args}, options.folder / f'{options.name}.pt')
    write_sample(options.name, model, options.folder)


if __name__ == '__main__':
    main()
