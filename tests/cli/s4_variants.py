#!/usr/bin/python3
"""Converts and runs the models of tests/fixtures/s4_variants: s4_variants.py FOLDER

Compares their logits with those of tests/oracles/s4.py: of whole inputs, at rate 2 and, where the
model does not look ahead, in pieces. Prints a line for each model.
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import npy


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else None


def compare(what, inputs, expected, *options):
    failed = run('mega-run', 'forward', '-m', 'model.mega', '-o', 'out.npy', *inputs, *options)
    if failed:
        return f'{what}: {failed}'
    got = npy.read('out.npy')[1]
    error = max(abs(a - b) for a, b in zip(got, expected))
    good = error <= 1e-4 * max(1, *map(abs, expected)) and len(got) == len(expected)
    return None if good else f'{what}: off by {error:.2g}'


def check(folder, number, model):
    with open('config.json', 'w', encoding='utf-8') as file:
        json.dump(model['config'], file)
    failed = run('mega-convert', '-q', '--force', '--config', 'config.json', '-o', 'model.mega',
                 os.path.join(folder, f'{number}.ckpt'))
    for case in model['cases']:
        inputs = []
        for i, (values, shape) in enumerate(zip(case['inputs'], case['shapes'])):
            npy.write(f'{i}.npy', values, shape)
            inputs += ['--in', f'{i}.npy']
        length = case['shapes'][0][0]
        failed = (failed or compare(f'length {length}', inputs, case['logits']) or
                  compare(f'length {length}, rate 2', inputs, case['half'], '--rate', '2') or
                  case['pieces'] and compare(f'length {length}, in pieces', inputs,
                                             case['logits'], '--pieces', '4'))
    return failed


def main(folder):
    with open(os.path.join(folder, 'cases.json'), encoding='utf-8') as file:
        models = json.load(file)
    for number, model in enumerate(models):
        print(f"{model['name']}: {check(folder, number, model) or 'equal'}")


if __name__ == '__main__':
    main(sys.argv[1])
