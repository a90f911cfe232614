"""Loads the weights and the vocabulary of a .mega model into a recipe's model, to train it further.

Only mega-convert knows where in a file each number of a checkpoint goes. So this module converts a
checkpoint whose numbers all differ, and sees where each has gone. Both files are uncompressed and
of float32, so they have the same layout.
"""

import pathlib
import struct
import subprocess
import tempfile

import numpy
import torch

import inputs

MOST = 1 << 24  # float32 can represent every whole number up to here
FORMS = {1: '?', 2: 'q', 3: 'd', 5: 'q', 6: 'd'}  # kinds of metadata, in the letters of struct
TEXTS = (4, 7)                                    # the kinds that are text
PLAIN, TIED, PANELS = 0, 2, 3  # encodings of a tensor that mega-convert --no-compress writes


class _Cursor:
    def __init__(self, data, at):
        self.data, self.at = data, at

    def take(self, form):
        values = struct.unpack_from('<' + form, self.data, self.at)
        self.at += struct.calcsize('<' + form)
        return values if len(values) > 1 else values[0]

    def text(self, form):
        size = self.take(form)
        self.at += size
        return self.data[self.at - size:self.at].decode()


def read(path):
    """Read the metadata and each tensor's stored numbers from an uncompressed file of float32.

    The format is described in formats/mega/MEGA-FORMAT.md. mega-convert has just written the file,
    so nothing is checked here.
    """
    data = pathlib.Path(path).read_bytes()
    index_offset, = struct.unpack_from('<Q', data, 32)
    tensor_count, = struct.unpack_from('<I', data, 56)
    cursor, metadata = _Cursor(data, 64), {}
    for _ in range(cursor.take('I')):
        key = cursor.text('H')
        kind, count = cursor.take('BI')
        if kind in TEXTS:
            metadata[key] = [cursor.text('I') for _ in range(count)]
        else:
            metadata[key] = [cursor.take(FORMS[kind]) for _ in range(count)]
    cursor, tensors, in_order = _Cursor(data, index_offset), {}, []
    for _ in range(tensor_count):
        name = cursor.text('H')
        _, encoding, rank = cursor.take('BBB')
        cursor.take(f'{rank}Q')
        offset, stored, _, _ = cursor.take('QQQI')
        if encoding == TIED:
            numbers = in_order[cursor.take('I')]
        else:
            assert encoding in (PLAIN, PANELS), encoding
            numbers = numpy.frombuffer(data, numpy.float32, stored // 4, offset)
        in_order.append(numbers)
        tensors[name] = numbers
    return metadata, tensors


def _convert(program, source, target, *options):
    done = subprocess.run([str(program or 'mega-convert'), str(source), '-o', str(target), '-q',
                           '--dtype', 'f32', '--no-compress', *map(str, options)],
                          stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise inputs.Problem(f'{source}: {done.stderr.strip()}')


def read_model(path, program):
    """Read the metadata and stored numbers of any .mega file; ``program`` is mega-convert."""
    with tempfile.TemporaryDirectory() as folder:
        plain = pathlib.Path(folder, 'plain.mega')
        _convert(program, path, plain)
        return read(plain)


def write_vocabulary(metadata, folder):
    """Write dict.txt and codes of the model into the folder, as a recipe keeps them."""
    symbols = metadata['vocab.symbols'][4:]  # without <s>, <pad>, </s> and <unk>, which come first
    (folder / 'dict.txt').write_text(''.join(f'{symbol} 1\n' for symbol in symbols),
                                     encoding='utf-8')
    lines = [f'#version: {metadata["bpe.version"][0]}', *metadata['bpe.codes']]
    (folder / 'codes').write_text('\n'.join(lines) + '\n', encoding='utf-8')


@torch.no_grad()
def load_weights(model, args, tensors, program, *options):
    """Set the weights of ``model`` to those that read_model returned.

    ``args`` are the arguments of the model's checkpoint, and ``options`` are those that
    mega-convert needs for it.
    """
    parameters = dict(model.named_parameters())
    ends = numpy.cumsum([0, *(p.numel() for p in parameters.values())])
    if ends[-1] >= MOST:
        raise inputs.Problem(f'a model of {ends[-1]} parameters is too large to start with: fewer '
                             f'than {MOST} are possible')
    for begin, parameter in zip(ends, parameters.values()):
        numbers = torch.arange(begin + 1, begin + 1 + parameter.numel())
        parameter.copy_(numbers.view(parameter.shape))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, plain = (pathlib.Path(folder, name) for name in ('probe.pt', 'probe.mega'))
        torch.save({'model': model.state_dict(), 'args': args}, checkpoint)
        _convert(program, checkpoint, plain, *options)
        places = read(plain)[1]
    found = numpy.full(ends[-1] + 1, numpy.nan, numpy.float32)
    for name, numbers in places.items():
        if name not in tensors or len(tensors[name]) != len(numbers):
            have = len(tensors[name]) if name in tensors else 'none'
            raise inputs.Problem(f'the model to start with has other sizes: {name} should have '
                                 f'{len(numbers)} numbers and has {have}')
        found[numbers.astype(numpy.int64)] = tensors[name]
    for begin, (name, parameter) in zip(ends, parameters.items()):
        weights = torch.from_numpy(found[begin + 1:begin + 1 + parameter.numel()])
        if weights.isnan().any():
            raise inputs.Problem(f'the model to start with has no weights for {name}')
        parameter.copy_(weights.view(parameter.shape))
