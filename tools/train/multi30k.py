"""Train the translator of image captions, English to German.

Usage: multi30k.py --data MULTI30K_FOLDER --out FOLDER --minutes 90
Writes OUT/codes (BPE), OUT/dict.en.txt and OUT/dict.de.txt, and OUT/final.pt (and OUT/preview.pt
after every epoch) in the format of the fairseq family. val chooses; test_2016_flickr only measures.
"""

import argparse
import collections
import contextlib
import gzip
import io

import sacrebleu
from sacremoses import MosesDetokenizer, MosesPunctNormalizer, MosesTokenizer
from subword_nmt.apply_bpe import BPE
from subword_nmt.learn_bpe import learn_bpe
import torch
from torch.nn import functional as F

from sequence import EOS, PAD, UNK, TranslationModel
import training

BUCKETS = (14, 18, 24, 44)  # lengths to which both sides of a batch are padded


def read(folder, part, language):
    """Moses tokens of a file's lines, and the lines."""
    with gzip.open(folder / f'{part}.{language}.gz', 'rt', encoding='utf-8', newline='\n') as file:
        lines = file.read().rstrip('\n').split('\n')
    normalise = MosesPunctNormalizer(language).normalize
    tokenise = MosesTokenizer(language).tokenize
    return [tokenise(normalise(line), escape=False, return_str=True) for line in lines], lines


def learn(tokenised, merges, folder):
    """Joint BPE and the joint dictionary of both languages; return (segmenter, {symbol: id})."""
    codes = folder / 'codes'
    with open(codes, 'w', encoding='utf-8') as file:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            learn_bpe(io.StringIO('\n'.join(tokenised) + '\n'), file, merges)
    with open(codes, encoding='utf-8') as file:
        bpe = BPE(file)
    counts = collections.Counter()
    for line in tokenised:
        counts.update(bpe.process_line(line).split())
    lines = [f'{symbol} {count}' for symbol, count in counts.most_common()]
    lines += [f'madeupword{i:04d} 0' for i in range(-(len(lines) + 4) % 8)]
    for language in ('en', 'de'):
        (folder / f'dict.{language}.txt').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    symbols = ['<s>', '<pad>', '</s>', '<unk>'] + [line.rsplit(' ', 1)[0] for line in lines]
    return bpe, symbols


def model_args(options):
    """The checkpoint's options, under the original's names."""
    sizes = {}
    for side in ('encoder', 'decoder'):
        sizes |= {f'{side}_layers': options.layers, f'{side}_embed_dim': options.dim,
                  f'{side}_hidden_dim': options.hidden, f'{side}_ffn_embed_dim': options.ffn,
                  f'{side}_z_dim': options.z_dim, f'{side}_n_dim': options.n_dim,
                  f'{side}_chunk_size': -1}
    return argparse.Namespace(
        arch='mega_wmt_en_de', task='translation', source_lang='en', target_lang='de',
        activation_fn='silu', attention_activation_fn='softmax', decoder_input_dim=options.dim,
        truncation_length=options.positions, rel_pos_bias='simple',
        normalization_type='layernorm', normalize_before=True, normalize_embedding=False,
        no_affine_final_norm=False, no_scale_embedding=False, share_all_embeddings=True,
        share_decoder_input_output_embed=True, adaptive_input=False, adaptive_softmax_cutoff=None,
        tie_adaptive_weights=False, dropout=options.dropout,
        max_source_positions=options.positions, max_target_positions=options.positions, **sizes)


@torch.no_grad()
def greedy(model, sources, limit=60):
    """Best tokens one by one, for a few sentences at a time, without any cache."""
    model.eval()
    results = [None] * len(sources)
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    for group in (order[i:i + 64] for i in range(0, len(order), 64)):
        source = torch.nn.utils.rnn.pad_sequence([sources[i] for i in group], True, PAD)
        mask = (source != PAD).float().unsqueeze(-1)
        encoded = model.encoder(source, mask)
        tokens = torch.full((len(group), 1), EOS)
        done = torch.zeros(len(group), dtype=torch.bool)
        while tokens.size(1) < min(limit, source.size(1) * 2 + 10) and not done.all():
            best = model.decoder(tokens, encoded, mask)[:, -1].argmax(-1)
            best[done] = EOS
            done |= best == EOS
            tokens = torch.cat([tokens, best.unsqueeze(1)], dim=1)
        for row, i in enumerate(group):
            ids = tokens[row, 1:].tolist()
            results[i] = ids[:ids.index(EOS)] if EOS in ids else ids
    return results


