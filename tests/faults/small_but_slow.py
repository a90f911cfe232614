#!/usr/bin/env python3
"""Writes files of at most a megabyte that once kept a reader busy for many seconds.

Usage: small_but_slow.py, in an empty folder. Each file repeats something that is large or costly
with a few bytes: references of a pickle to a long string, chunks of a recording, compressed texts
and scans of a picture.
"""
import struct
import zlib

SIZE = 1000000


def save(name, content):
    with open(name, 'wb') as file:
        file.write(content)


# ---- Pickles, in the format before PyTorch 1.6 ---------------------------------------------------

PREAMBLE = (b'\x80\2\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.' b'\x80\2M\xe9\3.'
            b'\x80\2}X\r\0\0\0little_endian\x88s.')
TENSOR = b'ctorch._utils\n_rebuild_sparse_tensor\n)R'


def text(characters):
    return b'X' + struct.pack('<I', len(characters)) + characters


def memo(number):
    """Keeps the value on top of the stack, and takes it away."""
    return b'q' + bytes([number]) + b'0'


def pickled(name, value):
    save(name + '.pt', PREAMBLE + b'\x80\2' + value + b'.\x80\2].')


def module(memo_number, attributes):
    return b'cm\nM\n)\x81q' + bytes([memo_number]) + b'}(' + attributes + b'ub'


def write_pickles():
    half, weight = SIZE // 2, text(b't') + TENSOR
    pickled('key', text(b'a' * half) + memo(0) + b'N' + memo(1) + b'}(' + weight +
            b'h\0h\1' * (half // 4) + b'u')
    pickled('name', text(b'a' * half) + memo(0) + TENSOR + memo(1) + b'}(' +
            b'h\0h\1' * (half // 4) + b'u')
    pickled('persistent', text(b'a' * half) + memo(0) + b'(h\0Ntq\1Q0}(' + weight + b'u' +
            b'h\1Q0' * (half // 4))
    pickled('attributes', module(0, b'K\1N' * (half // 3)) + b'0}(' + weight + text(b'l') +
            b'](' + b'h\0' * (half // 2) + b'eu')
    members = text(b'_parameters') + b'}' + text(b'_modules')
    pickled('modules', b'](' + module(0, members + b'}(' + text(b'a') + b'h\0' + text(b'b') +
                                      b'h\0u') + b'h\0' * 1000 + b'}(' + weight + b'ue')
    pickled('buffers', text(b'b') + memo(1) + text(b'c') + memo(2) + TENSOR + memo(3) +
            module(0, members + b'}' + text(b'_non_persistent_buffers_set') + b'\x8f(' +
                   b'h\2' * (half // 2) + b'\x90' + text(b'_buffers') + b'}(' +
                   b'h\1h\3' * (half // 4) + b'u'))
    pickled('global', b'cm\n' + b'g' * (half // 10) + b'\n' + memo(0) + b'}(' + weight +
            text(b'args') + b'}' + text(b'x') + b'](' + b'h\0' * (half // 10) + b'esu')
    entries = b''.join(text(b'%03d' % i + b'k' * 1000) + b'N' for i in range(100))
    pickled('keys', b'}(' + weight + text(b'args') + b'}' + text(b'x') + b'](}(' + entries +
            b'uq\0' + b'h\0' * 4800 + b'esu')


# ---- Recordings ----------------------------------------------------------------------------------

def write_recordings():
    empty = b'data\0\0\0\0' * 1000
    body = (b'WAVEfmt ' + struct.pack('<IHHIIHH', 16, 1, 1, 16000, 32000, 2, 16) + empty +
            b'data\4\0\0\0\1\0\1\0')
    recording = b'RIFF' + struct.pack('<I', len(body)) + body
    save('chunks.wav', recording * (SIZE // len(recording)))
    page = b'OggS\0\2' + bytes(8) + b'\1' + bytes(11) + b'\0'
    save('lyrics.ogg', (page + b'LYRICSBEGIN') * (SIZE // 38))


# ---- Pictures ------------------------------------------------------------------------------------

def png_chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def write_png(name, kind, head, inflated):
    begin = (b'\x89PNG\r\n\x1a\n' +
             png_chunk(b'IHDR', struct.pack('>IIBBBBB', 32, 32, 8, 2, 0, 0, 0)))
    note = png_chunk(kind, head + zlib.compress(inflated, 9))
    end = png_chunk(b'IDAT', zlib.compress(bytes((1 + 3 * 32) * 32))) + png_chunk(b'IEND', b'')
    save(name, begin + note * (SIZE // len(note)) + end)


def jpeg_segment(marker, data):
    return bytes([255, marker]) + struct.pack('>H', len(data) + 2) + data


def write_jpeg():
    """A gray picture of 8000 x 8000 pixels in 400 scans: each block has one bit in the first, and
    the others skip runs of up to 32767 blocks."""
    blocks = (8000 // 8) ** 2
    table = bytes([1] + [0] * 15)
    out = (b'\xff\xd8' + jpeg_segment(0xdb, bytes([0]) + bytes([1] * 64)) +
           jpeg_segment(0xc2, struct.pack('>BHHB', 8, 8000, 8000, 1) + b'\1\x11\0') +
           jpeg_segment(0xc4, b'\0' + table + b'\0') +
           jpeg_segment(0xda, b'\1\1\0\0\0\0') + bytes(blocks // 8) +
           jpeg_segment(0xc4, b'\x10' + table + b'\xe0'))
    bits, left = '', blocks
    while left:
        run = min(left, 32767)
        # the only code, 0, begins a run of 2^14 blocks; 14 bits tell how many more there are
        bits += '0' + format(run - 16384 if run >= 16384 else 0, '014b')
        left -= run if run >= 16384 else min(left, 16384)
    bits += '1' * (-len(bits) % 8)
    data = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)).replace(b'\xff', b'\xff\0')
    scan = jpeg_segment(0xda, b'\1\1\0\1\x3f\0') + data
    save('scans.jpg', out + scan * 400 + b'\xff\xd9')


write_pickles()
write_recordings()
write_png('xmp.png', b'iTXt', b'XML:com.adobe.xmp\0\1\0\0\0', b't' * (1 << 20))
write_png('exif.png', b'zTXt', b'Raw profile type exif\0\0', b'\nexif\n   1\n' + b'4' * (1 << 20))
write_jpeg()
