#!/usr/bin/python3
"""Random models of S4 in every form, and what they compute: s4.py FOLDER

Writes each variant as a checkpoint with its arguments and inputs, and the logits that the function
below computes in double precision. It knows the checkpoint's tensors and arguments only, and uses
matrices of all 2 N states, their powers and inverses, and convolutions term by term.
tests/fixtures/s4_variants was written so, and the case s4-variants compares with it; s4_sweep.py
draws others. It needs NumPy.
"""
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../cli'))
import checkpoint

# ---- The function -----------------------------------------------------------------------------


def erf(x):
    """erf to 1e-7, by its series, or 1 for large arguments."""
    out, term = np.zeros_like(x), np.clip(x, -5, 5)
    square = term * term
    for n in range(90):
        out += term / (2 * n + 1)
        term = -term * square / (n + 1)
    return np.where(np.abs(x) > 4.5, np.sign(x), out * 2 / np.sqrt(np.pi))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


FUNCTIONS = {
    'gelu': lambda x: x * 0.5 * (1 + erf(x / np.sqrt(2))),
    'relu': lambda x: np.maximum(x, 0),
    'silu': lambda x: x * sigmoid(x),
    'swish': lambda x: x * sigmoid(x),
    'tanh': np.tanh,
    'sigmoid': sigmoid,
    'elu': lambda x: np.where(x > 0, x, np.expm1(x)),
    'softplus': lambda x: np.log1p(np.exp(x)),
    'id': lambda x: x,
    'identity': lambda x: x,
    'linear': lambda x: x,
    None: lambda x: x,
}
TRANSFORMS = {
    'none': lambda p: p,
    'exp': np.exp,
    'sigmoid': sigmoid,
    'softplus': lambda p: np.log1p(np.exp(p)),
    'relu': lambda p: np.maximum(p, 0) + 1e-4,
    'pure': lambda p: np.maximum(p, 0),
}


def pair(tensor):
    return tensor[..., 0] + 1j * tensor[..., 1]


def spaces(t, a, release):
    """(lambda, B, C, P, Q, dt of every feature, each [H, ...], and the length)"""
    layer = a['layer']
    if release == 4:
        dt = t['inv_dt']
        dt = TRANSFORMS[layer.get('dt_transform', 'exp')](
            np.sinh(dt) if layer.get('dt_fast') else dt)
        real = TRANSFORMS[layer.get('real_transform', 'exp')](t['A_real'])
        lam = -real - 1j * (TRANSFORMS[layer.get('imag_transform', 'none')](t['A_imag'])
                            if 'A_imag' in t else 0)
    else:
        dt = np.exp(t['log_dt'])
        kind = layer.get('real_type', 'exp')
        if release == 1:
            lam = -np.exp(t['log_A_real']) + 1j * t['A_imag']
        elif 'w' in t:
            lam = pair(t['w'])
        elif 'log_w_real' in t:
            lam = -np.exp(t['log_w_real']) + 1j * t['w_imag']
        elif 'inv_A_real' in t:
            lam = -TRANSFORMS[kind](t['inv_A_real']) + 1j * t['A_imag']
        else:
            lam = (-TRANSFORMS['pure' if kind == 'relu' else kind](t['inv_w_real'])
                   + 1j * t['w_imag'])
    dt = dt.reshape(len(dt), -1)
    c = t['C'] if layer.get('is_real') else pair(t['C'])
    c = c[None] if release == 1 else c
    features, states = c.shape[1:]
    b = np.ones(lam.shape) if 'B' not in t else t['B'] if layer.get('is_real') else pair(t['B'])
    rows = np.arange(features) % len(lam)
    lam, b = lam[rows], b.reshape(-1, states)[rows]
    dt = np.broadcast_to(dt, (features, states))
    if layer.get('bandlimit'):
        c = np.where(dt * np.abs(lam.imag) / (2 * np.pi) < layer['bandlimit'] / 2, c, 0)
    p = pair(t['P'])[:, rows] if 'P' in t else None
    q = pair(t['Q'])[:, rows] if 'Q' in t else None if p is None else p.conj()
    length = int(t.get('l_kernel', t.get('L', 0)))
    if release == 2 and 'L' not in t and p is not None:
        length = max(layer.get('l_max') or 0, 2 * (len(t['omega']) - 1))
    return lam, b, c, p, q, dt, length


