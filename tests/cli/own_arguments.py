#!/usr/bin/python3
"""Tests arguments of tools/train's checkpoints that the originals lack: own_arguments.py FIXTURES

They limit the length of texts, let pictures of any size be stretched, and give the Transformer and
S4 frames of sound. Each result is compared with that of the same model for prepared inputs. Prints
a line for each.
"""
import json
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import checkpoint
import npy

FIXTURES = sys.argv[1]


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else done.stderr.strip()


def arguments(path):
    listed = subprocess.run(['mega-convert', '--list', '--json', path], capture_output=True,
                            text=True, check=True)
    return json.loads(listed.stdout)['arguments']


def convert(path, args, *options):
    with open('config.json', 'w', encoding='utf-8') as file:
        json.dump(args, file)
    return run('mega-convert', '-q', '--force', '--config', 'config.json', '-o', 'model.mega',
               *options, path)


def forward(values, shape=None):
    npy.write('in.npy', values, shape)
    run('mega-run', 'forward', '-m', 'model.mega', '--in', 'in.npy', '-o', 'out.npy')
    return npy.read('out.npy')[1]


def say(what, one, other):
    error = max(abs(a - b) for a, b in zip(one, other, strict=True))
    print(f"{what}: {'equal' if error < 1e-5 else f'off by {error:.2g}'}")


# ---- Texts ----

def text_limit():
    folder = f'{FIXTURES}/unit_statedict'
    state, words = f'{folder}/model_state.pt', open(f'{folder}/dict.txt').read().split('\n')
    with open(f'{folder}/meta.json', encoding='utf-8') as file:
        args = json.load(file)['args']
    options = ('--dict', f'{folder}/dict.txt')
    for limit in (1, 2, 6):
        convert(state, args | {'text_limit': limit}, *options)
        with open('long.txt', 'w', encoding='utf-8') as file:
            file.write(' '.join(word.split(' ')[0] for word in words[:12]))
        with open('ids', 'w', encoding='utf-8') as file:
            print(*range(4, 3 + limit), 2, file=file)
        same = run('mega-run', 'classify', '-m', 'model.mega', '--json', 'long.txt').partition(
            '"label')[2] == run('mega-run', 'classify', '-m', 'model.mega', '--json', '--ids',
                                'ids').partition('"label')[2]
        print(f'text_limit {limit}: {"equal" if same else "different"}')
    for wrong in (-1, 'long', 2.5):
        print(f'text_limit {wrong!r}:', convert(state, args | {'text_limit': wrong}, *options))


# ---- Pictures ----

def image_fit(picture):
    transformer, s4 = f'{FIXTURES}/xfm_lra_cifar10/checkpoint.pt', f'{FIXTURES}/s4_variants/23.ckpt'
    for name, path in (('transformer', transformer), ('S4', s4)):
        args = arguments(path)
        if name == 'S4':
            args['dataset'] = {'_name_': 'pathfinder', 'resolution': 16}
        for fit in (None, 'exact', 'stretch', 'fill'):
            done = convert(path, args | ({'image_fit': fit} if fit else {}))
            print(f'{name}, image_fit {fit}:', done or run(
                'mega-run', 'classify', '-m', 'model.mega', picture).count('\n') or 'refused')


# ---- Frames ----

def transformer(rows, embedding):
    """A checkpoint of one layer of width 8, whose embedding has these values for each channel."""
    chance = random.Random(1)
    shapes = {'embed_tokens.weight': (8, rows) if rows else (8,), 'embed_tokens.bias': (8,)}
    for part in ('q', 'k', 'v', 'out'):
        shapes |= {f'layers.0.self_attn.{part}_proj.weight': (8, 8),
                   f'layers.0.self_attn.{part}_proj.bias': (8,)}
    for norm in ('self_attn', 'final'):
        shapes |= {f'layers.0.{norm}_layer_norm.{kind}': (8,) for kind in ('weight', 'bias')}
    shapes |= {'layers.0.fc1.weight': (12, 8), 'layers.0.fc1.bias': (12,),
               'layers.0.fc2.weight': (8, 12), 'layers.0.fc2.bias': (8,)}
    shapes = {f'encoder.encoder.{name}': shape for name, shape in shapes.items()}
    shapes |= {'classifier.0.0.weight': (8, 8), 'classifier.0.0.bias': (8,),
               'sentence_projection_layer.weight': (3, 8)}
    items = []
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = [chance.gauss(0, 0.5) for _ in range(count)]
        if name.endswith('embed_tokens.weight'):
            values, chance = embedding, random.Random(2)
        items.append((name, shape, values))
    args = {'layer_type': 'transformer', 'arch': 'transformer_lra', 'encoder_layers': 1,
            'encoder_attention_heads': 2, 'sen_rep_type': 'mp', 'classifier_layers': 1,
            'max_positions': 64, 'audio_mean': 0.0, 'audio_std': 1.0}
    checkpoint.main('xfm.pt', "{'model': {n: tensor('Float', s, bytearray(struct.pack("
                    f"f'<{{len(v)}}f', *v))) for n, s, v in {items!r}}}, 'args': {args!r}}}")
    return args


def frames():
    chance = random.Random(3)
    column = [chance.gauss(0, 1) for _ in range(8)]
    signal = [chance.gauss(0, 1) for _ in range(24)]
    args = transformer(0, column)
    convert('xfm.pt', args | {'input_type': 'audio'})
    expected = forward(signal[::2])
    # Frames have four samples and begin every two; all weights but those of the second are zero.
    args = transformer(4, [value if place == 1 else 0.0 for value in column for place in range(4)])
    print('transformer without frame_hop:', convert('xfm.pt', args))
    for wrong in (-2, 3, 6, 'two'):
        print(f'transformer, frame_hop {wrong!r}:', convert('xfm.pt', args | {'frame_hop': wrong}))
    convert('xfm.pt', args | {'frame_hop': 2})
    say('transformer, frames', forward(signal), expected)

    path = f'{FIXTURES}/s4_variants/24.ckpt'
    args = arguments(path)
    near = [0.0, *signal, 0.0]
    convert(path, args)
    expected = forward([near[i + k] for i in range(24) for k in range(3)], (24, 3))
    convert(path, args | {'frame_hop': 1, 'audio_mean': 0.0, 'audio_std': 1.0,
                          'dataset': {'_name_': 'sc', 'length': 24}})
    say('S4, frames', forward(signal), expected)


text_limit()
image_fit(sys.argv[2])
frames()
