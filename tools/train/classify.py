"""Train a classifier on files of one's own: sound, pictures or texts.

Usage: train classify --data MANIFEST.tsv --out FOLDER [--architecture NAME] [--minutes 20]
MANIFEST.tsv has a line for each file; its first line names the columns path and label, and maybe
split (train, valid, test). MANIFEST.tsv may also be a folder that has a folder for each class, or
that has such folders in train, test and maybe valid. Without a split a tenth of the files is held
out to show how good the model is.

Writes OUT/files.tsv, which says what is held out, then OUT/curve.svg and OUT/last.pt while it runs,
and OUT/final.pt (or .ckpt, .pth) and OUT/final.mega at the end, which has the labels and the
preparation of inputs: `mega-run classify -m OUT/final.mega FILE` answers at once, and `mega-run
eval -m OUT/final.mega OUT/files.tsv --split valid` tells which classes it confuses.
--resume goes on with a run that was ended.
"""

import random
import sys

import torch
from torch import nn
from torch.nn import functional as F

import cifar10
import classifiers
import export
from hints import Hints
import inputs
import mega
import sound
import training

CHUNKS = {'text': 128, 'sound': 50, 'picture': 128}
WHOLE = 512      # up to so many positions, flat batches are faster without chunks, too
POOL = 32        # so many batches of texts are sorted by length together
FRAMES = (0.03, 0.01)  # seconds: length of a frame, and distance between the starts of two
BANDS = 0.3      # filters per channel; each needs three channels: cosine, sine and energy


# ---- The three kinds of data ----
#
# Each has ``form``, which describes the model's inputs, ``converting``, which are options of
# mega-convert, and ``batch(part, chosen, generator)``, which makes the model's inputs of the files
# with the numbers ``chosen``; with a generator it distorts them at random, for training.