def diagonal(lam, b, c, dt, taps, disc):
    s, l = dt * lam, np.arange(taps)
    if disc == 'dss':
        sign = np.where(lam.real > 0, -1, 1)
        q = (np.exp(sign * s * taps) - 1) * lam
        power = np.where((sign < 0)[:, None], np.exp(s[:, None] * (l - taps + 1)),
                         np.exp(s[:, None] * l))
        return ((c * b * (np.exp(sign * s) - 1) * q.conj() / (q * q.conj() + 1e-7))
                @ power).real
    if disc == 'zoh':
        z, phi = np.exp(s), (np.exp(s) - 1) / lam
    else:
        z, phi = (1 + s / 2) / (1 - s / 2), dt / (1 - s / 2)
    return 2 * ((c * b * phi) @ np.power(z[:, None] + 0j, l)).real


def low_rank(lam, b, c, p, q, dt, length, taps, limit, rate):
    def discrete(step):
        a = np.diag(np.concatenate([lam, lam.conj()]))
        for r in range(len(p)):
            a = a - np.outer(np.concatenate([p[r], p[r].conj()]),
                             np.concatenate([q[r], q[r].conj()]))
        d = np.concatenate([dt, dt])[:, None] * step
        left = np.linalg.inv(np.eye(len(a)) - d / 2 * a)
        return left @ (np.eye(len(a)) + d / 2 * a), left @ (d[:, 0] * np.concatenate([b, b.conj()]))

    power = np.linalg.matrix_power
    ab, _ = discrete(1)
    c = np.concatenate([c, c.conj()])
    eye = np.eye(len(ab))
    if length == 0:
        length = limit or round(rate * taps)
        c = c @ (eye - power(ab, length))
    while round(rate * taps) > length:
        c, length = c @ (eye + power(ab, length)), 2 * length
    ab, bb = discrete(rate)
    n = round(length / rate)
    c = np.linalg.solve((eye - power(ab, n)).T, c)
    out = np.zeros(taps)
    for i in range(min(taps, n)):
        out[i] = (c @ bb).real
        c = c @ ab
    return out


def kernels(t, a, release, length, rate):
    layer = a['layer']
    lam, b, c, p, q, dt, own = spaces(t, a, release)
    limit = 0 if release == 2 else layer.get('l_max') or 0
    taps = min(length, round(limit / rate)) if limit else length
    disc = 'zoh' if release == 1 else layer.get('disc', 'zoh' if release == 4 else 'bilinear')
    out = np.zeros(c.shape[:2] + (taps,))
    for row in range(len(c)):
        for h in range(c.shape[1]):
            if p is None:
                out[row, h] = diagonal(lam[h], b[h], c[row, h], dt[h] * rate, taps, disc)
            else:
                out[row, h] = low_rank(lam[h], b[h], c[row, h], p[:, h], q[:, h], dt[h], own, taps,
                                       limit, rate)
    return out


def linear(t, name, x):
    weight = t[name + '.weight']
    return x @ weight.reshape(weight.shape[:2]).T + t[name + '.bias']


def convolve(k, d, u):
    """The convolutions [c, L, H] of u [L, H] with k."""
    channels, length = len(d), len(u)
    out = d[:, None] * u
    for t in range(length):
        for j in range(min(t + 1, k.shape[2])):
            out[:, t] += k[:channels, :, j] * u[t - j]
        for j in range(min(length - 1 - t, k.shape[2]) if len(k) > channels else 0):
            out[:, t] += k[channels:, :, j] * u[t + 1 + j]
    return out


