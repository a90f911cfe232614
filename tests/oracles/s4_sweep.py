#!/usr/bin/env python3
"""Compares random forms of S4 with a plain implementation: s4_sweep.py [COUNT [SEED]]

    MEGA_BUILD=build python3 tests/oracles/s4_sweep.py 200

Draws COUNT (200) models of all releases: low-rank and diagonal systems, transforms, discretisation,
channels, directions, lengths and limits, gate, bottleneck, hyper_act, encoders, norms and decoders.
Each is converted and run by mega-run, whole, at rate 2 and in pieces, and its logits are compared
with those of s4.py. Prints the models that differ and exits with 1 if there are any. It is not part
of 'make test'. Needs NumPy.
"""
import os
import pathlib
import sys
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / 'cli')]
sys.dont_write_bytecode = True
import s4  # noqa: E402
import s4_variants  # noqa: E402

FUNCTIONS = ['gelu', 'relu', 'silu', 'swish', 'tanh', 'sigmoid', 'elu', 'softplus', 'id']
GATED = ['glu', 'glu'] + ['glu-' + name for name in FUNCTIONS]


class Draw:
    """A random variant of s4.py, in the form of its arguments."""

    def __init__(self, rng):
        self.rng, self.layer = rng, {}

    def chance(self, probability=0.5):
        return bool(self.rng.random() < probability)

    def one_of(self, *values):
        return values[self.rng.integers(len(values))]

    def option(self, name, *values):
        """Sets an option of the layer, or leaves it out."""
        if self.chance():
            self.layer[name] = self.one_of(*values)
        return self.layer.get(name)

    def system(self, release, out):
        """Chooses the system of states, in releases that have a choice."""
        layer, special = self.layer, {}
        out['rank'] = rank = self.one_of(0, 1, 1, 2)
        if not rank:
            layer['mode'] = self.one_of('diag', 's4d')
        if release == 4:
            self.option('dt_transform', 'exp', 'softplus')
            self.option('real_transform', 'exp', 'softplus', 'sigmoid', 'none', 'relu')
            self.option('imag_transform', 'none', 'exp', 'softplus', 'sigmoid')
            if self.chance(0.2):
                layer['dt_fast'] = True
            if self.chance(0.2):
                layer['bandlimit'] = self.one_of(0.05, 0.1, 0.3)
            if self.chance(0.2):
                layer['dt_tie'], special['inv_dt'] = False, 'untied'
            if not rank:
                self.option('disc', 'zoh', 'bilinear', 'dss')
                if layer.get('disc') != 'dss' and self.chance(0.2):
                    layer['is_real'] = special['real'] = True
        elif release == 3:
            self.option('real_type', 'exp', 'softplus', 'sigmoid', 'relu')
            if not rank:
                self.option('disc', 'zoh', 'bilinear')
                if self.chance(0.3):
                    special['A'] = True
        elif rank and self.chance(0.5):
            special['nodes'] = self.one_of(5, 7, 8)
            if self.chance(0.4):
                special['w'] = True
        out['tensors'] = special

    def output(self, release, out):
        """Chooses what follows the convolution."""
        layer = self.layer
        self.option('activation', *FUNCTIONS)
        if release in (2, 3):
            self.option('postact', *GATED, *FUNCTIONS, None)
        elif self.chance(0.7):
            layer['final_act'] = self.one_of(*GATED, *FUNCTIONS, None)
            if layer['final_act'] is None:
                layer['postact'] = self.one_of(*GATED, *FUNCTIONS)
        if out['channels'] > 1 and self.chance(0.3):
            layer['swap_channels'] = True
        if release == 3:
            if self.chance(0.3):
                layer['bottleneck'] = 2
            if self.chance(0.3):
                layer['gate'] = self.one_of(1, 2, 3)
            if out['channels'] % 2 == 0 and self.chance(0.7):
                layer['hyper_act'] = self.one_of(*FUNCTIONS)

    def around(self, out, example):
        """Chooses encoder, norms and decoder."""
        out['norm'] = 'layer' if example else self.one_of('batch', 'layer', 'none', 'scalars')
        if out['norm'] == 'scalars':
            out['transposed'] = True
        if example or self.chance():
            out['prenorm'] = self.chance()
        out['encoder'] = 'linear' if example else self.one_of('embedding', 'onehot', 'linear')
        if out['encoder'] == 'linear':
            out['values'] = self.one_of(1, 1, 2, 3)
        if example:
            return
        out['decoder'] = {'mode': self.one_of('pool', 'last', 'first', 'sum')}
        if self.chance():
            out['decoder']['use_lengths'] = self.chance()
        if out['encoder'] != 'linear' and self.chance(0.25):
            out['pairs'] = True
            out['decoder'] = {'mode': 'pool', '_name_': 'retrieval'}
            if self.chance():
                out['decoder']['nli'] = self.chance()
            if self.chance():
                out['decoder']['activation'] = self.one_of('relu', 'gelu', 'tanh')

    def variant(self):
        release = self.one_of(4, 4, 4, 3, 3, 3, 2, 1)
        example = release != 2 and self.chance(0.2)
        out = {'width': self.one_of(4, 6, 8, 12), 'states': self.one_of(1, 2, 3, 5),
               'channels': 1, 'rows': 1, 'rank': 0}
        if release == 1:
            out['groups'] = out['width']
            self.option('activation', *FUNCTIONS)
        else:
            out['channels'] = self.one_of(1, 1, 2, 3) if not example else 1
            out['rows'] = out['channels'] * self.one_of(1, 2)
            self.system(release, out)
            self.output(release, out)
            features = out['width'] // self.layer.get('bottleneck', 1)
            out['groups'] = self.one_of(*[n for n in range(1, features + 1) if features % n == 0])
            out['length'] = self.one_of(0, 9, 12, 13, 16) if release != 2 else 12
            self.option('l_max', 9, 12, 13, 20)
        self.around(out, example)
        out['lengths'] = [int(n) for n in self.rng.integers(2, 40, 3)]
        return s4.variant('drawn', release=release, layer=self.layer, example=example, **out)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    build = os.path.abspath(os.environ.get('MEGA_BUILD', 'build'))
    os.environ['PATH'] = build + ':' + os.environ['PATH']
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for i in range(count):
            rng = np.random.default_rng([seed, i])
            v = Draw(rng).variant()
            tensors = s4.random_tensors(v, rng)
            s4.save('0.ckpt', tensors, v)
            model = {'config': s4.config_of(v), 'cases': list(s4.cases(tensors, v, rng))}
            fault = s4_variants.check(folder, 0, model)
            if fault:
                failed += 1
                shown = {key: v[key] for key in ('release', 'example', 'rank', 'groups', 'rows',
                                                 'channels', 'length', 'lengths', 'width',
                                                 'encoder', 'norm', 'decoder', 'values', 'tensors')}
                print(f'{i} of seed {seed}: {fault}\n    {v["args"]} {shown}')
        os.chdir('/')
    print(f's4: {count - failed} equal, {failed} differ')
    sys.exit(1 if failed else 0)


main()
