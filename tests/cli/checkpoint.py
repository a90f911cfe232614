#!/usr/bin/python3
"""Writes a checkpoint as torch.save does, without PyTorch: checkpoint.py OUT EXPRESSION [PROTOCOL]

The checkpoint stores the value of EXPRESSION, which may use
    sd, args                    the state dict of the fixture unit_statedict, and its arguments
    tensor(type, shape)         another tensor ("Float", "ComplexFloat", ...)
    untyped(name, shape)        a tensor of a type that has no storage of its own
    spoil(name, index, value)   `sd` with another value in a tensor
    prefixed(prefix)            `sd` with a prefix before all names
    load(path)                  the content of another checkpoint
    without(path, end...)       the content of a checkpoint of S4, without some tensors
Modules of PyTorch and OmegaConf that pickles name are replaced by empty ones.
"""
import argparse
import collections
import datetime
import decimal
import enum
import functools
import io
import json
import os
import pathlib
import pickle
import random
import struct
import sys
import uuid
import zipfile

FIXTURE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../fixtures/unit_statedict')


class Name:
    """A class or function of a module that is not installed."""

    def __init__(self, module, name):
        self.__module__, self.__name__ = module, name

    def __call__(self, *args):
        return Call(self, args)


class Call:
    """The result of calling a name, and the state that the pickle gives it."""

    def __init__(self, function, args, state=None, items=None):
        self.function, self.args, self.state, self.items = function, args, state, items

    def __setstate__(self, state):
        self.state = state

    def __call__(self, *args):
        return Call(self, args)

    def __reduce__(self):
        return self.function, self.args, self.state, None, self.items and iter(self.items.items())


class Storage:
    def __init__(self, kind, data, size):
        self.kind, self.data, self.size = kind, data, size


NAMES = {}


def name_of(module, name):
    return NAMES.setdefault((module, name), Name(module, name))


class Reader(pickle.Unpickler):
    def __init__(self, file, archive, prefix):
        super().__init__(file)
        self.archive, self.prefix, self.storages = archive, prefix, {}

    def find_class(self, module, name):
        if module in ('argparse', 'collections'):
            return getattr(sys.modules[module], name)
        return name_of(module, name)

    def persistent_load(self, pid):
        if pid[2] not in self.storages:
            data = bytearray(self.archive.read(f'{self.prefix}/data/{pid[2]}'))
            self.storages[pid[2]] = Storage(pid[1], data, pid[4])
        return self.storages[pid[2]]


class Writer(pickle._Pickler):  # the pickler in C insists on functions that exist
    dispatch = dict(pickle._Pickler.dispatch)

    def save_name(self, name):
        self.write(f'c{name.__module__}\n{name.__name__}\n'.encode())
        self.memoize(name)

    dispatch[Name] = save_name

    def __init__(self, file, protocol):
        super().__init__(file, protocol)
        self.storages = []

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        if obj not in self.storages:
            self.storages.append(obj)
        return ('storage', obj.kind, str(self.storages.index(obj)), 'cpu', obj.size)


def strides(shape):
    out = []
    for size in reversed(shape):
        out.insert(0, out[0] * last if out else 1)
        last = size
    return tuple(out)


def tensor(kind, shape, data=None, item=4):
    count = 1
    for size in shape:
        count *= size
    storage = Storage(name_of('torch', kind + 'Storage'), data or bytearray(count * item), count)
    return Call(name_of('torch._utils', '_rebuild_tensor_v2'),
                (storage, 0, tuple(shape), strides(shape), False, collections.OrderedDict()))


def untyped(name, shape):
    storage = Storage(name_of('torch.storage', 'UntypedStorage'), bytearray(64), 64)
    return Call(name_of('torch._utils', '_rebuild_tensor_v3'),
                (storage, 0, tuple(shape), strides(shape), False, collections.OrderedDict(),
                 name_of('torch', name)))


