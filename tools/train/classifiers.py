"""Classifiers of all four architectures, and what mega-convert has to know about each.

``build`` makes a model for a form of input: ``Tokens``, ``Frames`` of a waveform, ``Pixels`` in the
order of the rows, or ``Patches`` of a picture. Checkpoints have the layouts of the originals: the
fairseq family for MEGA and the Transformer, S4's framework, and MEGA's vision family for patches.
"""

import argparse
from typing import NamedTuple

from torch import nn

import baselines
import cifar10
import mega
import sequence

ARCHITECTURES = ('mega', 'mega-chunk', 'transformer', 's4')


class Tokens(NamedTuple):
    """Texts of at most ``positions`` symbols."""

    vocabulary: int
    positions: int
    pad: int
    name = 'imdb'


class Frames(NamedTuple):
    """Frames of ``length`` samples, one every ``hop``."""

    length: int
    hop: int
    positions: int
    rate: int
    mean: float
    std: float
    name = 'sc'


class Pixels(NamedTuple):
    """Gray pictures of ``size`` x ``size``; every pixel is one position."""

    size: int
    mean: float
    std: float
    name = 'pathfinder'

    @property
    def positions(self):
        return self.size ** 2


class Patches(NamedTuple):
    """Squares of ``patch`` x ``patch`` pixels in colour."""

    size: int
    patch: int
    normalise: cifar10.Normaliser

    @property
    def positions(self):
        return (self.size // self.patch) ** 2


class Classifier(NamedTuple):
    """A model, the ending of its checkpoints' names, and what they hold besides the weights."""

    model: nn.Module
    suffix: str
    weights: str  # the key of the state dict
    others: dict    # the other entries of the checkpoint

    def checkpoint(self, state):
        return {self.weights: state, **self.others}


def sizes_of(architecture, dim, layers, dropout):
    """Sizes at which all four have about as many parameters: with the defaults about 550,000."""
    if architecture == 'transformer':
        dim = dim or 128
        return {'dim': dim, 'heads': max(1, dim // 32), 'ffn': 2 * dim, 'layers': layers or 4,
                'dropout': dropout}
    if architecture == 's4':
        return {'dim': dim or 184, 'states': 32, 'layers': layers or 6, 'dropout': dropout}
    dim = dim or 96
    return {'dim': dim, 'hidden': 2 * dim, 'ffn': 2 * dim, 'z_dim': dim // 2, 'n_dim': 16,
            'layers': layers or 4, 'dropout': dropout, 'truncation': 0}


def shared_args(sizes, labels, positions, **more):
    """The arguments that both kinds of fairseq's classifiers have."""
    return {
        'encoder_layers': sizes['layers'], 'encoder_embed_dim': sizes['dim'],
        'encoder_ffn_embed_dim': sizes['ffn'], 'classifier_activation_fn': 'gelu',
        'sen_rep_type': 'mp', 'sent_loss': True, 'classifier_layers': 1,
        'classifier_in_dim': sizes['dim'], 'classifier_out_dim': 2 * sizes['dim'],
        'sentence_class_num': len(labels), 'labels': list(labels), 'dropout': sizes['dropout'],
        'max_positions': positions, 'max_source_positions': positions,
        'tokens_per_sample': positions, **more}


def mega_args(sizes, labels, positions, chunk, **more):
    """Arguments of a classifier of the fairseq family; a chunk of -1 is the whole sequence."""
    return argparse.Namespace(**{**shared_args(
        sizes, labels, positions, layer_type='mega', encoder_hidden_dim=sizes['hidden'],
        z_dim=sizes['z_dim'], encoder_z_dim=sizes['z_dim'], n_dim=sizes['n_dim'],
        encoder_n_dim=sizes['n_dim'], chunk_size=chunk, encoder_chunk_size=chunk,
        truncation_length=sizes['truncation'], rel_pos_bias='simple', norm_type='layernorm',
        encoder_normalize_before=True, no_affine_final_norm=False, activation_fn='silu',
        normalize_embedding=False, attention_dropout=0.0, act_dropout=0.0, feature_dropout=False,
        encoder_layerdrop=0), **more})


def input_args(form):
    """The checkpoint's arguments that describe its inputs."""
    if isinstance(form, Tokens):
        return {'input_type': 'text', 'text_limit': form.positions}
    if isinstance(form, Pixels):
        return {'input_type': 'image', 'pixel_mean': form.mean, 'pixel_std': form.std,
                'image_fit': 'stretch'}
    return {'input_type': 'frames', 'frame_length': form.length, 'frame_hop': form.hop,
            'sample_rate': form.rate, 'audio_length': form.hop * form.positions,
            'audio_mean': form.mean, 'audio_std': form.std}


def _mega(form, sizes, labels, chunk):
    tokens = isinstance(form, Tokens)
    args = mega_args(sizes, labels, form.positions, chunk, arch='mega_lra',
                     attention_activation_fn='softmax' if tokens else 'laplace',
                     **{**input_args(form), 'normalize_embedding': isinstance(form, Frames)})
    encoder = sequence.TextEncoder(args, form.vocabulary) if tokens else None
    model = mega.SequenceClassifier(args, encoder)
    return Classifier(model, '.pt', 'model', {'args': args})


def _transformer(form, sizes, labels):
    dim = sizes['dim']
    args = argparse.Namespace(**shared_args(
        sizes, labels, form.positions, arch='transformer_lra', layer_type='transformer',
        encoder_attention_heads=sizes['heads'], encoder_normalize_before=False,
        encoder_learned_pos=False, activation_fn='gelu', **input_args(form)))
    if isinstance(form, Tokens):
        embedding = baselines.token_embedding(form.vocabulary, dim)
    elif isinstance(form, Frames):
        embedding = mega.FrameEmbedding(dim, form.length, form.hop)
    else:
        embedding = mega.ScalarEmbedding(dim)
    encoder = baselines.Stack(embedding, dim, sizes['heads'], sizes['ffn'], sizes['layers'],
                              form.positions, first=2 if isinstance(form, Tokens) else 0,
                              dropout=sizes['dropout'])
    return Classifier(mega.SequenceClassifier(args, encoder), '.pt', 'model', {'args': args})


def _s4(form, sizes, labels):
    dim, said = sizes['dim'], input_args(form)
    dataset = {'_name_': form.name, 'l_max': form.positions}
    if isinstance(form, Tokens):
        embedding = nn.Embedding(form.vocabulary, dim)
    elif isinstance(form, Frames):
        embedding = mega.FrameEmbedding(dim, form.length, form.hop)
        dataset = {'_name_': form.name, 'length': said['audio_length']}
    else:
        embedding = mega.FrameEmbedding(dim, 1, 1)
        dataset = {'_name_': form.name, 'resolution': form.size, 'center': False}
    model = baselines.S4(embedding, dim, sizes['states'], sizes['layers'], len(labels),
                         form.positions, dropout=sizes['dropout'])
    encoder = 'embedding' if isinstance(form, Tokens) else 'linear'
    parameters = {**model.hyper_parameters(encoder, dataset), **said, 'labels': list(labels)}
    return Classifier(model, '.ckpt', 'state_dict', {'hyper_parameters': parameters})


def build(architecture, form, sizes, labels, chunk):
    """Make a ``Classifier``; ``chunk`` is used by mega-chunk only."""
    if isinstance(form, Patches):
        model = mega.PatchClassifier(
            dim=sizes['dim'], hidden=sizes['hidden'], ffn=sizes['ffn'], z_dim=sizes['z_dim'],
            n_dim=sizes['n_dim'], depth=sizes['layers'], size=form.size, patch=form.patch,
            classes=len(labels), dropout=sizes['dropout'])
        args = cifar10.patch_args(form.size, form.patch, list(labels), form.normalise)
        return Classifier(model, '.pth', 'model', {'args': args})
    if architecture == 'transformer':
        return _transformer(form, sizes, labels)
    if architecture == 's4':
        return _s4(form, sizes, labels)
    return _mega(form, sizes, labels, chunk if architecture == 'mega-chunk' else -1)