def block(t, a, release, places, z, rate):
    layer = a['layer']
    act = FUNCTIONS[layer.get('activation', 'gelu')]
    own = {name[len(places['kernel']):]: value for name, value in t.items()
           if name.startswith(places['kernel'])}
    u = act(linear(t, 'input_linear.0', z)) if layer.get('bottleneck') else z
    y = convolve(kernels(own, a, release, len(z), rate), np.atleast_2d(t[places['D']]), u)
    if layer.get('hyper_act'):
        half = len(y) // 2
        y = FUNCTIONS[layer['hyper_act']](y[half:]) * y[:half]
    y = act(y)
    y = np.stack(list(y), 2) if layer.get('swap_channels') else y.transpose(1, 0, 2)
    y = y.reshape(len(z), -1)
    name = [n for n in ('output_linear.0', 'output_linear') if n + '.weight' in t]
    if not name:
        return y
    m = linear(t, name[0], y)
    final = layer.get('postact', 'glu') if release in (2, 3) else (
        layer.get('postact') or layer.get('final_act', 'glu'))
    final = final or 'id'
    if final.startswith('glu'):
        first, second = np.split(m, 2, 1)
        m = first * FUNCTIONS[final[4:] or 'sigmoid'](second)
    else:
        m = FUNCTIONS[final](m)
    if layer.get('gate'):
        m = linear(t, 'output_gate', m * act(linear(t, 'input_gate.0', z)))
    return m


def norm(t, name, x):
    if name + '.running_mean' in t:
        scale = t[name + '.weight'] / np.sqrt(t[name + '.running_var'] + 1e-5)
        return (x - t[name + '.running_mean']) * scale + t[name + '.bias']
    mean, variance = x.mean(1, keepdims=True), x.var(1, keepdims=True)
    if name + '.m' in t:
        return t[name + '.s'] * (x - mean + t[name + '.m']) / np.sqrt(variance)
    if name + '.weight' in t:
        return (x - mean) / np.sqrt(variance + 1e-5) * t[name + '.weight'] + t[name + '.bias']
    return x


def pooled(t, v, x, rate=1):
    a, places = v['args'], v['places']
    encoder = places['encoder'][:-1]
    if encoder + '.bias' in t:
        x = linear(t, encoder, x.reshape(len(x), -1))
    elif encoder + '.weight' in t:
        x = t[encoder + '.weight'][x]
    else:
        x = np.eye(v['width'])[x]
    for i in range(v['layers']):
        prefix = places['layer'] % i
        own = {name[len(prefix):]: value for name, value in t.items() if name.startswith(prefix)}
        pre = a.get('prenorm', not v['example'])
        z = norm(t, places['norm'] % i, x) if pre else x
        x = x + block(own, a, v['release'], places, z, rate)
        x = x if pre else norm(t, places['norm'] % i, x)
    if not v['example']:
        x = norm(t, 'model.norm.norm', x) if a.get('prenorm', True) else x
    mode = 'pool' if v['example'] else v['decoder'].get('mode', 'last')
    return {'pool': x.mean(0), 'sum': x.sum(0), 'first': x[0], 'last': x[-1]}[mode]


def logits(t, v, inputs, rate=1):
    vectors = [pooled(t, v, x, rate) for x in inputs]
    if len(vectors) == 1:
        name = 'decoder' if v['example'] else 'decoder.0.output_transform'
        return linear(t, name, vectors[0][None])[0]
    first, second = vectors
    nli = v['decoder'].get('nli', True)
    x = np.concatenate([first, second] + [first - second, first * second] * nli)[None]
    act = FUNCTIONS[v['decoder'].get('activation', 'relu')]
    prefix = 'decoder.0.retrieval.classifier.%d'
    for i in range(0, 2 if nli else 4, 2):
        x = act(linear(t, prefix % i, x))
    return linear(t, prefix % (2 if nli else 4), x)[0]