def bleu(model, sources, symbols, references):
    """sacreBLEU of greedy translations, detokenised."""
    detokenise = MosesDetokenizer('de').detokenize
    lines = [' '.join(symbols[i] for i in ids).replace('@@ ', '') for ids in greedy(model, sources)]
    return sacrebleu.corpus_bleu([detokenise(line.split()) for line in lines], [references]).score


def main():
    parser = training.common_options(__doc__.splitlines()[0])
    parser.set_defaults(decay_part=0.6, average=0.995, batch=2600)
    parser.add_argument('--merges', type=int, default=5000)
    parser.add_argument('--dim', type=int, default=192)
    parser.add_argument('--hidden', type=int, default=384)
    parser.add_argument('--ffn', type=int, default=384)
    parser.add_argument('--z-dim', type=int, default=64)
    parser.add_argument('--n-dim', type=int, default=16)
    parser.add_argument('--layers', type=int, default=3)
    parser.add_argument('--positions', type=int, default=256)
    parser.add_argument('--dropout', type=float, default=0.2)
    options = parser.parse_args()
    training.prepare(options)
    texts = {(part, language): read(options.data, part, language)
             for part in ('train', 'val', 'test_2016_flickr') for language in ('en', 'de')}
    bpe, symbols = learn(texts['train', 'en'][0] + texts['train', 'de'][0], options.merges,
                         options.out)
    number = {symbol: i for i, symbol in enumerate(symbols)}

    def encode(part, language):
        return [torch.tensor([number.get(s, UNK) for s in bpe.process_line(line).split()] + [EOS])
                for line in texts[part, language][0]]

    pairs = list(zip(encode('train', 'en'), encode('train', 'de')))
    buckets = [[] for _ in BUCKETS]
    for source, target in pairs:
        length = max(len(source), len(target))
        if length <= BUCKETS[-1]:
            buckets[next(i for i, size in enumerate(BUCKETS) if length <= size)].append(
                (source, target))
    counts = [options.batch // size for size in BUCKETS]
    steps = sum(len(bucket) // count for bucket, count in zip(buckets, counts))
    args = model_args(options)
    model = TranslationModel(args, len(symbols))
    print(f'{sum(p.numel() for p in model.parameters())} parameters, {len(symbols)} symbols, '
          f'buckets {[len(b) for b in buckets]}, {steps} steps', flush=True)

    def padded(sequences, size):
        return torch.stack([F.pad(s, (0, size - len(s)), value=PAD) for s in sequences])

    def epoch_batches(epoch):
        generator = torch.Generator().manual_seed(options.seed * 100000 + epoch)
        batches = []
        for bucket, size, count in zip(buckets, BUCKETS, counts):
            order = torch.randperm(len(bucket), generator=generator).tolist()
            batches += [(size, [bucket[i] for i in order[begin:begin + count]])
                        for begin in range(0, len(order) - count + 1, count)]
        for i in torch.randperm(len(batches), generator=generator).tolist():
            size, batch = batches[i]
            target = padded([target for _, target in batch], size)
            previous = torch.cat([torch.full((len(batch), 1), EOS), target[:, :-1]], dim=1)
            yield (padded([source for source, _ in batch], size), previous), target

    def measure(model, part, count=None):
        return bleu(model, encode(part, 'en')[:count], symbols,
                    texts[part, 'de'][1][:count])

    def export(model, path):
        training.save_atomically({'model': model.state_dict(), 'args': args}, path)

    export.suffix = '.pt'
    model, epochs = training.fit(model, options, epoch_batches, steps,
                                 lambda model: measure(model, 'val', 200), export, ignored=PAD)
    export(model, options.out / 'final.pt')
    for part in ('val', 'test_2016_flickr'):
        print(f'{part} {measure(model, part):.2f} BLEU, greedy, after {epochs:.1f} epochs',
              flush=True)


if __name__ == '__main__':
    main()