def omega(value):
    """The objects that OmegaConf makes of a tree of dicts and lists."""
    meta = Call(name_of('omegaconf.base', 'ContainerMetadata'), (), {'object_type': dict})
    if isinstance(value, dict):
        content = {key: omega(inner) for key, inner in value.items()}
        return Call(name_of('omegaconf.dictconfig', 'DictConfig'), (),
                    {'_metadata': meta, '_parent': None, '_content': content})
    if isinstance(value, list):
        return Call(name_of('omegaconf.listconfig', 'ListConfig'), (),
                    {'_metadata': meta, '_parent': None, '_content': [omega(v) for v in value]})
    return Call(name_of('omegaconf.nodes', 'AnyNode'), (), {'_parent': None, '_val': value})


def compiled(inner):
    """The object that torch.compile makes of a module."""
    return Call(name_of('torch._dynamo.eval_frame', 'OptimizedModule'), (inner, 'a context'))


def module(state, name='', wrap=lambda inner: inner):
    """The object of a module that is saved as a whole; wrap is applied to it and its parts."""
    own = {key: value for key, value in state.items() if '.' not in key}
    parts = dict.fromkeys(key.split('.', 1)[0] for key in state if '.' in key)
    for part in parts:
        parts[part] = module({key[len(part) + 1:]: value for key, value in state.items()
                              if key.startswith(part + '.')}, part, wrap)
    buffers = {key: value for key, value in own.items() if not key.endswith(('weight', 'bias'))}
    return wrap(Call(name_of('my.modules', 'Module_' + name), (), {
        'training': False, '_parameters': collections.OrderedDict(
            (key, value) for key, value in own.items() if key not in buffers),
        '_buffers': {**buffers, 'scratch': tensor('Float', (2,))},
        '_non_persistent_buffers_set': {'scratch'}, '_modules': parts}))


class Colour(enum.Enum):
    RED = 1


def load(path):
    """The content of a checkpoint."""
    with zipfile.ZipFile(path) as archive:
        name = [entry for entry in archive.namelist() if entry.endswith('data.pkl')][0]
        with archive.open(name) as file:
            return Reader(file, archive, name[:-len('/data.pkl')]).load()


def without(path, *ends):
    """The content of a checkpoint of S4 without the tensors whose names end in one of `ends`."""
    whole = load(path)
    whole['state_dict'] = {key: value for key, value in whole['state_dict'].items()
                           if not key.endswith(ends)}
    return whole


def fixture():
    """The state dict and the arguments of the fixture unit_statedict."""
    sd = load(os.path.join(FIXTURE, 'model_state.pt'))
    with open(os.path.join(FIXTURE, 'meta.json'), encoding='utf-8') as file:
        return sd, json.load(file)['args']


def pickled(value, protocol=2):
    """The pickle of a value, and the storages of its tensors."""
    file = io.BytesIO()
    writer = Writer(file, int(protocol))
    writer.dump(value)
    return file.getvalue(), writer.storages


def dump(expression, protocol=2):
    """The pickle of the expression's value, and the storages of its tensors."""
    sd, args = fixture()

    def spoil(name, index, value):
        struct.pack_into('<f', sd[name].args[0].data, 4 * index, value)
        return sd

    def prefixed(prefix):
        return {prefix + key: value for key, value in sd.items()}

    return pickled(eval(expression, {**globals(), **locals()}), protocol)


def save(out, content, storages):
    """Writes the result of pickled() or dump() as a file."""
    with zipfile.ZipFile(out, 'w') as archive:
        archive.writestr('archive/data.pkl', content)
        archive.writestr('archive/version', '3\n')
        for number, storage in enumerate(storages):
            archive.writestr(f'archive/data/{number}', bytes(storage.data))


def main(out, expression, protocol=2):
    save(out, *dump(expression, protocol))


if __name__ == '__main__':
    main(*sys.argv[1:])