# ---- Random models ----------------------------------------------------------------------------

FRAMEWORK = {'layer': 'model.layers.%d.layer.', 'norm': 'model.layers.%d.norm.norm',
             'encoder': 'encoder.0.'}
SCRIPT = {'layer': 's4_layers.%d.', 'norm': 'norms.%d', 'encoder': 'encoder.'}
KERNELS = {4: ('layer.kernel.', 'layer.D'), 3: ('kernel.kernel.', 'D'), 2: ('kernel.kernel.', 'D'),
           1: ('kernel.', 'D')}


def variant(name, release=4, layer=None, norm='batch', encoder='embedding', decoder=None, rank=1,
            groups=None, rows=1, channels=1, length=12, lengths=(9, 12, 30), pairs=False, width=6,
            example=False, tensors=None, states=3, values=1, rate=True, drop=(), **model):
    places = dict(SCRIPT if example else FRAMEWORK)
    places['kernel'], places['D'] = KERNELS[release]
    layer = dict(layer or {}, _name_='s4d' if release == 1 else 's4')
    return dict(name=name, release=release, args=dict(model, layer=layer), norm=norm,
                encoder=encoder, decoder=decoder or {'mode': 'pool'}, rank=rank,
                groups=groups or 1, rows=rows, channels=channels, length=length, lengths=lengths,
                pairs=pairs, width=width, example=example, places=places, layers=2, states=states,
                values=values, tensors=tensors or {}, rate=rate, drop=drop)


