"""Train a translator of everyday sentences, English to German or, with --into en, back.

Usage: everyday.py --data DATA --ding DE-EN --out FOLDER --minutes 240 --decay-minutes 60
DATA holds the folders `tatoeba` and `multi30k`; DE-EN is /usr/share/trans/de-en of Debian's package
trans-de-en, the dictionary Ding. --pairs FILE.tsv adds lines `english TAB german` of one's own.

Writes OUT/codes (BPE) and OUT/dict.txt, which serves both languages and both directions,
OUT/last.pt after some minutes, OUT/preview.pt at every validation, and OUT/final.pt in the format
of the fairseq family. The validation parts of Tatoeba and Multi30k choose; their test parts are
only kept out of the training data.
"""

import argparse
import collections
import pathlib
import pickle

import sacrebleu
from sacremoses import MosesDetokenizer
import torch

from flat import FlatTranslator, Shape
from multi30k import greedy, model_args
import pairs as texts
from sequence import TranslationModel
import training


def read_texts(options):
    """{name: pairs} of the training data, and of the validation data."""
    tatoeba, captions = options.data / 'tatoeba', options.data / 'multi30k'
    valid = {'tatoeba': texts.read_tsv(tatoeba / 'valid.tsv.gz'),
             'captions': texts.read_lines(captions, 'val')}
    held_out = [*valid['tatoeba'], *texts.read_tsv(tatoeba / 'test.tsv.gz'),
                *valid['captions'], *texts.read_lines(captions, 'test_2016_flickr')]
    train = {'tatoeba': texts.clean(texts.read_tsv(tatoeba / 'train.tsv.gz'), held_out),
             'captions': texts.clean(texts.read_lines(captions, 'train'), held_out)}
    if options.pairs:
        train['own'] = texts.clean(texts.read_tsv(options.pairs), held_out)
    if options.ding:
        unusable = texts.LANGUAGES[options.source ^ 1]  # alternatives that would be the target
        forms = texts.clean([(en, de) for en, de, side in texts.read_ding(options.ding)
                             if side != unusable], held_out, texts.SENTENCE_WORDS)
        whole = [min(len(en.split()), len(de.split())) >= texts.SENTENCE_WORDS for en, de in forms]
        train['phrases'] = [pair for pair, long in zip(forms, whole) if long]
        train['words'] = [pair for pair, long in zip(forms, whole) if not long]
    return train, valid


# How often the words of a text count when BPE is learnt: sentences more than the dictionary.
BPE_COUNTS = collections.defaultdict(lambda: 2, tatoeba=3, words=1)


def load(options):
    """Tokens of all texts, and the vocabulary; both are made once and kept in OUT."""
    cache = options.out / f'tokens.{texts.LANGUAGES[options.source]}.pkl'
    if not cache.exists():
        train, valid = read_texts(options)
        tokens = {name: texts.tokenise(pairs) for name, pairs in (train | valid).items()
                  if name not in valid}
        checks = {name: (texts.tokenise(pairs), pairs) for name, pairs in valid.items()}
        with open(cache, 'wb') as file:
            pickle.dump((tokens, checks), file)
    with open(cache, 'rb') as file:
        tokens, checks = pickle.load(file)
    if not (options.out / 'dict.txt').exists():
        counts = collections.Counter()
        for name, pairs in tokens.items():
            for pair in pairs:
                for token in (*pair[0], *pair[1]):
                    counts[token] += BPE_COUNTS[name]
        texts.Vocabulary.learn(counts, options.merges, options.out)
    return tokens, checks, texts.Vocabulary(options.out)


def bleu(model, corpus, tokens, references):
    """sacreBLEU of greedy translations, detokenised."""
    language = texts.LANGUAGES[1 - corpus.source]
    detokenise = MosesDetokenizer(language).detokenize
    sources = [torch.tensor(corpus.encode(pair)[0]) for pair in tokens]
    lines = [detokenise(corpus.vocabulary.decode(ids).split()) for ids in greedy(model, sources)]
    return sacrebleu.corpus_bleu(lines, [[pair[1 - corpus.source] for pair in references]]).score


def add_options(parser):
    parser.set_defaults(decay_part=0.0, average=0.998, batch=2048, warmup=100, valid_minutes=10.0)
    parser.add_argument('--into', choices=texts.LANGUAGES, default='de', help='the target language')
    parser.add_argument('--ding', type=pathlib.Path, help='the dictionary file de-en')
    parser.add_argument('--pairs', type=pathlib.Path, help='more pairs, as english TAB german')
    parser.add_argument('--merges', type=int, default=8000)
    parser.add_argument('--words-part', type=float, default=0.25,
                        help='of the dictionary\'s words and short forms in every epoch')
    parser.add_argument('--dim', type=int, default=256)
    parser.add_argument('--hidden', type=int, default=512)
    parser.add_argument('--ffn', type=int, default=512)
    parser.add_argument('--z-dim', type=int, default=64)
    parser.add_argument('--n-dim', type=int, default=16)
    parser.add_argument('--layers', type=int, default=6, help='of the encoder')
    parser.add_argument('--decoder-layers', type=int, default=3)
    parser.add_argument('--positions', type=int, default=256)
    parser.add_argument('--dropout', type=float, default=0.1)
    parser.add_argument('--bleu', type=int, default=200, help='validation sentences to translate')


def checkpoint_args(options):
    """The checkpoint's options, under the original's names."""
    args = model_args(options)
    args.decoder_layers = options.decoder_layers
    args.source_lang, args.target_lang = (texts.LANGUAGES[side]
                                          for side in (options.source, 1 - options.source))
    return args


def main():
    parser = training.common_options(__doc__.splitlines()[0])
    add_options(parser)
    options = parser.parse_args()
    options.source = 0 if options.into == 'de' else 1
    training.prepare(options)
    tokens, checks, vocabulary = load(options)
    words = tokens.pop('words', [])
    corpus = texts.Corpus(sum(tokens.values(), []), words, options.words_part, vocabulary,
                          options.source)
    args = checkpoint_args(options)
    model = TranslationModel(args, len(vocabulary.symbols))
    shape = Shape.of(options.batch)
    compiled = not options.no_compile
    flat = FlatTranslator(model, shape, options.dropout, compiled=compiled)
    print(f'{sum(p.numel() for p in model.parameters())} parameters, '
          f'{len(vocabulary.symbols)} symbols, {len(corpus)} pairs an epoch, products in '
          f'{flat.kind}', flush=True)

    def epoch_batches(epoch):
        for group in shape.group(corpus.epoch(options.seed * 100000 + epoch)):
            yield lambda group=group: shape.lay(group)

    def validate(average):
        evaluated = FlatTranslator(average, shape, 0.0, compiled=compiled)
        figures = []
        for name, (pairs, references) in checks.items():
            loss = evaluated.mean_loss(map(corpus.encode, pairs))
            score = bleu(average, corpus, pairs[:options.bleu], references[:options.bleu])
            figures.append(f'{name} {loss:.4f} nats {score:.2f} BLEU')
        return ', '.join(figures)

    def export(average, path):
        training.save_atomically({'model': average.state_dict(), 'args': args}, path)

    export.suffix = '.pt'
    steps = len(corpus) * 12 // options.batch  # about 12 tokens a side and pair
    average, epochs = training.fit(model, options, epoch_batches, steps, validate, export,
                                   loss=lambda batch: flat.loss(batch, options.smoothing))
    export(average, options.out / 'final.pt')
    print(f'{validate(average)} after {epochs:.1f} epochs', flush=True)


if __name__ == '__main__':
    main()
