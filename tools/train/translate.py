"""Train a translator on pairs of one's own.

Usage: train translate --pairs PAIRS.tsv --languages en fr --out FOLDER [--minutes 60]
PAIRS.tsv, which may be gzipped, has lines `source TAB target`. A hash of the text chooses a part of
them to hold out, which shows how good the translator is; --valid FILE.tsv names others instead.

Writes OUT/codes (BPE) and OUT/dict.txt, OUT/curve.svg, OUT/last.pt and OUT/preview.pt while it
runs, and OUT/final.pt and OUT/final.mega at the end. --resume goes on with a run that was ended.
"""

import collections
import hashlib
import pathlib
import sys

import inputs
import pairs as texts
import training
import translation

MOST_HELD_OUT = 1000


def split(pairs, part=50):
    """(training data, validation data): one of ``part`` pairs is held out, and at most 1,000 are.

    Pairs of one source text stay together.
    """
    def number(pair):
        return int.from_bytes(hashlib.sha256(pair[0].encode()).digest()[:8])

    held = [pair for pair in pairs if number(pair) % part == 0]
    held = sorted(held, key=number)[:MOST_HELD_OUT]
    return texts.clean(pairs, held, latin=False), texts.clean(held, [], latin=False)


def main(arguments=None):
    parser = training.common_options(__doc__.splitlines()[0], '--pairs',
                                     'file of lines source TAB target, maybe gzipped',
                                     prog='train translate')
    translation.add_options(parser)
    training.set_user_defaults(parser, minutes=60.0)
    parser.set_defaults(decay_part=0.5)
    parser.add_argument('--languages', nargs=2, default=texts.LANGUAGES, metavar='LANGUAGE',
                        help='codes of source and target, for the rules of Moses')
    parser.add_argument('--valid', type=pathlib.Path,
                        help='file of pairs for validation, instead of a part of the others')
    options = parser.parse_args(arguments)
    if options.batch < translation.LONGEST:
        parser.error(f'--batch is at least {translation.LONGEST}, the most tokens of a sentence, '
                     f'not {options.batch}')
    training.prepare(options)
    try:
        train_on(options)
    except (inputs.Problem, training.Mismatch, OSError) as error:
        sys.exit(f'train translate: {training.explain(error)}')


def train_on(options):
    train = texts.read_tsv(options.data)
    valid = texts.read_tsv(options.valid) if options.valid else None
    if valid is None:
        train, valid = split(train)
    else:
        valid = texts.clean(valid, [], latin=False)
        train = texts.clean(train, valid, latin=False)
    if not train or not valid:
        raise inputs.Problem(f'{options.data} has too few pairs: {len(train)} to train on and '
                             f'{len(valid)} held out; there must be some of each')
    tokens = texts.tokenise(train, options.languages)

    def learn():
        counts = collections.Counter(token for pair in tokens for side in pair for token in side)
        texts.Vocabulary.learn(counts, options.merges, options.out)

    vocabulary = translation.vocabulary(options, learn)
    corpus = texts.Corpus(tokens, [], 0.0, vocabulary, 0, names=0.0)
    checks = {'held-out': (texts.tokenise(valid, options.languages), valid)}
    translation.train(options, corpus, checks, options.languages)


if __name__ == '__main__':
    main()
