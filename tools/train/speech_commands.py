"""Train the speech command classifier: MEGA-chunk over overlapping frames of the waveform.

Usage: speech_commands.py --data SPEECH_COMMANDS_FOLDER --out FOLDER --minutes 100
Writes OUT/final.pt (and OUT/preview.pt after every epoch) in the format of the fairseq family.
It needs the programs espeak-ng and flite, which speak a part of the clips.
"""

import io
import pathlib
import random
import tarfile

import numpy as np
import soundfile
import torch
from torch.nn import functional as F

import classifiers
from mega import SequenceClassifier
import sound
import training
import voices

RATE = voices.RATE
LABELS = [*voices.COMMANDS, '_unknown_', '_silence_']
UNKNOWN, SILENCE = LABELS.index('_unknown_'), LABELS.index('_silence_')


def load_clips(folder, cache):
    """Decode the archives once; return {part: (int16 clips, labels)}."""
    if not cache.exists():
        arrays = {}
        for part in ('train', 'valid'):
            clips, labels = [], []
            with tarfile.open(folder / f'{part}.tar') as tar:
                for member in tar:
                    if member.name.endswith('.flac'):
                        data = io.BytesIO(tar.extractfile(member).read())
                        clips.append(soundfile.read(data, dtype='int16')[0])
                        labels.append(LABELS.index(member.name.split('/')[-2]))
            arrays[part + '_clips'], arrays[part + '_labels'] = np.array(clips), np.array(labels)
        np.savez(cache, **arrays)
    stored = np.load(cache)
    return {part: tuple(torch.from_numpy(stored[f'{part}_{kind}']) for kind in ('clips', 'labels'))
            for part in ('train', 'valid')}


def load_digits(archive):
    """Load spoken digits (FSDD, training part) as further words that are not commands.

    They were recorded at 8 kHz, so the upper half of their spectrum is empty. With --muffle the
    augmentation mutes the treble of other clips, too, lest its absence give the class away.
    """
    clips = []
    with tarfile.open(archive) as tar:
        for member in tar:
            if not member.name.endswith('.flac') or int(member.name[:-5].split('_')[-1]) < 5:
                continue
            data = io.BytesIO(tar.extractfile(member).read())
            samples = sound.resample(*soundfile.read(data, dtype='float32'), RATE)
            # Bring quiet speakers to the level of the commands.
            samples *= 0.3 / max(np.abs(samples).max(), 1e-3)
            samples = samples[:RATE]
            before = (RATE - len(samples)) // 2
            clips.append(np.pad(samples, (before, RATE - len(samples) - before)) * 32768)
    return as_tensors(np.array(clips, np.int16), [UNKNOWN] * len(clips))


def synthetic_clips(chooser, options):
    """(clips, labels) of commands, other words and speech that goes on, in synthetic voices."""
    counts = [(voices.COMMANDS, options.synthetic), (voices.OTHER_WORDS, options.synthetic_other),
              (voices.FURTHER_WORDS, options.synthetic_further)]
    words = [word for words, count in counts for word in words * count]
    clips = [voices.word_clip(word, chooser, options.flite_part) for word in words]
    clips += [voices.passage_clip(chooser, options.flite_part) for _ in range(options.passages)]
    labels = [LABELS.index(word) if word in LABELS else UNKNOWN for word in words]
    return as_tensors(clips, labels + [UNKNOWN] * options.passages)


def as_tensors(clips, labels):
    return torch.from_numpy(np.array(clips)), torch.tensor(labels)


