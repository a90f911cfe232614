#!/usr/bin/python3
"""Compares pictures and sound in models of S4 with values prepared here: s4_inputs.py GRAY COLOUR

The two are checkpoints with one value and with three at a position. For each data set, their
arguments get its section, a random picture or recording is classified, and so are the values that
the data set's loader would make of it. Prints a line for each.
"""
import json
import math
import os
import random
import struct
import subprocess
import sys
import wave
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import npy


def write_png(path, side, pixels):
    def chunk(kind, data):
        return (struct.pack('>I', len(data)) + kind + data +
                struct.pack('>I', zlib.crc32(kind + data)))
    rows = b''.join(b'\0' + bytes(pixels[3 * side * y:3 * side * (y + 1)]) for y in range(side))
    with open(path, 'wb') as file:
        file.write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, 8, 2, 0,
                                                                    0, 0)) +
                   chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


def convert(checkpoint, dataset, *options):
    listed = subprocess.run(['mega-convert', '--list', '--json', checkpoint], capture_output=True,
                            text=True, check=True)
    args = json.loads(listed.stdout)['arguments']
    with open('config.json', 'w', encoding='utf-8') as file:
        json.dump({key: args[key] for key in ('model', 'encoder', 'decoder')} | {'dataset': dataset},
                  file)
    subprocess.run(['mega-convert', '-q', '--force', '--config', 'config.json', '-o', 'model.mega',
                    *options, checkpoint], check=True)


def compare(name, path, values, shape, *options):
    npy.write('in.npy', [float(v) for v in values], shape)
    subprocess.run(['mega-run', 'forward', '-m', 'model.mega', '--in', 'in.npy', '-o', 'out.npy',
                    *options], check=True)
    logits = npy.read('out.npy')[1]
    top = max(logits)
    total = sum(math.exp(x - top) for x in logits)
    expected = [math.exp(x - top) / total for x in logits]
    done = subprocess.run(['mega-run', 'classify', '-m', 'model.mega', '--json', '--top', '9', path,
                           *options], capture_output=True, text=True, check=True)
    got = {row['index']: row['probability'] for row in json.loads(done.stdout)['top']}
    error = max(abs(got[i] - p) for i, p in enumerate(expected))
    print(f"{name}: {'equal' if error < 1e-6 else f'off by {error:.2g}'}")


def reversed_order(count):
    bits = (count - 1).bit_length()
    order = (int(format(i, f'0{bits}b')[::-1], 2) for i in range(1 << bits))
    return [i for i in order if i < count]


def pictures(gray_model, colour_model):
    data = [('cifar', {'grayscale': True}, 32, 122.6 / 255, 61 / 255),
            ('mnist', {}, 28, 0, 1), ('mnist', {'permute': False}, 28, 0, 1),
            ('pathfinder', {}, 32, 0.5, 0.5), ('pathfinder', {'center': False}, 32, 0, 1),
            ('pathfinder', {'resolution': 16}, 16, 0.5, 0.5)]
    for name, section, side, mean, std in data:
        pixels = [random.randrange(256) for _ in range(3 * side * side)]
        write_png('x.png', side, pixels)
        gray = [(19595 * r + 38470 * g + 7471 * b + 32768) >> 16
                for r, g, b in zip(pixels[::3], pixels[1::3], pixels[2::3])]
        if name == 'mnist' and 'permute' not in section:
            gray = [gray[i] for i in reversed_order(len(gray))]
        convert(gray_model, dict(section, _name_=name))
        compare(f'{name} {section}', 'x.png', [(v / 255 - mean) / std for v in gray], None)
    pixels = [random.randrange(256) for _ in range(3 * 32 * 32)]
    write_png('x.png', 32, pixels)
    mean, std = (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)
    convert(colour_model, {'_name_': 'cifar'})
    compare('cifar, coloured', 'x.png',
            [(v / 255 - mean[i % 3]) / std[i % 3] for i, v in enumerate(pixels)], (32 * 32, 3))


def sound(model):
    samples = [random.randrange(-9000, 9000) for _ in range(500)]
    with wave.open('x.wav', 'wb') as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(struct.pack('<500h', *samples))
    convert(model, {'_name_': 'sc', 'length': 600}, '--audio-mean', '0.01', '--audio-std', '0.1')
    values = [(s / 32768 - 0.01) / (0.1 + 1e-5) for s in samples + [0] * 100]
    compare('sound, filled up', 'x.wav', values, None)


random.seed(15)
pictures(*sys.argv[1:])
sound(sys.argv[1])
