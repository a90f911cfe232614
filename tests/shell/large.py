"""Large inputs, which are made here, take a bounded amount of memory."""
import json
import math
import os
import struct
import zlib

from common import FIXTURES, MODELS, RATE, expect, refused, run, small_models, word


def silent_wav(path, hours, bits=16, rate=RATE):
    """Writes a recording whose samples are a hole in the file."""
    size = int(hours * 3600) * rate * bits // 8
    with open(path, 'wb') as out:
        out.write(b'RIFF' + struct.pack('<I', 36 + size) + b'WAVEfmt ' +
                  struct.pack('<IHHIIHH', 16, 1, 1, rate, rate * bits // 8, bits // 8, bits) +
                  b'data' + struct.pack('<I', size))
        out.truncate(out.tell() + size)


def three_hours():
    """A long recording in successive windows, and with --top, which classifies its first second."""
    silent_wav('long.wav', 3)
    status, text, messages = run(['mega-run', 'classify', '--window', '1', '--hop', '60',
                                  'long.wav'], megabytes=60)
    lines = text.splitlines()
    expect(status == 0 and len(lines) == 180, 'status', status, len(lines), 'windows', messages)
    expect(lines[-1].startswith('10740.00\t10741.00\t_silence_'), 'the last window:', lines[-1])
    status, text, _ = run(['mega-run', 'classify', '--top', '1', 'long.wav'], megabytes=60)
    expect(status == 0 and text.startswith('_silence_'), text)


def three_hours_of_raw_samples():
    with open('long.raw', 'wb') as out:
        out.truncate(3 * 3600 * RATE * 2)
    with open('long.raw', 'rb') as source:
        status, text, _ = run(['mega-run', 'classify', '--raw', 's16le:16000:1', '--window', '1',
                               '--hop', '60', '--json', '-'], megabytes=60, stdin=source)
    expect(status == 0 and len(text.splitlines()) == 180, 'status', status)


def a_day_is_the_limit():
    silent_wav('longer.wav', 24.1, bits=8)
    refused(['mega-run', 'classify', '--window', '1', '--hop', '4000', 'longer.wav'],
            'longer.wav is longer than 24 hours, the limit', megabytes=60)


def lines_of_a_megabyte():
    """One word of 10^6 letters, and 200,000 words: read whole, and refused only where the model has
    a largest length, which is named."""
    small_models()
    with open('word.txt', 'w', encoding='utf-8') as out:
        out.write('a' * 1000000 + '\n')
    with open('words.txt', 'w', encoding='utf-8') as out:
        out.write('dogs ' * 200000 + '\n')
    status, text, messages = run(['mega-run', 'classify', '-m', 'unit_statedict.mega', 'word.txt'],
                                 megabytes=100)
    expect(status == 0 and text, messages)
    refused(['mega-run', 'classify', '-m', 'unit_statedict.mega', 'words.txt'],
            '200001 positions', 'at most 300', megabytes=100)
    for file in 'word.txt', 'words.txt':
        refused(['mega-run', 'translate', file], f'{file}, line 1:', 'at most 256', megabytes=200)
    for command in ['score'], ['score', '--document']:
        status, text, messages = run(['mega-run', *command, '-m', 'lm_adaptive_small.mega',
                                      'words.txt'], megabytes=200)
        expect(status == 0 and text, messages)
    with open('words.txt', 'rb') as source:
        status, text, messages = run(['mega-run', 'generate', '-m', 'lm_adaptive_small.mega',
                                      '--max-tokens', '3', '--ignore-eos', '--seed', '1', '-'],
                                     megabytes=200, stdin=source)
    expect(status == 0 and text, messages)


def lines_without_end():
    """A line that never ends is refused at the limit of a text, 64 MiB, which is named."""
    with open('line.txt', 'wb') as out:
        for _ in range(1024):
            out.write(b'a' * 65536)
        out.write(b'a')
    model = f'{MODELS}/cifar10/cifar10.mega'
    for command in (['translate', 'line.txt'], ['score', 'line.txt'],
                    ['eval', '-m', model, 'line.txt'], ['classify', '--files-from', 'line.txt']):
        refused(['mega-run', *command], 'line.txt, line 1 is longer than 67108864 bytes, the limit',
                megabytes=300)
    refused(['mega-run', 'score', '--document', 'line.txt'], '67108864 bytes, the limit of a text',
            megabytes=300)


def png(path, width, height, rows=None):
    """Writes a PNG of one colour, with fewer `rows` than its header says if they are given."""
    def chunk(kind, data):
        check = zlib.crc32(kind + data)
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', check)
    packer = zlib.compressobj(1)
    row = b'\0' + b'\x20\x40\x80' * (width if rows != 0 else 0)
    data = b''.join(packer.compress(row) for _ in range(height if rows is None else rows))
    with open(path, 'wb') as out:
        out.write(b'\x89PNG\r\n\x1a\n' +
                  chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)) +
                  chunk(b'IDAT', data + packer.flush()) + chunk(b'IEND', b''))


