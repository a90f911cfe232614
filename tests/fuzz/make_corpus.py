"""Writes the seeds of tests/fuzz/corpus anew: python3 tests/fuzz/make_corpus.py (from the top).

Needs mega-convert in build/ and the standard library only. Regression files, whose names begin
with "found-", are left alone.
"""
import json
import pathlib
import pickle
import shutil
import struct
import subprocess
import wave
import zipfile
from collections import OrderedDict

TOP = pathlib.Path('tests/fuzz/corpus')
DATA = pathlib.Path('tests/data')
FIXTURES = pathlib.Path('tests/fixtures')


def put(target, name, content):
    folder = TOP / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def copy(target, *paths):
    for path in paths:
        put(target, pathlib.Path(path).name, pathlib.Path(path).read_bytes())


def archives():
    folder = TOP / 'zip'
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / 'stored.zip', 'w') as archive:
        archive.writestr('a/data.pkl', b'\x80\x02}.')
        archive.writestr('a/version', b'3\n')
    with zipfile.ZipFile(folder / 'deflated.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('long', b'0' * 3000)
    with zipfile.ZipFile(folder / 'comment.zip', 'w') as archive:
        archive.comment = b'comment'
    copy('zip', DATA / 'checkpoints/module.pt', DATA / 'checkpoints/deflated_data.pt')


def without_checksums(content):
    """An archive whose CRCs are 0, which means none: so that mutations get past them."""
    content = bytearray(content)
    for magic, offset in ((b'PK\3\4', 14), (b'PK\1\2', 16), (b'PK\7\x08', 4)):
        at = content.find(magic)
        while at >= 0:
            content[at + offset:at + offset + 4] = bytes(4)
            at = content.find(magic, at + 4)
    return bytes(content)


def checkpoints():
    for path in sorted((DATA / 'checkpoints').glob('*.pt')):
        content = path.read_bytes()
        put('checkpoint', path.name, content)
        if content[:2] == b'PK':
            put('checkpoint', path.stem + '-unchecked.pt', without_checksums(content))
    copy('checkpoint', DATA / 'checkpoints/small.safetensors')
    for name in ('zip.pt', 'cfg.pt', 'attack.pt', 'protocol4.pt'):
        with zipfile.ZipFile(DATA / 'checkpoints' / name) as archive:
            for entry in archive.namelist():
                if entry.endswith('data.pkl'):
                    put('pickle', name + '.pkl', archive.read(entry))
    values = {'a': [1, -2, 2**80, 1.5, None, True], 'b': ({1, 2}, b'x', 'text' * 3)}
    values['again'] = values['a']
    for protocol in (2, 3, 4, 5):
        put('pickle', f'plain-{protocol}.pkl', pickle.dumps(values, protocol))
    put('pickle', 'ordered.pkl', pickle.dumps(OrderedDict(a=1, b=2), 2))


def models():
    folder = TOP / 'mega'
    folder.mkdir(parents=True, exist_ok=True)
    fixture = FIXTURES / 'unit_statedict'
    for name, options in (('statedict', ['--dtype', 'f16']),
                          ('panels', ['--dtype', 'int8', '--no-compress'])):
        subprocess.run(['build/mega-convert', '-q', '--force', '--config', fixture / 'meta.json',
                        '--dict', fixture / 'dict.txt', '-o', folder / f'{name}.mega', *options,
                        fixture / 'model_state.pt'], check=True)
    text = pathlib.Path('formats/MEGA-FORMAT.md').read_text()
    dump = bytearray()
    for line in text[text.index('## Worked example'):].splitlines():
        if line.startswith('    ') and line[4:7].isalnum() and line[7:9] == '  ':
            dump += bytes.fromhex(line[9:57])
    put('mega', 'example.mega', bytes(dump))


def recordings():
    folder = TOP / 'audio'
    folder.mkdir(parents=True, exist_ok=True)
    with wave.open(str(folder / 'tone.wav'), 'wb') as out:
        out.setparams((2, 2, 11025, 0, 'NONE', ''))
        out.writeframes(struct.pack('<200h', *(i * 97 % 2000 - 1000 for i in range(200))))
    put('audio', 'tone.au', b'.snd' + struct.pack('>5I', 24, 40, 2, 8000, 1) + bytes(range(40)))
    frames = struct.pack('>40h', *range(40))
    comm = struct.pack('>hIh', 1, 40, 16) + b'\x40\x0c\xac\x44' + bytes(6)
    body = b'AIFFCOMM' + struct.pack('>I', 18) + comm + b'SSND' + struct.pack('>III', 88, 0, 0)
    put('audio', 'tone.aiff', b'FORM' + struct.pack('>I', len(body) + 80) + body + frames)
    put('audio', 'raw.pcm', bytes(1) + bytes(range(120)))


def texts():
    copy('dict', FIXTURES / 'unit_cls/dict.txt')
    put('dict', 'nasty.txt', 'a 1\n\u00e4\u00f6 2\n#fairseq:overwrite 3\na 4 #fairseq:overwrite\n'
        .encode())
    put('dict', 'no-end.txt', b'a 1\nb')
    copy('bpe', DATA / 'bpe/codes', DATA / 'bpe/codes.old')
    put('bpe', 'with-text.bpe', b'#version: 0.2\nl o\nlo w\nlow e\ne r</w>\n\0lower \xc3\xa4lower')
    copy('text', DATA / 'moses/raw.txt')
    put('text', 'ids.txt', b'1 22 333 4\n')
    put('text', 'broken.txt', b'caf\xc3 \xed\xa0\x80 \xf0\x9f\x98\x80 http://x.y/?a=b "don\'t" 3.14 z.B.')
    full = json.loads((FIXTURES / 'unit_statedict/meta.json').read_text())
    put('config', 'statedict.json', json.dumps({'args': full['args']}).encode())
    put('config', 'small.json', b'{"activation_fn": "silu", "encoder_layers": 2, "a": [1, null]}')


def others():
    import_npy = FIXTURES / 'unit_cls'
    copy('npy', import_npy / 'in.0.tokens.npy', import_npy / 'out.0.logits.npy')
    header = b"{'descr': '>f8', 'fortran_order': True, 'shape': (2, 3), }"
    put('npy', 'fortran.npy', b'\x93NUMPY\2\0' + struct.pack('<I', len(header) + 1) + header +
        b'\n' + struct.pack('>6d', *range(6)))
    for name in ('baseline.jpg', 'progressive.jpg', 'gray.jpg', 'colour.bmp', 'gray-16.png',
                 'palette.png', 'one-bit.png', 'rgba.png', 'gray-alpha.png'):
        copy('image', DATA / 'inputs' / name)


if __name__ == '__main__':
    for seed in TOP.glob('*/*'):
        if not seed.name.startswith('found-'):
            seed.unlink()
    for make in (archives, checkpoints, models, recordings, texts, others):
        make()
    if shutil.which('du'):
        subprocess.run(['du', '-sh', '--apparent-size', TOP], check=False)
