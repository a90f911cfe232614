"""Compares our byte-level BPE with the `tokenizers` package (0.19.1), ids, places and decoded texts.

Usage: hf_tokenizer.py BUILD FOLDER files FILE[.gz] ...   each line of the files is a text
       hf_tokenizer.py BUILD FOLDER random [COUNT [SEED]]  COUNT (100000) random strings of any Unicode
       hf_tokenizer.py BUILD FOLDER variants [SEED]        random strings, random kinds of tokenizer
BUILD has mega-convert and oracles/token_lines (`make build/oracles/token_lines`); FOLDER has a
tokenizer.json, such as tests/fixtures/hf_tokenizer. Prints how many texts are equal, and the shortest
differences; exits with 1 if there is any.

The variants leave out cases in which the reference fails:
- lstrip and rstrip of tokens that consist of white space. If the token before has taken that white
  space, the reference panics on lstrip, and with rstrip takes quadratic time and longer places.
"""

import gzip
import json
import pathlib
import random
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer

SPECIALS = ['<s>', '</s>', '<mask>', '<pad>', '<unk>', ' <mask>', '<mask> ', '  <mask>\n', '<S>', '<s', 's>']
PIECES = list("aAbzZ019.,'\"!?-_ ") + 10 * [' '] + ['  ', '   ', '\n', '\n\n', '\r\n', '\t', "'s", "'t", "'re",
    "'ve", "'m", "'ll", "'d", "'S", " 's", 'é', 'ß', '½', '²', 'Ⅳ', '中', '한', 'ع', 'न', '्', 'ि', '😀',
    '\u200d', '\ufe0f', '\u00a0', '\u2009', '\u3000', '\x1c', '\x85', '\u180e', '\u200b', '\ufeff', '\u0301',
    '\u2028', '\ufffd', '\x00', '\x7f', '\u0120', '\u010a', '\U00031350', '\u1c89', '\U00010d40',
    'king', 'the', ' the', 'ROMEO:', 'Hello', 'world', '3.14', 'x1y2', 'e\u0301']


def character(draw):
    """Any code point but a surrogate; those of the first planes come more often."""
    while True:
        code = draw.randrange(draw.choice([0x80, 0x250, 0x3000, 0x10000, 0x33500, 0x110000]))
        if not 0xd800 <= code < 0xe000:
            return chr(code)


def random_text(draw, specials=SPECIALS):
    kinds = [lambda: draw.choice(PIECES), lambda: character(draw), lambda: draw.choice(specials)]
    weights = draw.choice([(8, 1, 1), (1, 8, 1), (4, 0, 4), (3, 3, 1)])
    return ''.join(kind() for kind in draw.choices(kinds, weights, k=draw.randrange(1, 24)))


def convert(build, folder, output):
    subprocess.run([build / 'mega-convert', '--force', '--quiet', '--tokenizer-only', folder, '-o', output],
                   check=True)


def ours(build, tokenizer, texts):
    done = subprocess.run([build / 'oracles/token_lines', tokenizer], stdout=subprocess.PIPE, check=True,
                          input=''.join(json.dumps(text) + '\n' for text in texts).encode())
    for line in done.stdout.decode().split('\n')[:-1]:
        tokens, decoded = line.split('\t')
        numbers = [int(number) for number in tokens.split()]
        yield numbers[::3], list(zip(numbers[1::3], numbers[2::3])), json.loads(decoded)


def compare(name, build, folder, reference, texts):
    with tempfile.TemporaryDirectory() as scratch:
        output = pathlib.Path(scratch) / 'tokenizer.mega'
        convert(build, folder, output)
        wrong = []
        for text, got in zip(texts, ours(build, output, texts), strict=True):
            encoding = reference.encode(text)
            expected = encoding.ids, encoding.offsets, reference.decode(encoding.ids)
            if expected != got:
                wrong.append((text, expected, got))
    print(f'{name}: {len(texts) - len(wrong)} of {len(texts)} texts equal')
    for case in sorted(wrong, key=lambda case: len(case[0]))[:3]:
        print('  text %r\n  expected %r\n  got      %r' % case)
    return not wrong


