"""The systems that the paper compares MEGA with, for texts: a Transformer and S4, in PyTorch.

Both come from baselines.py of tools/train, and MEGA itself from shapes.py. The widths and depths
are those of the originals' recipes for IMDb as bytes: the Transformer of 4 layers, S4's fourth
release, and MEGA of 4 layers with full attention or chunks of 128.
"""

import argparse

import torch
from torch import nn

import shapes
import baselines  # of tools/train, which shapes has put on the path
from mega import SequenceClassifier

LONGEST = 16384
CLASSES = 2

MEGA = shapes.Encoder('MEGA', 128, 256, 256, 64, 4, 'scalenorm', -1, 1024, LONGEST, text=True)
MEGA_CHUNK = shapes.Encoder('MEGA-chunk', 128, 256, 256, 64, 4, 'scalenorm', 128, 1024, LONGEST,
                            text=True)


def _transformer(width=256, heads=4, ffn=1024, layers=4):
    """(model, arguments) of the Transformer"""
    args = argparse.Namespace(
        arch='transformer_lra_imdb', task='lra-text', layer_type='transformer',
        input_type='text', encoder_layers=layers, encoder_embed_dim=width,
        encoder_ffn_embed_dim=ffn, sen_rep_type='mp', dropout=0.0,
        encoder_attention_heads=heads, encoder_normalize_before=False,
        encoder_learned_pos=False, activation_fn='gelu', classifier_activation_fn='gelu',
        classifier_layers=1, classifier_out_dim=2 * width, sentence_class_num=CLASSES,
        max_positions=LONGEST, tokens_per_sample=LONGEST)
    encoder = baselines.Stack(baselines.token_embedding(shapes.BYTES, width), width, heads, ffn,
                              layers, LONGEST)
    return SequenceClassifier(args, encoder), args


class _S4(baselines.S4):
    """S4 that returns (logits, states)."""

    def __init__(self, features=256, states=4, layers=6):
        super().__init__(nn.Embedding(shapes.BYTES, features), features, states, layers, CLASSES,
                         LONGEST, norm='batchnorm')

    def forward(self, ids):
        states = self.states(ids)
        return self.decoder[0]['output_transform'](states.mean(dim=1)), states

    def checkpoint(self):
        dataset = dict(_name_='imdb', l_max=LONGEST, level='char')
        return {'state_dict': self.state_dict(),
                'hyper_parameters': self.hyper_parameters('embedding', dataset)}


# ---- All four -----------------------------------------------------------------------------------

class _Fairseq(nn.Module):
    """A model of the fairseq family with the interface of _S4."""

    def __init__(self, model, args):
        super().__init__()
        self.both, self.args = shapes.WithStates(model), args

    def forward(self, ids):
        return self.both(ids)

    def checkpoint(self):
        return {'model': self.both.model.state_dict(), 'args': self.args}


SYSTEMS = {
    'XFM': lambda: _Fairseq(*_transformer()),
    'S4': _S4,
    'MEGA': lambda: _Fairseq(*shapes.classifier(MEGA)),
    'MEGA-chunk': lambda: _Fairseq(*shapes.classifier(MEGA_CHUNK)),
}


def build(name):
    torch.manual_seed(1)
    model = SYSTEMS[name]().eval()
    for module in model.modules():
        if isinstance(module, baselines.Attention):
            module.fused = False  # the original computes attention in steps
    return model


def stage(name):
    """The name of the states in mega-run; no norm follows the layers of this Transformer."""
    return 'layer.3' if name == 'XFM' else 'final'


def make_input(length):
    torch.manual_seed(2)
    return torch.randint(shapes.FIRST_ID, shapes.BYTES, (1, length))


def prepare(model, length):
    """Compute in advance what is the same for every input of that length.

    S4's kernels and MEGA's averages are kept, and attention becomes PyTorch's own.
    """
    shapes.keep_averages(model, length)
    for module in model.modules():
        if isinstance(module, baselines.S4Part):
            module.keep(length)
        elif isinstance(module, baselines.Attention):
            module.fused = True
    return model