VARIANTS = [
    variant('two ranks, two directions, odd length', rank=2, groups=2, rows=4, channels=2,
            length=13),
    variant('three channels, swapped', rank=1, rows=3, channels=3, layer={'swap_channels': True}),
    variant('no length yet', length=0, lengths=(9, 16)),
    variant('no length yet, but a limit', length=0, layer={'l_max': 12}, lengths=(9, 12, 30)),
    variant('cut off', layer={'l_max': 12, 'real_transform': 'softplus'}, rows=2),
    variant('transforms of all kinds', layer={
        'dt_transform': 'softplus', 'real_transform': 'sigmoid', 'imag_transform': 'exp'}),
    variant('dt from a hyperbolic sine', layer={'dt_fast': True, 'dt_transform': 'softplus',
                                                'bandlimit': 0.1}),
    variant('a dt for each state', layer={'dt_tie': False}, tensors={'inv_dt': 'untied'}),
    variant('diagonal, zoh', rank=0, groups=3, rows=2, layer={'mode': 'diag'}),
    variant('diagonal, bilinear, a dt for each state', rank=0, groups=6, layer={
        'mode': 'diag', 'disc': 'bilinear', 'final_act': 'glu-relu'},
            tensors={'inv_dt': 'untied'}),
    variant('diagonal, dss', rank=0, groups=2, rows=2, layer={'mode': 'diag', 'disc': 'dss'}),
    variant('diagonal, dss, states that grow', rank=0, groups=2, layer={
        'mode': 'diag', 'disc': 'dss', 'real_transform': 'none', 'l_max': 12},
            tensors={'A_real': 'signed'}),
    variant('real states', rank=0, groups=2, layer={
        'mode': 'diag', 'is_real': True, 'disc': 'bilinear'}, tensors={'real': True}),
    variant('no linear map', layer={'final_act': None, 'activation': 'elu'}, drop=('output',)),
    variant('no gated unit', layer={'final_act': 'relu', 'activation': 'softplus'}),
    variant('postact in place of final_act', layer={'final_act': None, 'postact': 'tanh',
                                                    'activation': None}),
    variant('layer norm after', norm='layer', prenorm=False, rows=2),
    variant('norm of two scalars', norm='scalars', transposed=True),
    variant('no norm', norm='none'),
    variant('no norm after', norm='none', prenorm=False, layer={'activation': 'sigmoid'}),
    variant('one-hot tokens, first position', encoder='onehot', decoder={'mode': 'first'}),
    variant('sum', decoder={'mode': 'sum', 'use_lengths': True}),
    variant('last position', decoder={'use_lengths': True}),
    variant('values', encoder='linear', layer={'activation': 'silu'}),
    variant('three values at a position', encoder='linear', values=3),
    variant('pairs', decoder={'mode': 'pool', '_name_': 'retrieval', 'activation': 'gelu'},
            pairs=True),
    variant('pairs without comparison', decoder={'mode': 'pool', '_name_': 'retrieval',
                                                 'nli': False}, pairs=True),
    variant('release 3', release=3, rows=2, layer={'postact': 'glu'}),
    variant('release 3, gate', release=3, layer={'gate': 2, 'activation': 'tanh'}),
    variant('release 3, bottleneck', release=3, rows=2, layer={'bottleneck': 2}),
    variant('release 3, hyper activation', release=3, rows=4, channels=2, rank=2,
            layer={'hyper_act': 'tanh'}),
    variant('release 3, all three', release=3, rows=2, channels=2,
            layer={'hyper_act': 'gelu', 'bottleneck': 2, 'gate': 3, 'postact': 'glu-silu'}),
    variant('release 3, no activation', release=3, layer={'postact': None, 'real_type': 'relu'}),
    variant('release 3, an activation', release=3, layer={'postact': 'relu'}),
    variant('release 3, diagonal', release=3, rank=0, groups=2, rows=2, layer={'mode': 'diag'},
            tensors={'A': True}),
    variant('release 3, diagonal, zoh', release=3, rank=0, groups=2, layer={
        'mode': 'diag', 'disc': 'zoh', 'real_type': 'relu'}),
    variant('release 2', release=2, layer={'postact': None, 'l_max': 10}, tensors={'nodes': 7}),
    variant('release 2, longer limit', release=2, layer={'postact': None, 'l_max': 20},
            tensors={'nodes': 7}),
    variant('release 2, complex tensors', release=2, layer={'postact': 'glu', 'l_max': 12},
            tensors={'w': True, 'nodes': 7}),
    variant('release 2.1', release=2, layer={'postact': 'glu'}),
    variant('release 2.1, diagonal', release=2, rank=0, layer={'mode': 'diag'}, drop=('B',)),
    variant('minimal layer in the framework', release=1, rank=0, groups=6),
    variant('example', example=True, norm='layer', encoder='linear', prenorm=True),
    variant('example, after', example=True, norm='layer', encoder='linear', values=3, rows=2,
            layer={'l_max': 12}),
    variant('example, minimal layer', example=True, release=1, rank=0, groups=6, norm='layer',
            encoder='linear', values=3),
    variant('example of release 3', example=True, release=3, norm='layer', encoder='linear'),
    variant('an activation that does nothing', layer={'final_act': 'id'}, rows=2),
    variant('release 3, an activation that does nothing', release=3, layer={'postact': 'id'}),
    variant('release 3, hyper activation that does nothing', release=3, rows=2, channels=2,
            layer={'hyper_act': 'id', 'postact': 'glu-id'}),
    variant('example, an activation that does nothing', example=True, norm='layer',
            encoder='linear', layer={'final_act': 'identity'}),
]