def plain(folder, scratch, changes=None):
    """A folder that has only tokenizer.json, and the reference for it."""
    value = json.loads((folder / 'tokenizer.json').read_text(encoding='utf-8'))
    value.update(changes or {})
    text = json.dumps(value)
    (scratch / 'tokenizer.json').write_text(text, encoding='utf-8')
    (scratch / 'tokenizer_config.json').write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}',
                                                   encoding='utf-8')
    return Tokenizer.from_str(text)


def lines_of(path):
    opened = gzip.open if path.endswith('.gz') else open
    with opened(path, 'rt', encoding='utf-8', newline='\n') as file:
        return [line.rstrip('\n') for line in file]


def variant(draw, folder):
    """Changes to tokenizer.json: added tokens with any flags, a vocabulary that lacks bytes,
    blanks, post-processors."""
    value = json.loads((folder / 'tokenizer.json').read_text(encoding='utf-8'))
    model, added = value['model'], value['added_tokens']
    contents = draw.sample(['king', 'the', ' the', 'é', '中文', 'a b', 'Ġx', '<x>', 'x', 'ing', '😀', "'s"], k=4)
    for i, content in enumerate(contents):
        flags = {key: draw.random() < 0.4 for key in ('single_word', 'lstrip', 'rstrip', 'normalized',
                                                      'special')}
        added.append({'id': len(model['vocab']) + i, 'content': content, **flags})
    if draw.random() < 0.5:
        contents.append(draw.choice(['  ', '\n', ' \n']))
        added.append({'id': len(model['vocab']) + 4, 'content': contents[-1], 'single_word': False,
                      'lstrip': False, 'rstrip': False, 'normalized': draw.random() < 0.4,
                      'special': draw.random() < 0.4})
    if draw.random() < 0.5:
        model['unk_token'] = draw.choice([None, '<unk>'])
        model['fuse_unk'] = draw.random() < 0.5
        for lost in draw.sample(['a', 'Ã', 'Ġ', '©', '!', 'Ċ', 'ð'], k=3):
            model['vocab'] = {token: i for i, token in enumerate(
                token for token in sorted(model['vocab'], key=model['vocab'].get)
                if lost not in token or token.startswith('<'))}
            model['merges'] = [merge for merge in model['merges'] if lost not in merge]
        for token in added:
            token['id'] = model['vocab'].get(token['content'], token['id'])
    blank, trim = draw.random() < 0.5, draw.random() < 0.8
    value['pre_tokenizer']['add_prefix_space'] = blank
    cls, sep = model['vocab']['<s>'], model['vocab']['</s>']
    value['post_processor'] = draw.choice([
        {'type': 'RobertaProcessing', 'sep': ['</s>', sep], 'cls': ['<s>', cls], 'trim_offsets': trim,
         'add_prefix_space': draw.random() < 0.5},
        {'type': 'ByteLevel', 'add_prefix_space': blank, 'trim_offsets': trim, 'use_regex': True},
        None])
    return value, SPECIALS + contents + [' ' + content for content in contents]


def main(build, folder, kind, *arguments):
    build, folder = pathlib.Path(build).resolve(), pathlib.Path(folder)
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        if kind == 'files':
            reference = plain(folder, scratch)
            for path in arguments:
                good &= compare(path, build, scratch, reference, lines_of(path))
        elif kind == 'random':
            draw = random.Random(int((arguments + ('100000', '1'))[1]) if len(arguments) > 1 else 1)
            texts = [random_text(draw) for _ in range(int(arguments[0]) if arguments else 100000)]
            good &= compare('random', build, scratch, plain(folder, scratch), texts)
        else:
            seed = int(arguments[0]) if arguments else 1
            for number in range(seed, seed + 40):
                draw = random.Random(number)
                value, specials = variant(draw, folder)
                reference = plain(folder, scratch, value)
                texts = [random_text(draw, specials) for _ in range(500)]
                good &= compare(f'variant {number}', build, scratch, reference, texts)
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
