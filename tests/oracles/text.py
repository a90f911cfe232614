"""Compares our Moses rules and BPE with sacremoses 0.2 and subword-nmt, line by line.

Usage: text.py TEXT_LINES CODES FILE[.gz] ...     (files named *.en* and *.de* by language)
TEXT_LINES is tests/oracles/text_lines.c, built by `make build/oracles/text_lines`.
Prints how many lines are equal at each step, and the first differences.
"""

import gzip
import subprocess
import sys

from sacremoses import MosesDetokenizer, MosesPunctNormalizer, MosesTokenizer
from subword_nmt.apply_bpe import BPE


def ours(program, step, argument, lines):
    data = ('\n'.join(lines) + '\n').encode()
    done = subprocess.run([program, step, argument], input=data, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().split('\n')[:-1]


def main():
    program, codes, *paths = sys.argv[1:]
    with open(codes, encoding='utf-8') as file:
        bpe = BPE(file)
    for path in paths:
        language = 'de' if '.de' in path else 'en'
        opener = gzip.open if path.endswith('.gz') else open
        with opener(path, 'rb') as file:
            raw = file.read().decode('utf-8', 'replace').replace('\0', '\ufffd')
        lines = raw.split('\n')[:-1]
        normalised = list(map(MosesPunctNormalizer(language).normalize, lines))
        tokenise = MosesTokenizer(language).tokenize
        tokens = [tokenise(line, escape=False, return_str=True) for line in normalised]
        detokenise = MosesDetokenizer(language).detokenize
        steps = {
            'normalize': (language, lines, normalised),
            'tokenize': (language, normalised, [' '.join(line.split()) for line in tokens]),
            'detokenize': (language, tokens, [detokenise(line.split()) for line in tokens]),
            'bpe': (codes, tokens, [' '.join(bpe.process_line(line).split()) for line in tokens]),
        }
        for step, (argument, inputs, expected) in steps.items():
            got = ours(program, step, argument, [line.replace('\n', ' ') for line in inputs])
            wrong = [(i, e, g) for i, e, g in zip(inputs, expected, got) if e != g]
            print(f'{path} {step}: {len(expected) - len(wrong)} of {len(expected)} lines equal')
            for line in wrong[:3]:
                print('  input %r\n  expected %r\n  got %r' % line)


if __name__ == '__main__':
    main()
