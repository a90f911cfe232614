"""Compares our Moses rules and BPE with sacremoses 0.2 and subword-nmt 0.3.8, line by line.

Usage: text.py files TEXT_LINES CODES FILE[.gz] ...   files named *.en* and *.de* by language
       text.py random TEXT_LINES [SEED]               random lines and random merges
       text.py goldens                                writes the expected files of tests/data
TEXT_LINES is tests/oracles/text_lines.c, built by `make build/oracles/text_lines`.
Prints how many lines are equal at each step, and the shortest differences.

Some random lines differ:
- sacremoses counts some signs of Indic scripts above U+FFFF among the letters; here they are tokens
  of their own.
- With merges of version 0.1 and a vocabulary, subword-nmt cuts a last piece that was merged with the
  end of its word, and writes an empty last piece ("a@@ "), which joins two words when it is decoded.
  Here the piece stays whole.
"""

import collections
import contextlib
import gzip
import io
import random
import subprocess
import sys
import tempfile

from sacremoses import MosesDetokenizer, MosesPunctNormalizer, MosesTokenizer
from subword_nmt.apply_bpe import BPE, read_vocabulary
from subword_nmt.learn_bpe import learn_bpe

NASTY = list("aAbzZsS019..,,'''\"\"!?;:()[]{}<>-–—…«»„“”‘’‚`´%$€£₿¿¡/\\|&#*+=~^_@ ") + 12 * [' '] + [
    '\u00a0', '\u2009', '\u3000', '\t', '\x1c', '\x85', '\u180e', '\u200b', '\u00ad', '\u0301', 'é', 'ß',
    'ﬁ', '½', '²', 'Ⅳ', '中', '한', 'カ', 'ع', 'न', '्', 'ि', '😀', '\u200d', '🇩', '\ufe0f', 'º', 'nº\u00a0',
    'Mr.', 'Dr.', 'No.', 'z.B.', 'e.g.', 'U.S.', '3.', 'DOTMULTI', 'DOTDOTMULTI', '@-@', '&quot;', '&apos;',
    '&amp;', "don't", 'word', 'Wort', 'http://', "s'", '\u2028', '\ufffd', 'ǅ', 'İ', '٣', '𝟗', '𝐀', '〆', '֊']


def steps(language):
    """(name, function) of each step of sacremoses; each takes the result of the one before."""
    tokenise = MosesTokenizer(language).tokenize
    detokenise = MosesDetokenizer(language).detokenize
    return [('normalize', MosesPunctNormalizer(language).normalize),
            # sacremoses leaves a blank at the end of some lines.
            ('tokenize', lambda line: ' '.join(tokenise(line, escape=False))),
            ('detokenize', lambda line: detokenise(line.split()))]


def compare(name, program, arguments, inputs, expected):
    data = ('\n'.join(inputs) + '\n').encode()
    done = subprocess.run([program, *arguments], input=data, stdout=subprocess.PIPE, check=True)
    got = done.stdout.decode().split('\n')[:-1]
    wrong = [(i, e, g) for i, e, g in zip(inputs, expected, got, strict=True) if e != g]
    print(f'{name}: {len(expected) - len(wrong)} of {len(expected)} lines equal')
    for line in sorted(wrong, key=lambda line: len(line[0]))[:3]:
        print('  input %r\n  expected %r\n  got %r' % line)


def files(program, codes, *paths):
    with open(codes, encoding='utf-8') as file:
        bpe = BPE(file)
    for path in paths:
        language = 'de' if '.de' in path else 'en'
        opener = gzip.open if path.endswith('.gz') else open
        with opener(path, 'rb') as file:
            raw = file.read().decode('utf-8', 'replace').replace('\0', '\ufffd')
        lines = raw.split('\n')[:-1]
        for step, function in steps(language):
            expected = list(map(function, lines))
            compare(f'{path} {step}', program, (step, language), lines, expected)
            tokens, lines = lines, expected
        segments = [' '.join(bpe.process_line(line).split()) for line in tokens]
        compare(f'{path} bpe', program, ('bpe', codes), tokens, segments)


def nasty_line(rng):
    return ''.join(rng.choice(NASTY) for _ in range(rng.randint(1, 40)))


def unicode_line(rng):
    planes = [(1, 0x7f), (0x80, 0x2ff), (0x300, 0xd7ff), (0xe000, 0xffff), (0x10000, 0x1ffff)]
    text = ''.join(chr(rng.randint(*rng.choice(planes))) for _ in range(rng.randint(1, 30)))
    return (' ' if rng.random() < .3 else '').join(text).replace('\n', ' ')