def kernel_tensors(v, rng):
    def uniform(low, high, *shape):
        return rng.uniform(low, high, shape).astype(np.float32)

    layer, special = v['args']['layer'], v['tensors']
    features = v['width'] // (layer.get('bottleneck') or 1)
    groups, n, release = v['groups'], v['states'], v['release']
    two = () if special.get('real') else (2,)
    real = uniform(-0.7, 0.5, groups, n)
    if special.get('A_real') == 'signed':
        real = uniform(0.1, 0.5, groups, n) * rng.choice([-1, 1], (groups, n)).astype(np.float32)
    elif layer.get('real_type') == 'relu' or layer.get('real_transform') == 'none':
        real = np.abs(real) + np.float32(0.05)
    imag = uniform(0.2, 4, groups, n)
    dt = uniform(-2.5, -0.8, features, n if special.get('inv_dt') == 'untied' else 1)
    t = {}
    if release == 4:
        t.update(inv_dt=dt, A_real=real, A_imag=np.minimum(imag, 1.5))
        if special.get('real'):
            del t['A_imag']
    else:
        t['log_dt'] = dt[:, 0]
        names = {3: ('inv_w_real', 'w_imag') if v['rank'] else ('inv_A_real', 'A_imag'),
                 2: ('log_w_real', 'w_imag'), 1: ('log_A_real', 'A_imag')}[release]
        t.update(zip(names, (real, imag)))
    t['C'] = uniform(-1, 1, *(() if release == 1 else (v['rows'],)), features, n, *two)
    if release != 1:
        one = () if release == 3 and not v['rank'] else (1,)
        t['B'] = uniform(-1, 1, *one, groups, n, *two)
    if v['rank']:
        t['P'] = uniform(-0.6, 0.6, v['rank'], groups, n, 2)
        if 'nodes' not in special:
            t['l_kernel' if release == 4 else 'L'] = np.int64(v['length'])
    if 'w' in special:
        t['w'] = np.stack([-np.exp(t.pop('log_w_real')), t.pop('w_imag')], 2)
        t['Q'] = t['P'] * np.array([1, -1], np.float32) + uniform(-0.1, 0.1, *t['P'].shape)
    if 'nodes' in special:
        t['omega'] = t['z'] = uniform(-1, 1, special['nodes'], 2)
    if 'A' in special:
        t['A'] = uniform(-1, 1, groups, n, 2)
    for name in v['drop']:
        t.pop(name, None)
    return t


def random_tensors(v, rng):
    def uniform(*shape):
        return rng.uniform(-0.5, 0.5, shape).astype(np.float32)

    def add_linear(prefix, out, inner):
        t[prefix + '.weight'], t[prefix + '.bias'] = uniform(out, inner), uniform(out)

    def add_norm(prefix):
        if v['norm'] == 'scalars':
            t[prefix + '.m'], t[prefix + '.s'] = uniform(1), 1 + uniform(1)
        elif v['norm'] != 'none':
            t[prefix + '.weight'], t[prefix + '.bias'] = 1 + uniform(width), uniform(width)
        if v['norm'] == 'batch':
            t[prefix + '.running_mean'] = uniform(width)
            t[prefix + '.running_var'] = 1 + uniform(width)
            t[prefix + '.num_batches_tracked'] = np.int64(7)

    t, width, layer, places = {}, v['width'], v['args']['layer'], v['places']
    for i in range(v['layers']):
        prefix = places['layer'] % i
        for name, value in kernel_tensors(v, rng).items():
            t[prefix + places['kernel'] + name] = value
        inner = width // (layer.get('bottleneck') or 1)
        t[prefix + places['D']] = uniform(*(() if v['release'] == 1 else (v['channels'],)), inner)
        gate = width * (layer.get('gate') or 0)
        final = (layer.get('postact', 'glu') if v['release'] in (2, 3)
                 else layer.get('postact') or layer.get('final_act', 'glu'))
        out = (gate or width) * (2 if (final or '').startswith('glu') else 1)
        channels = v['channels'] // (2 if layer.get('hyper_act') else 1)
        if 'output' not in v['drop']:
            add_linear(prefix + ('output_linear.0' if final else 'output_linear'), out,
                       inner * channels)
        if layer.get('bottleneck'):
            add_linear(prefix + 'input_linear.0', inner, width)
        if gate:
            add_linear(prefix + 'input_gate.0', gate, width)
            add_linear(prefix + 'output_gate', width, gate)
        add_norm(places['norm'] % i)
    if not v['example'] and v['args'].get('prenorm', True):
        add_norm('model.norm.norm')
    if v['encoder'] == 'embedding':
        t[places['encoder'] + 'weight'] = 2 * uniform(11, width)
    elif v['encoder'] == 'linear':
        add_linear(places['encoder'][:-1], width, v['values'])
    prefix = 'decoder.0.retrieval.classifier.%d'
    if v['example']:
        add_linear('decoder', 4, width)
    elif not v['pairs']:
        add_linear('decoder.0.output_transform', 4, width)
    elif v['decoder'].get('nli', True):
        add_linear(prefix % 0, 5, 4 * width)
        add_linear(prefix % 2, 4, 5)
    else:
        add_linear(prefix % 0, 5, 2 * width)
        add_linear(prefix % 2, 5, 5)
        add_linear(prefix % 4, 4, 5)
    return t


