"""Compares our checkpoint readers with Python's zipfile and torch.load on damaged files.

    checkpoints.py DUMP COPIES FILE...     DUMP: build/oracles/checkpoint_dump

Of every file COPIES damaged copies are made: some bytes are changed, the end is cut off, or bytes
of the pickle are changed and the archive is made sound again around it. A file that we accept must
be accepted by zipfile and by torch.load(weights_only=True), with the same tensors. Files that only
we refuse are counted. It needs torch, so it is not part of make test.
"""
import argparse
import collections
import io
import random
import subprocess
import sys
import tempfile
import warnings
import zipfile
import zlib

import torch

PATH = tempfile.mkdtemp() + '/damaged.pt'
# torch.load refuses files with these words for its own lists of names and opcodes, not as corrupt.
POLICY = ('Unsupported global', 'Unsupported class', 'Unsupported operand',
          'device() received an invalid combination', 'Invalid device string')  # such values mean nothing to us
torch.serialization.add_safe_globals([argparse.Namespace])


def change(data, chance, count):
    data = bytearray(data)
    for _ in range(count):
        at = chance.randrange(len(data))
        data[at] = chance.choice((0, 1, 255, data[at] ^ 1 << chance.randrange(8),
                                  chance.randrange(256)))
    return bytes(data)


def change_pickle(data, chance):
    """The archive, stored again, with bytes of its pickle changed, inserted or removed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, 'w') as new:
        for entry in old.namelist():
            content = old.read(entry)
            if entry.endswith('data.pkl') and content:
                at = chance.randrange(len(content))
                kind = chance.randrange(4)
                if kind == 0:
                    content = content[:at] + bytes([chance.randrange(256)]) + content[at:]
                elif kind == 1:
                    content = content[:at] + content[at + 1:]
                else:
                    content = change(content, chance, kind - 1)
            new.writestr(entry, content)
    return out.getvalue()


def damage(data, chance):
    kind = chance.randrange(8)
    if kind == 0:
        return data[:chance.randrange(len(data))]
    if kind >= 4 and data[:2] == b'PK':
        return change_pickle(data, chance)
    return change(data, chance, chance.randrange(1, 4))


class Ours:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, errors='replace')

    def read(self, path):
        """The tensors of a file, or the sentence of an error."""
        self.process.stdin.write(path + '\n')
        self.process.stdin.flush()
        tensors = {}
        for line in self.process.stdout:
            kind, _, rest = line.rstrip('\n').partition(' ')
            if kind == 'error':
                return rest
            if kind == 'end':
                return tensors
            if kind == 'tensor':
                name, shape, crc = rest.split(' ')
                tensors[bytes.fromhex(name)] = (shape, crc)
        raise SystemExit(f'{path}: our reader ended')


def theirs(data):
    """The tensors of the state dict, as torch.load returns them."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        root = torch.load(io.BytesIO(data), map_location='cpu', weights_only=True)
    for key in ('model', 'state_dict', 'model_state_dict'):
        if isinstance(root, dict) and isinstance(root.get(key), dict):
            root = root[key]
            break
    tensors = {}
    for name, value in root.items() if isinstance(root, dict) else ():
        if isinstance(value, torch.Tensor) and isinstance(name, str):
            raw = value.detach().to(torch.float32).contiguous().numpy().tobytes()
            tensors[name.encode('utf-8', 'surrogatepass')] = (
                '[' + ','.join(map(str, value.shape)) + ']', f'{zlib.crc32(raw):08x}')
    return tensors


def zip_is_sound(data):
    """Whether zipfile finds an archive sound. Tensors are left out: we never read those that are
    not in the state dict (but in an optimizer, say), and damage to others shows in their values.
    """
    if data[:4] != b'PK\3\4':
        return True
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            damaged = archive.testzip()
            return damaged is None or '/data/' in damaged
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error, RuntimeError,
            ValueError, UnicodeDecodeError, OSError):
        return False


def compare(ours, data, count):
    with open(PATH, 'wb') as file:
        file.write(data)
    mine = ours.read(PATH)
    try:
        other = theirs(data)
    except Exception as error:  # torch raises many kinds
        other = f'{type(error).__name__}: {error}'
    if isinstance(mine, str):
        count['refused by both' if isinstance(other, str) else 'refused by us alone'] += 1
        return None
    if not zip_is_sound(data):
        return 'zipfile refuses it'
    if any(reason in other for reason in POLICY) if isinstance(other, str) else False:
        count['beyond what torch allows by name'] += 1
        return None
    if isinstance(other, str):
        return f'torch refuses it: {other}'
    if mine != other:
        return f'other tensors: {sorted(mine.items() ^ other.items())}'
    count['the same for both'] += 1
    return None


def main(program, copies, *paths):
    ours, chance, count, bad = Ours(program), random.Random(7), collections.Counter(), 0
    for path in paths:
        with open(path, 'rb') as file:
            whole = file.read()
        for number in range(int(copies)):
            data = damage(whole, chance) if number else whole
            finding = compare(ours, data, count)
            if finding:
                bad += 1
                with open(f'differs-{bad}.pt', 'wb') as file:
                    file.write(data)
                print(f'{path}, copy {number} (kept as differs-{bad}.pt): accepted, but {finding}')
    print(', '.join(f'{number} {what}' for what, number in sorted(count.items())) +
          f', {bad} accepted wrongly')
    return bad != 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
