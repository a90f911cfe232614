"""A second reader of .mega, written from formats/mega/MEGA-FORMAT.md alone, to compare with ours.

    read_mega.py FILE                    prints the content of a file, as mega_dump does
    read_mega.py --compare DUMP FILE...  runs DUMP (mega_dump) on each file; both must agree
    read_mega.py --damage DUMP N FILE... reads N damaged copies of each, which both or none accept

It needs the standard library only.
"""
import math
import os
import random
import struct
import subprocess
import sys
import tempfile
import zlib

MAX_BYTES, MAX_COUNT, MAX_ELEMENTS = 1 << 28, 65536, 1 << 24
ITEM_SIZE = {0: 4, 1: 2, 2: 2, 3: 34, 4: 18}
QUANTIZED = (3, 4)
PANEL = 16


class Bad(Exception):
    """The file breaks the format."""


def need(condition, message):
    if not condition:
        raise Bad(message)


def align(x, unit):
    return (x + unit - 1) // unit * unit


def align64(x):
    return align(x, 64)


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        need(size <= len(self.data) - self.at, 'ends too early')
        self.at += size
        return self.data[self.at - size:self.at]

    def get(self, form):
        return struct.unpack('<' + form, self.take(struct.calcsize('<' + form)))

    def one(self, form):
        return self.get(form)[0]

    def name(self):
        size = self.one('H')
        need(1 <= size <= 255, 'length of a name')
        name = self.take(size)
        need(all(0x21 <= c <= 0x7E for c in name), 'characters of a name')
        return name.decode('ascii')

    def string(self):
        size = self.one('I')
        need(size <= MAX_ELEMENTS, 'length of a string')
        raw = self.take(size)
        try:
            need('\0' not in raw.decode('utf-8'), 'NUL in a string')
        except UnicodeDecodeError as error:
            raise Bad('not UTF-8') from error
        return raw


def finite_bits(bits):
    need(bits >> 52 & 0x7FF != 0x7FF, 'a float that is not finite')
    return bits


def read_value(cursor, kind):
    if kind == 1:
        value = cursor.one('B')
        need(value <= 1, 'a bool')
        return f' {value}'
    if kind in (2, 5):
        return f' {cursor.one("Q"):016x}'
    if kind in (3, 6):
        return f' {finite_bits(cursor.one("Q")):016x}'
    return ' "' + cursor.string().hex()


def read_metadata(data):
    cursor, keys, lines = Cursor(data), set(), []
    count = cursor.one('I')
    need(count <= MAX_COUNT, 'number of entries')
    for _ in range(count):
        key = cursor.name()
        need(key not in keys, 'a key twice')
        keys.add(key)
        kind, elements = cursor.get('BI')
        need(1 <= kind <= 7, 'type of a value')
        need(elements <= MAX_ELEMENTS if kind >= 5 else elements == 1, 'number of elements')
        need(elements <= len(data), 'more elements than bytes')
        lines.append(f'meta {key} {kind} {elements}' +
                     ''.join(read_value(cursor, kind) for _ in range(elements)))
    need(cursor.at == len(data), 'bytes after the metadata')
    return lines


def inflate_block(raw, size):
    machine = zlib.decompressobj(wbits=-15)
    try:
        block = machine.decompress(raw, size + 1)
    except zlib.error as error:
        raise Bad('a block does not inflate') from error
    need(len(block) == size and machine.eof and not machine.unused_data, 'size of a block')
    return block


def unshuffle(block, item):
    out, count = bytearray(len(block)), len(block) // item
    for b in range(item):
        out[b::item] = block[b * count:(b + 1) * count]
    return bytes(out)