def random_merges(rng, alphabet, old):
    """The lines of a file of merges of version 0.2, or 0.1 if `old`."""
    corpus = [' '.join(random_word(rng, alphabet, 8) for _ in range(8)) for _ in range(60)]
    codes = io.StringIO()
    with contextlib.redirect_stderr(io.StringIO()):
        learn_bpe(io.StringIO('\n'.join(corpus) + '\n'), codes, rng.randint(3, 60), min_frequency=1)
    merges = codes.getvalue().split('\n')[1:-1]
    if rng.random() < .2:
        rng.shuffle(merges)
    if old:
        merges = [merge[:-4] + (' </w>' if merge.endswith(' </w>') else '') if merge.endswith('</w>')
                  else merge for merge in merges]
        merges += [f'{rng.choice(alphabet)}{rng.choice(alphabet)} </w>' for _ in range(3)]
    return corpus, '\n'.join([f'#version: 0.{1 if old else 2}', *merges]) + '\n'


def random_word(rng, alphabet, longest):
    return ''.join(rng.choice(alphabet) for _ in range(rng.randint(1, longest)))


def random_bpe(program, rng):
    alphabet = rng.choice(['ab', 'abc', 'abcdeé', 'aä中😀b', 'abcdefghij'])
    corpus, codes = random_merges(rng, alphabet, rng.random() < .3)
    lines = [' '.join(random_word(rng, alphabet, longest) for longest in (3, 3, 12, 12, 40))
             for _ in range(50)]
    options, vocabulary = ['-', '0'], None
    glossaries = [random_word(rng, alphabet, 3) for _ in range(rng.randint(0, 2))]
    with tempfile.NamedTemporaryFile('w') as file, tempfile.NamedTemporaryFile('w') as counts:
        print(codes, end='', file=file, flush=True)
        if rng.random() < .5:
            plain = BPE(io.StringIO(codes))
            pieces = collections.Counter(' '.join(map(plain.process_line, corpus)).split())
            text = ''.join(f'{piece} {count}\n' for piece, count in pieces.items())
            print(text, end='', file=counts, flush=True)
            options = [counts.name, str(rng.choice([1, 2, 5, 20]))]
            vocabulary = read_vocabulary(io.StringIO(text), int(options[1]))
        bpe = BPE(io.StringIO(codes), vocab=vocabulary, glossaries=glossaries)
        kind = f'{codes.split()[1]}, vocabulary {options[1]}, {len(glossaries)} glossaries'
        compare(f'bpe {kind}', program, ('bpe', file.name, *options, *glossaries), lines,
                list(map(bpe.process_line, lines)))


def random_lines(program, seed='0'):
    rng = random.Random(int(seed))
    for kind in (nasty_line, unicode_line):
        lines = [kind(rng) for _ in range(20000)]
        for language in ('en', 'de', 'xx'):
            for step, function in steps(language):
                compare(f'{kind.__name__} {language} {step}', program, (step, language), lines,
                        list(map(function, lines)))
    for _ in range(100):
        random_bpe(program, rng)


def goldens(folder='tests/data'):
    def read(name):
        with open(f'{folder}/{name}', encoding='utf-8', newline='\n') as file:
            return file.read().split('\n')[:-1]

    def write(name, lines):
        with open(f'{folder}/{name}', 'w', encoding='utf-8', newline='\n') as file:
            file.writelines(line + '\n' for line in lines)

    for language in ('en', 'de'):
        lines = read('moses/raw.txt')
        for (_, function), name in zip(steps(language), ('normal', 'tokens', 'joined')):
            lines = list(map(function, lines))
            write(f'moses/{name}.{language}.txt', lines)
    vocabulary = read_vocabulary(read('bpe/vocabulary'), 2)
    for name, codes, options in [
            ('plain', 'codes', {}), ('old', 'codes.old', {}),
            ('threshold', 'codes', {'vocab': vocabulary}),
            ('threshold.old', 'codes.old', {'vocab': vocabulary}),
            ('glossary', 'codes', {'glossaries': ['low', 'wid[a-z]*']}),
            ('both', 'codes', {'vocab': vocabulary, 'glossaries': ['lowe', 'we?']})]:
        bpe = BPE(io.StringIO('\n'.join(read(f'bpe/{codes}')) + '\n'), **options)
        write(f'bpe/{name}.txt', map(bpe.process_line, read('bpe/words.txt')))


if __name__ == '__main__':
    {'files': files, 'random': random_lines, 'goldens': goldens}[sys.argv[1]](*sys.argv[2:])