class Augmenter:
    """Random distortions of whole batches of waveforms."""

    def __init__(self, noise, options):
        self.noise = noise
        self.options = options

    def __call__(self, clips, labels, generator):
        """Return distorted samples (in -1 ... 1, roughly) and target distributions."""
        count = clips.size(0)

        def uniform(low, high, *shape):
            return low + (high - low) * torch.rand(count, *(shape or (1,)), generator=generator)

        def chance(part):
            return torch.rand(count, 1, generator=generator) < part

        x = sound.move(clips.float() / 32768, torch.exp(uniform(-0.16, 0.16)), uniform(-1800, 1800))
        treble = torch.where(chance(self.options.muffle), uniform(0.66, 0.95), torch.ones(count, 1))
        x = self.colour(x, uniform(-6.0, 6.0, 8), uniform(0.0, 1.0, 2),
                        uniform(0.0, self.options.band_mask, 2), treble)
        start, width = uniform(0, RATE, 2), uniform(0, self.options.time_mask * RATE, 2)
        time = torch.arange(RATE)
        for i in range(2):
            x = x * ~((time >= start[:, i:i + 1]) & (time < start[:, i:i + 1] + width[:, i:i + 1]))
        # Add background noise at a level relative to the clip's own.
        chosen = torch.randint(len(self.noise), (count,), generator=generator)
        offset = torch.randint(RATE, (count, 1), generator=generator)
        noise = self.noise[chosen].float().gather(1, (time + offset) % RATE) / 32768
        level = x.square().mean(1, keepdim=True).sqrt()
        noise_level = noise.square().mean(1, keepdim=True).sqrt() + 1e-5
        ratio = 10 ** (uniform(-40, 3) / 20)
        speech = (labels != SILENCE).view(-1, 1)
        x = x + noise * (level / noise_level * ratio) * (chance(0.7) & speech)
        # Change the loudness; silence may fade to nothing at all.
        x = x * 10 ** (torch.where(speech, uniform(-12, 8), uniform(-40, 6)) / 20)
        targets = F.one_hot(labels, len(LABELS)).float()
        # Mix some clips with another one, and their labels in proportion.
        share = torch.where(chance(self.options.mixup), uniform(0.0, 0.5), torch.zeros(count, 1))
        other = torch.randperm(count, generator=generator)
        return x + share * (x[other] - x), targets + share * (targets[other] - targets)

    @staticmethod
    def colour(x, decibels, centre, width, treble):
        """Filter by a random smooth response, and remove two random bands and all above a third.

        Frequencies are parts of a mel-like scale; 4 kHz is at about 0.76.
        """
        spectrum = torch.fft.rfft(x)
        scale = torch.log1p(torch.linspace(0, RATE / 2 / 700, spectrum.size(1)))
        scale = scale / scale[-1]
        response = F.interpolate(decibels.unsqueeze(1), 128, mode='linear', align_corners=True)
        response = 10 ** (response.squeeze(1) / 20)
        band = torch.linspace(0, 1, 128)
        for i in range(2):
            inside = (band - centre[:, i:i + 1]).abs() < width[:, i:i + 1] / 2
            response = torch.where(inside, 0.02 * response, response)
        response = torch.where(band > treble, 0.002 * response, response)
        return torch.fft.irfft(spectrum * response[:, (scale * 127).long()], RATE)


def initialise(model, samples, bands):
    """Make the first layer a filter bank and the first feed-forward network its rectifier."""
    encoder = model.encoder['encoder']
    sound.start_as_filters(encoder.embed_tokens, samples, RATE, bands)
    sound.start_with_energies(encoder, bands)


def model_args(options, mean, std):
    """The checkpoint's options, under the original's names where it has them."""
    positions = RATE // options.hop
    sizes = {name: getattr(options, name) for name in ('dim', 'hidden', 'ffn', 'z_dim', 'n_dim',
                                                       'layers', 'dropout', 'truncation')}
    return classifiers.mega_args(
        sizes, LABELS, positions, options.chunk, arch='mega_sc_raw_base', task='speech_commands',
        input_type='frames', frame_length=options.frame_length, frame_hop=options.hop,
        normalize_embedding=True, attention_activation_fn='laplace', sample_rate=RATE,
        audio_length=RATE, audio_mean=mean, audio_std=std)