def bmp(path, width, height):
    """Writes only the header of a BMP, which declares a file of that size."""
    with open(path, 'wb') as out:
        out.write(b'BM' + struct.pack('<IIIIiiHH', 54, 0, 54, 40, width, height, 1, 24) + bytes(24))


def pictures_of_fifty_megapixels():
    png('large.png', 10000, 5000)
    status, text, messages = run(['mega-run', 'classify', 'large.png'], megabytes=400)
    expect(status == 0 and text, messages)


def pictures_within_a_limit_of_memory():
    """--max-memory is checked before a picture is decoded; one that fits is read."""
    png('large.png', 10000, 5000)
    refused(['mega-run', 'classify', '--max-memory', '100M', 'large.png'],
            '10000 x 5000 pixels', 'the limit is', megabytes=60)
    png('small.png', 1000, 500)
    status, text, messages = run(['mega-run', 'classify', '--max-memory', '100M', 'small.png'],
                                 megabytes=100)
    expect(status == 0 and text, messages)
    with open('rows.bmp', 'wb') as out: # 12 KB that declare 10^8 pixels
        out.write(b'BM' + struct.pack('<IIIIiiHH', 0, 0, 54, 40, 9999, 9999, 1, 24) + bytes(12324))
    refused(['mega-run', 'classify', 'rows.bmp'], 'truncated BMP', megabytes=60)


def pictures_beyond_the_limit():
    """Too large pictures are refused by their headers, before decoding; the limits are named."""
    png('pixels.png', 10001, 10000, rows=1)
    png('side.png', 65537, 1)
    png('huge.png', 2**31 - 1, 2**31 - 1, rows=0)
    bmp('huge.bmp', 2**31 - 1, -2**31)
    for file in 'pixels.png', 'side.png', 'huge.png', 'huge.bmp':
        refused(['mega-run', 'classify', file], f'{file} declares ', '100000000 pixels', '65536',
                megabytes=60)
    png('liar.png', 10000, 10000, rows=1)
    refused(['mega-run', 'classify', 'liar.png'], 'more than its', 'bytes can hold', megabytes=60)


def large_embedding(path):
    """Writes the tensors of a fixture with zeros, and 400,000 rows in its table of embeddings."""
    fixture = f'{FIXTURES}/unit_statedict/model_state.pt'
    status, listed, messages = run(['mega-convert', '--list', '--json', fixture])
    expect(status == 0, messages)
    header, end = {}, 0
    for tensor in json.loads(listed)['tensors']:
        shape = tensor['shape']
        if tensor['name'].endswith('embed_tokens.embed.weight'):
            shape[0] = 400000
        begin, end = end, end + 4 * math.prod(shape)
        header[tensor['name']] = {'dtype': 'F32', 'shape': shape, 'data_offsets': [begin, end]}
    text = json.dumps(header).encode()
    with open(path, 'wb') as out:
        out.write(struct.pack('<Q', len(text)) + text)
        out.truncate(8 + len(text) + end)


def conversions_within_a_limit_of_memory():
    """mega-convert --max-memory counts the memory that a conversion takes, within a tenth and the
    few megabytes of the program itself; a refused conversion leaves no file."""
    large_embedding('large.safetensors')
    config = ['--config', f'{FIXTURES}/unit_statedict/meta.json']
    for name, *options in (
            ('large.safetensors', *config), ('large.safetensors', *config, '--dtype', 'int8'),
            ('large.safetensors', *config, '--no-compress', '-o', 'plain.mega'),
            ('large.safetensors', *config, '-o', 'packed.mega'),
            ('plain.mega',), ('plain.mega', '--no-compress'), ('plain.mega', '--dtype', 'int8'),
            ('packed.mega',), ('packed.mega', '--no-compress'), ('packed.mega', '--dtype', 'f16')):
        command = ['mega-convert', '--force', '-v', '-o', 'out.mega', name, *options]
        if os.path.exists('out.mega'):
            os.remove('out.mega')
        said = refused([*command, '--max-memory', '1M'], 'embed', '; 1.0 MB are allowed')
        counted = float(said.split(' needs ')[1].split()[0])
        refused([*command, '--max-memory', f'{counted - 0.2}M'], 'are allowed')
        expect(not os.path.exists('out.mega'), 'a refused conversion has left a file')
        status, _, messages = run([*command, '--max-memory', f'{counted + 0.2}M'])
        expect(status == 0, messages)
        taken = float(messages.split('peak memory ')[1].split()[0])
        expect(0.9 * counted < taken < 1.1 * counted + 5, ' '.join(command), 'counts', counted,
               'and takes', taken)


CASES = [three_hours, three_hours_of_raw_samples, a_day_is_the_limit, lines_of_a_megabyte,
         lines_without_end, pictures_of_fifty_megapixels, pictures_within_a_limit_of_memory,
         pictures_beyond_the_limit, conversions_within_a_limit_of_memory]