def read_blocks(cursor, data, offset, stored, decoded, item):
    size, count = cursor.get('II')
    need(0 < size <= MAX_ELEMENTS and size % item == 0, 'size of blocks')
    need(count == -(-decoded // size), 'number of blocks')
    need(count * 8 <= len(cursor.data), 'more blocks than bytes')
    content, at = [], offset
    for number in range(count):
        block_stored, crc = cursor.get('II')
        need(block_stored >= 1, 'stored size of a block')
        need(block_stored <= offset + stored - at, 'a block leaves its span')
        raw = data[at:at + block_stored]
        need(zlib.crc32(raw) == crc, 'checksum of a block')
        block = inflate_block(raw, min(size, decoded - number * size))
        content.append(unshuffle(block, item))
        at += block_stored
    need(at == offset + stored, 'blocks do not fill their span')
    return b''.join(content)


def row_items(dtype, columns):
    return -(-columns // 32) if dtype in QUANTIZED else columns


def read_panels(data, dtype, rows, columns):
    """The row-major items of a matrix in panels; rows that fill up the last panel must be zero."""
    item, items = ITEM_SIZE[dtype], row_items(dtype, columns)
    out = [bytearray(items * item) for _ in range(align(rows, PANEL))]
    at = 0
    for first in range(0, len(out), PANEL):
        for number in range(items):
            pieces = [(0, item)]
            if dtype in QUANTIZED:
                pieces = [(0, 2)] + [(at_byte, 4) for at_byte in range(2, item, 4)]
            for begin, size in pieces:
                for row in out[first:first + PANEL]:
                    to = number * item + begin
                    row[to:to + size] = data[at:at + size]
                    at += size
    need(not any(any(row) for row in out[rows:]), 'rows that fill up a panel')
    return b''.join(out[:rows])


class Index:
    def __init__(self, data, index_offset, index_size):
        self.data = data
        self.cursor = Cursor(data[index_offset:index_offset + index_size])
        self.end = index_offset + index_size
        self.tensors, self.names, self.lines = [], set(), []

    def read_tensor(self):
        cursor = self.cursor
        name = cursor.name()
        need(name not in self.names, 'a name twice')
        self.names.add(name)
        dtype, encoding, rank = cursor.get('BBB')
        need(dtype in ITEM_SIZE, 'dtype')
        need(encoding <= 3, 'encoding')
        need(1 <= rank <= 4, 'rank')
        shape = cursor.get(f'{rank}Q')
        need(all(dimension >= 1 for dimension in shape), 'a dimension of zero')
        row = ITEM_SIZE[dtype] * row_items(dtype, shape[-1])
        size = row * math.prod(shape[:-1])
        offset, stored, decoded, crc = cursor.get('QQQI')
        need(decoded == size < 1 << 63, 'decoded size')
        if encoding == 2:
            content, span = self.read_tied(dtype, shape, offset, stored, crc), (0, 0)
        else:
            self.check_span(offset, stored)
            if encoding == 0:
                need(stored == decoded, 'stored size of a plain tensor')
                content = self.data[offset:offset + stored]
            elif encoding == 3:
                need(rank == 2 and stored == align(shape[0], PANEL) * row, 'size of panels')
                content = read_panels(self.data[offset:offset + stored], dtype, *shape)
            else:
                content = read_blocks(cursor, self.data, offset, stored, decoded, ITEM_SIZE[dtype])
            span = (offset, stored)
        need(zlib.crc32(content) == crc, 'checksum of a tensor')
        if dtype in QUANTIZED:
            item = ITEM_SIZE[dtype]
            need(all(high & 0x7F != 0x7F or low < 0x80
                     for low, high in zip(content[::item], content[1::item])), 'a scale')
        self.tensors.append((dtype, shape, content, encoding, span, crc))
        dimensions = ' '.join(map(str, shape))
        self.lines.append(f'tensor {name} {dtype} {dimensions} {crc:08x}')

    def read_tied(self, dtype, shape, offset, stored, crc):
        holder = self.cursor.one('I')
        need(offset == 0 and stored == 0, 'span of a tied tensor')
        need(holder < len(self.tensors), 'holder of a tied tensor')
        other = self.tensors[holder]
        need(other[3] != 2, 'holder is tied itself')
        need(other[:2] == (dtype, shape) and other[5] == crc, 'holder differs')
        return other[2]

    def check_span(self, offset, stored):
        need(stored >= 1 and offset == align64(self.end), 'place of a span')
        need(offset + stored <= len(self.data), 'a span leaves the file')
        need(not any(self.data[self.end:offset]), 'padding')
        self.end = offset + stored


def read_mega(data):
    """The lines that describe a file; raises Bad if it must not be accepted."""
    need(data[:8] == b'\x89MEGA\n\r\n' and len(data) >= 64, 'magic')
    version, flags, size, meta_size, index_offset, index_size, meta_crc, index_crc, count, crc = \
        struct.unpack('<IIQQQQIIII', data[8:64])
    need(crc == zlib.crc32(data[:60]), 'checksum of the header')
    need(version == 1 and flags == 0 and size == len(data), 'version, flags or size')
    need(4 <= meta_size <= MAX_BYTES and index_size <= MAX_BYTES, 'sizes')
    need(index_offset == align64(64 + meta_size), 'place of the index')
    need(index_offset + index_size <= size and count <= MAX_COUNT, 'index leaves the file')
    meta = data[64:64 + meta_size]
    need(zlib.crc32(meta) == meta_crc, 'checksum of the metadata')
    need(not any(data[64 + meta_size:index_offset]), 'padding')
    index = Index(data, index_offset, index_size)
    need(zlib.crc32(index.cursor.data) == index_crc, 'checksum of the index')
    lines = read_metadata(meta)
    for _ in range(count):
        index.read_tensor()
    need(index.cursor.at == index_size, 'bytes after the index')
    need(index.end == size, 'bytes after the last span')
    return lines + index.lines


def dump(program, path):
    done = subprocess.run([program, path], capture_output=True, text=True)
    need(done.returncode in (0, 1), f'{program} ended with {done.returncode}')
    return done.stdout.splitlines() if done.returncode == 0 else None


def mend(data):
    """Corrects the checksums of header, metadata and index after a change."""
    meta_size, index_offset, index_size = struct.unpack_from('<QQQ', data, 24)
    struct.pack_into('<Q', data, 16, len(data))
    if 64 + meta_size <= len(data) and index_offset + index_size <= len(data):
        struct.pack_into('<I', data, 48, zlib.crc32(data[64:64 + meta_size]))
        struct.pack_into('<I', data, 52, zlib.crc32(data[index_offset:index_offset + index_size]))
    struct.pack_into('<I', data, 60, zlib.crc32(data[:60]))


def damage(data, chance):
    """Changes one to three bytes, or cuts or extends the end; may correct the checksums."""
    data = bytearray(data)
    index_end = sum(struct.unpack_from('<QQ', data, 32))
    kind = chance.randrange(8)
    if kind == 0:
        del data[chance.randrange(64, len(data)):]
    elif kind == 1:
        data += bytes(chance.randrange(1, 100))
    else:
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(data) if kind == 2 else index_end)
            data[at] = chance.choice((0, 1, 255, data[at] ^ 1 << chance.randrange(8)))
    if chance.randrange(5):
        mend(data)
    return bytes(data)


def compare(program, paths):
    for path in paths:
        with open(path, 'rb') as file:
            ours, theirs = read_mega(file.read()), dump(program, path)
        need(ours == theirs, f'{path}: the two readers differ')
    print(f'{len(paths)} files read alike')


def compare_damaged(program, count, paths):
    chance, accepted, total = random.Random(5), 0, 0
    handle, copy = tempfile.mkstemp(suffix='.mega')
    os.close(handle)
    try:
        for path in paths:
            with open(path, 'rb') as file:
                whole = file.read()
            for number in range(count):
                data = damage(whole, chance)
                with open(copy, 'wb') as file:
                    file.write(data)
                try:
                    ours = read_mega(data)
                except Bad as error:
                    ours, reason = None, error
                theirs = dump(program, copy)
                if ours != theirs:
                    os.replace(copy, 'differs.mega')
                    need(False, f'{path}, copy {number} (kept as differs.mega): '
                         f'{"rejected: " + str(reason) if ours is None else "accepted"} here, '
                         f'{"rejected" if theirs is None else "accepted"} there')
                accepted += ours is not None
                total += 1
    finally:
        if os.path.exists(copy):
            os.unlink(copy)
    print(f'{total} damaged copies, {accepted} accepted by both, the others by none')


def main(arguments):
    try:
        if arguments[0] == '--compare':
            compare(arguments[1], arguments[2:])
        elif arguments[0] == '--damage':
            compare_damaged(arguments[1], int(arguments[2]), arguments[3:])
        else:
            with open(arguments[0], 'rb') as file:
                print('\n'.join(read_mega(file.read())))
    except Bad as error:
        print(f'read_mega: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
