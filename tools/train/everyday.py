"""Train a translator of everyday sentences, English to German or, with --into en, the reverse.

Usage: everyday.py --data DATA --ding DE-EN --out FOLDER --minutes 240 --decay-minutes 60
DATA holds the folders `tatoeba` and `multi30k`; DE-EN is /usr/share/trans/de-en of Debian's package
trans-de-en, the dictionary Ding. everyday.tsv has greetings, signs and common words, which are too
rare in the other texts. --pairs FILE.tsv adds lines `english TAB german` of one's own.

Writes OUT/codes (BPE) and OUT/dict.txt, which serves both languages and both directions,
OUT/last.pt after some minutes, OUT/preview.pt at every validation, and at the end OUT/final.pt in
the format of the fairseq family and OUT/final.mega. Validation is on the validation parts of
Tatoeba and Multi30k; their test parts are only kept out of the training data.
"""

import collections
import pathlib
import pickle

import pairs as texts
import training
import translation


EVERYDAY = pathlib.Path(__file__).with_name('everyday.tsv')


def read_texts(options):
    """Training data and validation data, each as {name: pairs}."""
    tatoeba, captions = options.data / 'tatoeba', options.data / 'multi30k'
    valid = {'tatoeba': texts.read_tsv(tatoeba / 'valid.tsv.gz'),
             'captions': texts.read_lines(captions, 'val')}
    held_out = [*valid['tatoeba'], *texts.read_tsv(tatoeba / 'test.tsv.gz'),
                *valid['captions'], *texts.read_lines(captions, 'test_2016_flickr')]
    train = {'tatoeba': texts.clean(texts.read_tsv(tatoeba / 'train.tsv.gz'), held_out),
             'captions': texts.clean(texts.read_lines(captions, 'train'), held_out)}
    train['everyday'] = texts.clean(texts.read_tsv(EVERYDAY), held_out)
    if options.pairs:
        train['own'] = texts.clean(texts.read_tsv(options.pairs), held_out)
    if options.ding:
        # Alternatives in the target language are not translations to be learnt.
        unusable = texts.LANGUAGES[options.source ^ 1]
        forms = texts.clean([(en, de) for en, de, side in texts.read_ding(options.ding)
                             if side != unusable], held_out, texts.SENTENCE_WORDS)
        whole = [min(len(en.split()), len(de.split())) >= texts.SENTENCE_WORDS for en, de in forms]
        train['phrases'] = [pair for pair, long in zip(forms, whole) if long]
        train['words'] = [pair for pair, long in zip(forms, whole) if not long]
    return train, valid


# How often the words of a text count when BPE is learnt; sentences count more than the dictionary.
BPE_COUNTS = collections.defaultdict(lambda: 2, tatoeba=3, words=1)


def load(options):
    """Tokens of all texts, and the vocabulary; both are made once and kept in OUT."""
    cache = options.out / f'tokens.{texts.LANGUAGES[options.source]}.pkl'
    if not cache.exists():
        train, valid = read_texts(options)
        tokens = {name: texts.tokenise(pairs) for name, pairs in train.items()}
        checks = {name: (texts.tokenise(pairs), pairs) for name, pairs in valid.items()}
        with open(cache, 'wb') as file:
            pickle.dump((tokens, checks), file)
    with open(cache, 'rb') as file:
        tokens, checks = pickle.load(file)

    def learn():
        counts = collections.Counter()
        for name, pairs in tokens.items():
            for pair in pairs:
                for token in (*pair[0], *pair[1]):
                    counts[token] += BPE_COUNTS[name]
        texts.Vocabulary.learn(counts, options.merges, options.out)

    return tokens, checks, translation.vocabulary(options, learn)


def main():
    parser = training.common_options(__doc__.splitlines()[0])
    translation.add_options(parser)
    parser.add_argument('--into', choices=texts.LANGUAGES, default='de', help='the target language')
    parser.add_argument('--ding', type=pathlib.Path, help='the dictionary file de-en')
    parser.add_argument('--pairs', type=pathlib.Path, help='more pairs, as english TAB german')
    parser.add_argument('--everyday-times', type=training.positive(int), default=20,
                        help='how often an epoch has each line of everyday.tsv')
    parser.add_argument('--words-part', type=float, default=0.25,
                        help='part of the dictionary\'s words and short forms that an epoch has')
    options = parser.parse_args()
    options.source = 0 if options.into == 'de' else 1
    training.prepare(options)
    tokens, checks, vocabulary = load(options)
    words = tokens.pop('words', [])
    tokens['everyday'] *= options.everyday_times
    corpus = texts.Corpus(sum(tokens.values(), []), words, options.words_part, vocabulary,
                          options.source)
    languages = [texts.LANGUAGES[side] for side in (options.source, 1 - options.source)]
    translation.train(options, corpus, checks, languages)


if __name__ == '__main__':
    main()