# ---- Files and runs ---------------------------------------------------------------------------


def with_parents(node, parent=None):
    """Gives each node of OmegaConf the node that holds it, so that the pickle is cyclic."""
    node.state['_parent'] = parent
    content = node.state.get('_content')
    for inner in (content.values() if isinstance(content, dict) else content or ()):
        with_parents(inner, node)
    return node


def save(path, t, v):
    state = {name: checkpoint.tensor('Long' if value.dtype == np.int64 else 'Float', value.shape,
                                     bytearray(value.tobytes()), value.itemsize)
             for name, value in t.items()}
    args = dict(model=dict(v['args'], _name_='model', residual='R',
                           norm={'scalars': 'layer', 'none': None}.get(v['norm'], v['norm'])),
                encoder=v['encoder'], decoder=dict({'_name_': 'sequence'}, **v['decoder']),
                dataset={'_name_': 'imdb'})
    whole = {'state_dict': state, 'epoch': 3,
             'hyper_parameters': with_parents(checkpoint.omega(args))}
    if v['example']:
        whole = {'model': state, 'acc': 1.0, 'epoch': 3}
    checkpoint.save(path, *checkpoint.pickled(whole))


def numbers(values):
    return [float(f'{value:.9g}') if value.dtype.kind == 'f' else int(value)
            for value in np.asarray(values).ravel()]


def cases(t, v, rng):
    """The inputs of a variant, each with its shape, and their logits."""
    t = {name: np.asarray(value, float) for name, value in t.items()}
    layer = v['args']['layer']
    for length in v['lengths']:
        inputs = [rng.integers(1, v['width'] if v['encoder'] == 'onehot' else 11, size)
                  for size in ((length, length // 2) if v['pairs'] else (length,))]
        if v['encoder'] == 'linear':
            shape = (length, v['values']) if v['values'] > 1 else (length,)
            inputs = [rng.uniform(-1, 1, shape).astype(np.float32)]
        causal = v['rows'] == v['channels'] and layer.get('disc') != 'dss' and not v['pairs']
        whole = v['release'] == 2 or length <= (layer.get('l_max') or length)
        yield {'inputs': [numbers(x) for x in inputs], 'shapes': [x.shape for x in inputs],
               'logits': numbers(logits(t, v, inputs)), 'half': numbers(logits(t, v, inputs, 2)),
               'pieces': bool(causal and whole and (v['length'] or length > 12))}


def config_of(v):
    """The arguments for --config, which a checkpoint of the example script lacks."""
    if not v['example']:
        return {}
    return dict(prenorm=v['args'].get('prenorm', False), layer_args=v['args']['layer'])


def main(folder):
    index = []
    for number, v in enumerate(VARIANTS):
        rng = np.random.default_rng(number)
        t = random_tensors(v, rng)
        save(os.path.join(folder, f'{number}.ckpt'), t, v)
        index.append({'name': v['name'], 'config': config_of(v), 'cases': list(cases(t, v, rng))})
    with open(os.path.join(folder, 'cases.json'), 'w', encoding='utf-8') as file:
        json.dump(index, file, separators=(',', ':'))


if __name__ == '__main__':
    main(sys.argv[1])
