"""The part that the recipes of translators share: options, model, validation, run and result."""

import argparse
import pathlib

import sacrebleu
from sacremoses import MosesDetokenizer
import torch

import baselines
import export
from flat import FlatTranslator, Shape
import mega_file
import pairs as texts
from sequence import EOS, PAD, TranslationModel
import training


ARCHITECTURES = ('mega', 'mega-chunk', 'transformer')
LONGEST = 96  # pairs with more tokens on a side are left out


def add_options(parser):
    parser.set_defaults(decay_part=0.0, average=0.998, batch=2048, warmup=100, valid_minutes=10.0)
    positive = training.positive(int)
    parser.add_argument('--merges', type=positive, default=8000, help='merges of the joint BPE')
    parser.add_argument('--dim', type=positive, default=256)
    parser.add_argument('--hidden', type=positive, default=512)
    parser.add_argument('--ffn', type=positive, help='512; of the Transformer 1024')
    parser.add_argument('--z-dim', type=positive, default=64)
    parser.add_argument('--n-dim', type=positive, default=16)
    parser.add_argument('--layers', type=positive, default=6, help='layers of the encoder')
    parser.add_argument('--decoder-layers', type=positive, default=3)
    parser.add_argument('--positions', type=positive, default=256)
    parser.add_argument('--dropout', type=training.fraction, default=0.1)
    parser.add_argument('--bleu', type=positive, default=200,
                        help='validation sentences to translate')
    parser.add_argument('--architecture', choices=ARCHITECTURES, default='mega')
    parser.add_argument('--chunk', type=positive, default=16,
                        help='tokens that attend to each other (mega-chunk)')
    parser.add_argument('--start', type=pathlib.Path, metavar='MODEL.mega',
                        help='begin with the weights and the vocabulary of a translator of this '
                             'kind, such as a shipped one, instead of random weights')
    export.add_option(parser)


def vocabulary(options, learn):
    """Load the vocabulary in OUT, after taking it from the --start model or calling ``learn()``."""
    if not (options.out / 'dict.txt').exists():
        if options.start:
            mega_file.write_vocabulary(mega_file.read_model(options.start, options.convert)[0],
                                       options.out)
        else:
            learn()
    return texts.Vocabulary(options.out)


def model_args(options):
    """The options of MEGA's checkpoint, under the original's names, for English to German."""
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


def checkpoint_args(options, languages):
    """The checkpoint's options, under the original's names. ``languages`` are source and target."""
    if options.architecture == 'transformer':
        args = baselines.transformer_args(
            ('encoder', 'decoder'), dim=options.dim, heads=max(1, options.dim // 64),
            ffn=options.ffn or 1024, layers=options.layers, positions=options.positions,
            dropout=options.dropout)
        args.arch, args.task = 'transformer', 'translation'
    else:
        options.ffn = options.ffn or 512
        args = model_args(options)
        if options.architecture == 'mega-chunk':
            args.encoder_chunk_size = args.decoder_chunk_size = options.chunk
    args.decoder_layers = options.decoder_layers
    args.source_lang, args.target_lang = languages
    return args


@torch.no_grad()
def greedy(model, sources, limit=60):
    """Translate greedily, some sentences at a time; every step computes the whole target again."""
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


def bleu(model, corpus, language, tokens, references):
    """sacreBLEU of greedy, detokenised translations."""
    detokenise = MosesDetokenizer(language).detokenize
    sources = [torch.tensor(corpus.encode(pair)[0]) for pair in tokens]
    lines = [detokenise(corpus.vocabulary.decode(ids).split()) for ids in greedy(model, sources)]
    return sacrebleu.corpus_bleu(lines, [[pair[1 - corpus.source] for pair in references]]).score


def train(options, corpus, checks, languages):
    """Train a translator on ``corpus`` from the first language to the second.

    ``checks`` maps names of validation data to (pairs of tokens, pairs of texts).
    """
    vocabulary = corpus.vocabulary
    args = checkpoint_args(options, languages)
    model = TranslationModel(args, len(vocabulary.symbols))
    out = options.out
    conversion = ['--tokenizer', 'moses', '--source-dict', out / 'dict.txt', '--target-dict',
                  out / 'dict.txt', '--bpe-codes', out / 'codes', '--capitals', 'lower']
    if options.start and not (options.resume and (out / 'last.pt').exists()):
        tensors = mega_file.read_model(options.start, options.convert)[1]
        mega_file.load_weights(model, args, tensors, options.convert, *conversion)
    shape = Shape.of(options.batch, LONGEST)
    flat = FlatTranslator(model, shape, options.dropout)
    print(f'{sum(p.numel() for p in model.parameters())} parameters, '
          f'{len(vocabulary.symbols)} symbols, {len(corpus)} pairs an epoch, products in '
          f'{flat.kind}', flush=True)

    def epoch_batches(epoch):
        for group in shape.group(corpus.epoch(options.seed * 100000 + epoch)):
            yield lambda group=group: shape.lay(group)

    def validate(average):
        evaluated = FlatTranslator(average, shape, 0.0)
        figures = {}
        for name, (tokens, references) in checks.items():
            loss = evaluated.mean_loss(map(corpus.encode, tokens))
            score = bleu(average, corpus, languages[1], tokens[:options.bleu],
                         references[:options.bleu])
            figures |= {f'{name} loss': loss, f'{name} BLEU': score}
        return figures

    def write(average, path):
        training.save_atomically({'model': average.state_dict(), 'args': args}, path)

    write.suffix = '.pt'
    # A batch ends when one side is full, so the steps of an epoch are estimated, for --epochs.
    steps = max(1, len(corpus) * 12 // options.batch)
    average, epochs = training.fit(model, options, epoch_batches, steps, validate, write,
                                   loss=lambda batch: flat.loss(batch, options.smoothing))
    final = out / 'final.pt'
    write(average, final)
    print(f'{epochs:.1f} epochs', flush=True)
    export.convert(options, final, conversion, f'translate -m {out}/final.mega "a sentence"')