def main():
    parser = training.common_options(__doc__.splitlines()[0])
    parser.add_argument('--dim', type=int, default=112)
    parser.add_argument('--hidden', type=int, default=224)
    parser.add_argument('--ffn', type=int, default=224)
    parser.add_argument('--z-dim', type=int, default=48)
    parser.add_argument('--n-dim', type=int, default=16)
    parser.add_argument('--layers', type=int, default=4)
    parser.add_argument('--bands', type=int, default=36, help='3 channels each, the rest constant')
    parser.add_argument('--hop', type=int, default=160)
    parser.add_argument('--frame-length', type=int, default=480)
    parser.add_argument('--chunk', type=int, default=50)
    parser.add_argument('--truncation', type=int, default=100)
    parser.add_argument('--dropout', type=float, default=0.1)
    parser.add_argument('--mixup', type=float, default=0.3,
                        help='part of the clips that is mixed with others')
    parser.add_argument('--band-mask', type=float, default=0.2, help='widest masked band')
    parser.add_argument('--time-mask', type=float, default=0.08,
                        help='longest masked time, in seconds')
    parser.add_argument('--digits', type=pathlib.Path, help='fsdd.tar: more unknown words')
    parser.add_argument('--muffle', type=float, default=0.0,
                        help='part of the clips that loses its treble')
    parser.add_argument('--with-valid', action='store_true', help='train on the valid split too')
    parser.add_argument('--synthetic', type=int, default=120, help='synthetic clips per command')
    parser.add_argument('--synthetic-other', type=int, default=24,
                        help='synthetic clips per other word of the data')
    parser.add_argument('--synthetic-further', type=int, default=2,
                        help='synthetic clips per further word')
    parser.add_argument('--passages', type=int, default=300, help='seconds of synthetic speech')
    parser.add_argument('--flite-part', type=float, default=0.6,
                        help='part of the synthetic speech that flite speaks; espeak-ng the rest')
    parser.add_argument('--added-part', type=float, default=0.35,
                        help='part of the synthetic speech and digits that an epoch has')
    options = parser.parse_args()
    training.prepare(options)
    parts = load_clips(options.data, options.out.parent / 'speech_clips.npz')
    clips, labels = parts['train']
    noise = clips[labels == SILENCE]
    values = clips.double() / 32768
    mean, std = values.mean().item(), values.std().item()

    def normalise(samples):
        return (samples - mean) / (std + 1e-5)

    args = model_args(options, mean, std)
    model = SequenceClassifier(args)
    initialise(model, normalise(values[::8].float()), options.bands)
    print(f'{sum(p.numel() for p in model.parameters())} parameters', flush=True)
    synthetic, words = voices.held_out_clips()
    parts['synthetic'] = as_tensors(synthetic, [LABELS.index(word) for word in words])
    if options.with_valid:
        clips, labels = (torch.cat(pair) for pair in zip(parts['train'], parts['valid']))
    added = [synthetic_clips(random.Random(options.seed), options)]
    if options.digits:
        added.append(load_digits(options.digits))
    all_clips, all_labels = (torch.cat(items) for items in zip((clips, labels), *added))
    added_per_epoch = int(options.added_part * (len(all_clips) - len(clips)))
    augment = Augmenter(noise, options)

    def epoch_batches(epoch):
        """Yield batches of all recordings and of a part of the added clips, a new one each time."""
        generator = torch.Generator().manual_seed(options.seed * 100000 + epoch)
        chosen = torch.randperm(len(all_clips) - len(clips), generator=generator)[:added_per_epoch]
        order = torch.cat([torch.arange(len(clips)), len(clips) + chosen])
        order = order[torch.randperm(len(order), generator=generator)]
        for chosen in order[:len(order) // options.batch * options.batch].split(options.batch):
            samples, targets = augment(all_clips[chosen], all_labels[chosen], generator)
            yield normalise(samples), targets

    def measure(model, part):
        clips, labels = parts[part]
        logits = training.predict(model, clips, lambda x: normalise(x.float() / 32768))
        return training.accuracy(logits, labels)

    def export(model, path):
        training.save_atomically({'model': model.state_dict(), 'args': args}, path)

    export.suffix = '.pt'
    steps = (len(clips) + added_per_epoch) // options.batch
    model, epochs = training.fit(model, options, epoch_batches, steps,
                                 lambda model: measure(model, 'valid'), export,
                                 loss=training.series_loss(training.load_flat(), model, options,
                                                           options.dropout))
    export(model, options.out / 'final.pt')
    for part in ('valid', 'synthetic'):
        print(f'{part} accuracy {measure(model, part):.2f} % after {epochs:.1f} epochs', flush=True)


if __name__ == '__main__':
    main()