class Texts:
    def __init__(self, options, parts):
        texts = {part: [inputs.read_text(path) for path, _ in rows]
                 for part, rows in parts.items()}
        s4 = options.architecture == 's4'
        self.units = inputs.Units.choose(options.unit, texts['train'], s4)
        self.length = options.length or self.usual_length(texts['train'])
        self.bytes = {part: [inputs.without_line_end(text)[:self.length - 1] for text in rows]
                      for part, rows in texts.items()}
        self.ids = {part: [torch.tensor(self.units.encode(text, self.length)) for text in rows]
                    for part, rows in texts.items()}
        self.form = classifiers.Tokens(len(self.units), self.length, self.units.pad)
        self.converting = self.units.write(options.out)
        print(f'texts of {self.units.unit}s, {len(self.units)} symbols, cut to {self.length}',
              flush=True)

    def usual_length(self, texts):
        """The length that nineteen of twenty texts do not exceed, at most 1,024."""
        lengths = sorted(len(self.units.encode(text)) for text in texts)
        usual = lengths[min(len(lengths) - 1, len(lengths) * 19 // 20)]
        return min(1024, max(16, -(-usual // 16) * 16))

    def lengths(self, part):
        return [len(ids) for ids in self.ids[part]]

    def batch(self, part, chosen, generator=None):
        """Symbols of the texts, padded to a multiple of 16, and the mask of the real ones."""
        rows = [self.ids[part][i] for i in chosen]
        longest = -(-max(map(len, rows)) // 16) * 16
        filled = torch.full((len(rows), min(longest, self.length)), self.units.pad)
        for row, ids in zip(filled, rows):
            row[:len(ids)] = ids
        return filled, (filled != self.units.pad).float().unsqueeze(-1)


class Sounds:
    def __init__(self, options, parts):
        rows = [path for part in parts.values() for path, _ in part]
        clips, self.rate = inputs.read_sounds(rows, options.seconds)
        hop = options.hop or round(FRAMES[1] * self.rate)
        length = options.frame or hop + round((FRAMES[0] - FRAMES[1]) * self.rate / 2) * 2
        frames = -(-max(map(len, clips)) // hop)
        if options.architecture == 'mega-chunk':
            frames = -(-frames // options.chunk) * options.chunk
        clips = inputs.fill_up(clips, frames * hop)
        self.clips, begin = {}, 0
        for part, rows in parts.items():
            self.clips[part] = clips[begin:begin + len(rows)]
            begin += len(rows)
        mean, std = self.statistics(self.clips['train'])
        self.form = classifiers.Frames(length, hop, frames, self.rate, mean, std)
        self.plain, self.augmented = options.plain_start, not options.no_augment
        self.converting = ['--audio-rate', self.rate]
        print(f'{frames} frames of {length} samples at {self.rate} Hz, one every {hop}', flush=True)

    @staticmethod
    def statistics(clips):
        """Mean and deviation of samples scaled to -1 ... 1; some clips at a time save memory."""
        sums = torch.zeros(2, dtype=torch.float64)
        for part in clips.split(500):
            values = part.double() / 32768
            sums += torch.stack([values.sum(), values.square().sum()])
        mean, square = (sums / clips.numel()).tolist()
        return mean, max(square - mean ** 2, 0.0) ** 0.5

    def batch(self, part, chosen, generator=None):
        x = self.clips[part][chosen].float() / 32768
        if generator is not None and self.augmented:
            def uniform(low, high):
                return low + (high - low) * torch.rand(len(x), 1, generator=generator)

            x = sound.move(x, torch.exp(uniform(-0.1, 0.1)), uniform(-0.05, 0.05) * self.rate)
            x = x * 10 ** (uniform(-10, 6) / 20)
            noise = torch.randn(x.shape, generator=generator)
            x = x + noise * x.square().mean(1, keepdim=True).sqrt() * 10 ** (uniform(-60, -15) / 20)
        return ((x - self.form.mean) / (self.form.std + 1e-5),)

    def start(self, model, architecture):
        """Let the embedding begin as a filter bank, and MEGA's first layer as its rectifier."""
        if self.plain:
            return
        samples = self.batch('train', slice(0, 400))[0]
        encoder = model if architecture == 's4' else model.encoder['encoder']
        embedding = encoder.encoder[0] if architecture == 's4' else encoder.embed_tokens
        bands = int(BANDS * embedding.weight.size(0))
        sound.start_as_filters(embedding, samples, self.rate, bands)
        if architecture == 'transformer':  # it multiplies embeddings by the root of the width
            embedding.weight.data.div_(embedding.weight.size(0) ** 0.5)
        elif architecture != 's4':
            sound.start_with_energies(encoder, bands)


class Pictures:
    def __init__(self, options, parts):
        patches = options.architecture == 'mega' and not options.pixels
        self.images = {part: inputs.read_pictures([path for path, _ in rows], options.size,
                                                  'RGB' if patches else 'L')
                       for part, rows in parts.items()}
        self.normalise = cifar10.Normaliser(self.images['train'])
        mean, std = self.normalise.mean.tolist(), self.normalise.std.tolist()
        if patches:
            self.form = classifiers.Patches(options.size, 4, self.normalise)
        else:
            self.form = classifiers.Pixels(options.size, mean[0], std[0])
        self.plain, self.augmented = options.plain_start, not options.no_augment
        self.flips = 0.5 if options.flip else 0.0
        self.converting = ['--pixel-mean', ','.join(map(repr, mean)),
                           '--pixel-std', ','.join(map(repr, std))]
        print(f'pictures of {options.size} x {options.size}, '
              f'{self.form.positions} {"patches" if patches else "gray pixels"}', flush=True)

    def batch(self, part, chosen, generator=None):
        images = self.images[part][chosen]
        if generator is not None and self.augmented:
            images = cifar10.augment(images, generator, images.size(1) // 10, self.flips)
        x = self.normalise(images)
        return (x if isinstance(self.form, classifiers.Patches) else x.flatten(1),)

    def start(self, model, architecture):
        if isinstance(self.form, classifiers.Patches) and not self.plain:
            cifar10.initialise(model, self.normalise(self.images['train'][::10]), self.form.patch)


KINDS = {'text': Texts, 'sound': Sounds, 'picture': Pictures}


class FlatTexts:
    """Trains MEGA on texts that lie end to end, with hints if they are wanted."""

    def __init__(self, flat, model, data, targets, options):
        self.data, self.make, self.weight = data, flat.Texts.of, options.hints
        self.flat = flat.FlatClassifier(model, data.length, options.dropout)
        self.flat_of = lambda model: flat.FlatClassifier(model, data.length, 0.0)
        self.smoothing, self.hints = options.smoothing, None
        if options.hints:
            if data.units.unit != 'byte':
                raise inputs.Problem('--hints are for texts of bytes (--unit byte)')
            width, classes = model.classifier[0][0].in_features, model.sentence_projection_layer
            hints = Hints(data.bytes['train'], targets['train'], classes.out_features, options.seed)
            right = hints.accuracy(data.bytes['valid'], targets['valid'])
            print(f'hints of {len(hints.numbers):,} words and pairs of words, which by themselves '
                  f'have {right:.1f} % of what is held out right', flush=True)
            self.hints = [hints(text) for text in data.bytes['train']]
            model.hints = nn.Linear(width, classes.out_features)  # not part of the checkpoint

    @staticmethod
    def suits(flat, model, data, options):
        """Whether flat.cpp can compute the model, and faster than PyTorch (see README)."""
        if not (flat and isinstance(data, Texts) and not options.padded
                and (options.architecture == 'mega-chunk'
                     or options.architecture == 'mega' and data.length <= WHOLE)):
            return False
        layer = model.encoder['encoder'].layers[0]
        sizes = (*layer.mega_layer.sizes, layer.nffn.fc1.out_features)
        return flat.fills_vectors(*sizes)

    def batch(self, chosen):
        texts = self.make([self.data.ids['train'][i] for i in chosen])
        if not self.hints:
            return texts, None, None
        begins = texts.offsets.tolist()
        places = torch.cat([self.hints[i][0] + begin for i, begin in zip(chosen, begins)])
        return texts, places, torch.cat([self.hints[i][1] for i in chosen])

    def evaluated(self, model, part):
        """Return a function that makes the logits of some files of a part."""
        flat = self.flat_of(model)

        def logits(chosen):
            texts = self.make([self.data.ids[part][i] for i in chosen])
            return flat.logits(flat.states(texts, training=False), texts)

        return logits

    def loss(self, batch):
        (texts, places, values), targets = batch
        states = self.flat.states(texts)
        loss = F.cross_entropy(self.flat.logits(states, texts), targets,
                               label_smoothing=self.smoothing)
        if places is not None and len(places):
            told = self.flat.model.hints(states[places])
            loss = loss + self.weight * F.smooth_l1_loss(told, values)
        return loss


def without_hints(state):
    """The parameters that go into a checkpoint: all but those that learn the hints."""
    return {name: value for name, value in state.items() if not name.startswith('hints.')}


# ---- The run ----

def epoch_groups(data, labels, options, epoch, sort=True):
    """The numbers of each batch's files, in a random order; texts of a batch are about as long."""
    generator = torch.Generator().manual_seed(options.seed * 100000 + epoch)
    order = torch.randperm(len(labels), generator=generator).tolist()
    if not (sort and isinstance(data, Texts)):
        return [order[i:i + options.batch] for i in range(0, len(order), options.batch)]
    lengths, groups = data.lengths('train'), []
    for begin in range(0, len(order), POOL * options.batch):
        pool = sorted(order[begin:begin + POOL * options.batch], key=lambda i: lengths[i])
        groups += [pool[i:i + options.batch] for i in range(0, len(pool), options.batch)]
    random.Random(options.seed * 100000 + epoch).shuffle(groups)
    return groups


@torch.no_grad()
def evaluate(model, data, part, labels, texts=None, batch=50):
    """(accuracy in per cent, loss in nats); ``texts``, a FlatTexts, evaluates in flat batches."""
    model.eval()
    logits_of = (texts.evaluated(model, part) if texts
                 else lambda chosen: model(*data.batch(part, chosen)))
    order = list(range(len(labels)))
    if isinstance(data, Texts):
        lengths = data.lengths(part)
        order.sort(key=lambda i: lengths[i])
    right = loss = 0.0
    for chosen in (order[i:i + batch] for i in range(0, len(order), batch)):
        logits = logits_of(chosen)
        right += (logits.argmax(1) == labels[chosen]).sum().item()
        loss += F.cross_entropy(logits, labels[chosen], reduction='sum').item()
    return 100.0 * right / len(labels), loss / len(labels)


def parse(arguments):
    parser = training.common_options(
        __doc__.splitlines()[0], what='list of files, or folder with a folder for each class',
        prog='train classify')
    training.set_user_defaults(parser, minutes=20.0)
    parser.set_defaults(batch=32, warmup=50, save_minutes=2.0)
    parser.add_argument('--architecture', choices=classifiers.ARCHITECTURES, default='mega')
    parser.add_argument('--dim', type=int, help='channels of the layers')
    parser.add_argument('--layers', type=int)
    parser.add_argument('--dropout', type=training.fraction, default=0.1)
    parser.add_argument('--chunk', type=int, help='positions that attend to each other')
    parser.add_argument('--unit', choices=('word', 'byte'), help='symbols of texts; words where '
                        'common ones make up most of the texts')
    parser.add_argument('--length', type=int, help='symbols to which texts are cut')
    parser.add_argument('--hints', type=float, default=0.0, metavar='WEIGHT',
                        help='also learn which class single words speak for; this is the weight of '
                             'that loss (1), and models of bytes learn much faster with it')
    parser.add_argument('--padded', action='store_true',
                        help='train without flat batches: texts are padded to one length, and '
                             'products are in float32')
    parser.add_argument('--seconds', type=training.positive(float), default=10.0,
                        help='length to which recordings are cut')
    parser.add_argument('--hop', type=int, help='samples from one frame of sound to the next')
    parser.add_argument('--frame', type=training.positive(int), help='samples of a frame')
    parser.add_argument('--size', type=int, default=32, help='side of pictures, in pixels')
    parser.add_argument('--pixels', action='store_true', help='gray pixels, not patches, for mega')
    parser.add_argument('--flip', action='store_true', help='pictures may be mirrored')
    parser.add_argument('--plain-start', action='store_true', help='no filters as a first layer')
    parser.add_argument('--no-augment', action='store_true', help='train on inputs as they are')
    export.add_option(parser)
    options = parser.parse_args(arguments)
    if options.hints < 0:
        parser.error(f'--hints is a weight of 0 or more, not {options.hints:g}')
    if options.size % 4 or not 8 <= options.size <= 64:
        parser.error(f'--size is a multiple of 4 from 8 to 64, not {options.size}')
    for name, (least, multiple) in {'dim': (32, 32), 'length': (16, 16), 'hop': (1, 1),
                                    'chunk': (1, 1), 'layers': (1, 1)}.items():
        value = getattr(options, name)
        if value is not None and (value < least or value % multiple):
            parser.error(f'--{name} is a multiple of {multiple} and at least {least}, not {value}')
    if options.frame and (options.frame < (options.hop or 1)
                          or (options.frame - (options.hop or 0)) % 2):
        parser.error(f'--frame exceeds --hop by an even number of samples; {options.frame} and '
                     f'{options.hop or "no --hop"} were given')
    return options


def train(options, flat):
    kind, labels, parts = inputs.list_files(options.data)
    options.chunk = options.chunk or CHUNKS[kind]
    if kind == 'picture' and options.architecture == 'mega-chunk' \
            and options.size ** 2 % options.chunk:
        raise inputs.Problem(f'--chunk {options.chunk} does not divide {options.size ** 2} pixels')
    use = {'train': 'to train on', 'valid': 'held out', 'test': 'to test'}
    inputs.write_manifest(parts, options.out / 'files.tsv')
    print(f'{sum(map(len, parts.values()))} files of {kind} in {len(labels)} classes: '
          + ', '.join(f'{len(parts[part])} {words}' for part, words in use.items()
                      if part in parts), flush=True)
    data = KINDS[kind](options, parts)
    numbers = {label: i for i, label in enumerate(labels)}
    targets = {part: torch.tensor([numbers[label] for _, label in rows])
               for part, rows in parts.items()}
    sizes = classifiers.sizes_of(options.architecture, options.dim, options.layers, options.dropout)
    built = classifiers.build(options.architecture, data.form, sizes, labels, options.chunk)
    if kind != 'text':
        data.start(built.model, options.architecture)
    texts = None
    if FlatTexts.suits(flat, built.model, data, options):
        texts = FlatTexts(flat, built.model, data, targets, options)
    elif options.hints:
        raise inputs.Problem('--hints are for texts of bytes and mega-chunk, or mega with texts of '
                             f'at most {WHOLE}, and need a C++ compiler')
    print(f'{options.architecture}: {sum(p.numel() for p in built.model.parameters()):,} '
          'parameters', flush=True)

    def epoch_batches(epoch):
        groups = epoch_groups(data, targets['train'], options, epoch, sort=not texts)
        for place, chosen in enumerate(groups):
            def make_flat(chosen=chosen):
                return texts.batch(chosen), targets['train'][chosen]

            def make(chosen=chosen, place=place):
                seed = (options.seed * 100003 + epoch) * 1000003 + place
                generator = torch.Generator().manual_seed(seed)
                return data.batch('train', chosen, generator), targets['train'][chosen]
            yield make_flat if texts else make

    def validate(average):
        accuracy, loss = evaluate(average, data, 'valid', targets['valid'], texts)
        return {'held-out accuracy %': accuracy, 'held-out loss': loss}

    def write(average, path):
        training.save_atomically(built.checkpoint(without_hints(average.state_dict())), path)

    write.suffix = built.suffix
    steps = -(-len(targets['train']) // options.batch)
    loss = (texts.loss if texts else None if kind == 'text' or options.padded
            else training.series_loss(flat, built.model, options, options.dropout))
    average, epochs = training.fit(built.model, options, epoch_batches, steps, validate, write,
                                   loss=loss)
    final = options.out / ('final' + built.suffix)
    write(average, final)
    if 'test' in targets:
        accuracy, _ = evaluate(average, data, 'test', targets['test'], texts)
        print(f'test accuracy {accuracy:.2f} % after {epochs:.1f} epochs', flush=True)
    export.convert(options, final, data.converting, f'classify -m {options.out}/final.mega FILE')


def main(arguments=None):
    options = parse(arguments)
    training.prepare(options)
    flat = training.load_flat()
    if flat:
        flat.serve_averages()
    # A matrix per channel is only fast if torch.compile fuses the passes that make it.
    mega.TOEPLITZ_LIMIT = 64
    try:
        train(options, flat)
    except (inputs.Problem, training.Mismatch, OSError, UnicodeDecodeError) as error:
        sys.exit(f'train classify: {training.explain(error)}')


if __name__ == '__main__':
    main()
