"""Train the CIFAR-10 classifier: MEGA over 4 x 4 patches.

Usage: cifar10.py --data cifar10.tar.gz --out FOLDER --minutes 100
Writes OUT/final.pth (and OUT/preview.pth after every epoch) in the format of the vision family.
"""

import argparse
import io
import tarfile

import numpy as np
from PIL import Image
import torch
from torch import nn
from torch.nn import functional as F

from mega import PatchClassifier
import training

LABELS = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck']
SIZE = 32
VALID_PER_CLASS = 100  # the last training images of every class are held out for selection


def load_images(archive, cache):
    """Decode the archive once; return {'train' | 'valid': (uint8 images, labels)}."""
    if not cache.exists():
        arrays = {}
        with tarfile.open(archive) as tar:
            for member in tar:
                if not member.name.endswith('.jpg'):
                    continue
                part, label, name = member.name.split('/')[-3:]
                if part == 'train' and int(name[:-4]) >= 5000 - VALID_PER_CLASS:
                    part = 'valid'
                pixels = np.asarray(Image.open(io.BytesIO(tar.extractfile(member).read())))
                images, labels = arrays.setdefault(part, ([], []))
                images.append(pixels)
                labels.append(LABELS.index(label))
        np.savez(cache, **{f'{part}_{kind}': np.array(values)
                           for part, pair in arrays.items()
                           for kind, values in zip(('images', 'labels'), pair)})
    stored = np.load(cache)
    return {part: tuple(torch.from_numpy(stored[f'{part}_{kind}']) for kind in ('images', 'labels'))
            for part in ('train', 'valid')}


class Normaliser:
    """Makes uint8 (batch, height, width, colour) normalised float (batch, colour, height, width).

    Mean and deviation of each colour are those of the pictures that it was made from.
    """

    def __init__(self, images):
        values = images.view(-1, images.size(-1)).double() / 255.0
        self.mean, self.std = values.mean(0).float(), values.std(0).float()

    def __call__(self, images):
        return ((images / 255.0 - self.mean) / self.std).permute(0, 3, 1, 2).contiguous()


def augment(images, generator, shift, flips=0.5):
    """Shift each picture by up to ``shift`` pixels (edges are reflected) and mirror some."""
    count = images.size(0)
    padded = F.pad(images.permute(0, 3, 1, 2).float(), (shift,) * 4, mode='reflect')
    top, left = torch.randint(0, 2 * shift + 1, (2, count, 1), generator=generator)
    size = images.size(1)
    line = torch.arange(size)
    flip = torch.rand(count, 1, generator=generator) < flips
    rows, columns = top + line, left + torch.where(flip, size - 1 - line, line)
    return padded.permute(0, 2, 3, 1)[torch.arange(count).view(-1, 1, 1),
                                      rows.unsqueeze(2), columns.unsqueeze(1)]


def erase(images, generator, side):
    """Give a square of ``side`` pixels around a random one the mean colour.

    The model has to recognise the rest of the picture, so it learns to rely on no single part.
    """
    count, height = images.size(0), images.size(2)
    middle = torch.randint(0, height, (2, count, 1), generator=generator)
    place = torch.arange(height) - middle + side // 2
    inside = (place >= 0) & (place < side)
    return images * ~(inside[0].unsqueeze(2) & inside[1].unsqueeze(1)).unsqueeze(1)


def patch_args(size, patch, labels, normalise):
    """The checkpoint's options, under the original's names where it has them."""
    return argparse.Namespace(
        model=f'mega_tiny_patch{patch}_{size}', input_size=size, nb_classes=len(labels),
        norm_type='layernorm', patch_impl='conv', no_pos_emb=False, representation_size=None,
        drop=0.0, drop_path=0.0, pixel_mean=normalise.mean.tolist(),
        pixel_std=normalise.std.tolist(), labels=labels)


@torch.no_grad()
def initialise(model, images, patch):
    """Give the model a good start: whitened patches, and attention to vertical neighbours.

    Pixels of a patch are strongly correlated; projecting to whitened directions lets the first
    steps see colour and edges alike. Positions are row-major, so the moving average only mixes
    along rows; relative biases of the first layers favour the rows above and below.
    """
    patches = images.unfold(2, patch, patch).unfold(3, patch, patch)
    patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3 * patch * patch)
    energy, directions = torch.linalg.eigh(patches.T @ patches / patches.size(0))
    whitening = directions.T / torch.sqrt(energy + 1e-2).unsqueeze(1)
    weight = model.patch_embed['pemb'].proj.weight
    mixing = nn.init.orthogonal_(torch.empty(weight.size(0), whitening.size(0)))
    weight.copy_((mixing @ whitening).view_as(weight))

    row = images.size(3) // patch
    favoured = [[-row - 1, -row, -row + 1], [row - 1, row, row + 1],
                [-row - 1, -row, -row + 1, -1, 0, 1, row - 1, row, row + 1]]
    for block, lags in zip(model.blocks, favoured):
        bias = block.mega_layer.rel_pos_bias
        bias.rel_pos_bias[[bias.max_positions - 1 + lag for lag in lags]] = 0.7


def main():
    parser = training.common_options(__doc__.splitlines()[0])
    parser.add_argument('--dim', type=int, default=96)
    parser.add_argument('--hidden', type=int, default=192)
    parser.add_argument('--ffn', type=int, default=192)
    parser.add_argument('--z-dim', type=int, default=48)
    parser.add_argument('--n-dim', type=int, default=16)
    parser.add_argument('--depth', type=int, default=5)
    parser.add_argument('--patch', type=int, default=4)
    parser.add_argument('--shift', type=int, default=3, help='largest shift of the augmentation')
    parser.add_argument('--erase', type=int, default=0, help='side of the square that is left out')
    parser.add_argument('--plain-start', action='store_true', help='no informed initialisation')
    options = parser.parse_args()
    training.prepare(options)
    parts = load_images(options.data, options.out.parent / 'cifar10_images.npz')
    images, labels = parts['train']
    normalise = Normaliser(images)
    model = PatchClassifier(
        dim=options.dim, hidden=options.hidden, ffn=options.ffn, z_dim=options.z_dim,
        n_dim=options.n_dim, depth=options.depth, size=SIZE, patch=options.patch,
        classes=len(LABELS))
    if not options.plain_start:
        initialise(model, normalise(images[::10]), options.patch)
    print(f'{sum(p.numel() for p in model.parameters())} parameters', flush=True)
    args = patch_args(SIZE, options.patch, LABELS, normalise)

    def epoch_batches(epoch):
        generator = torch.Generator().manual_seed(options.seed * 1000 + epoch)
        order = torch.randperm(len(images), generator=generator)
        for chosen in order[:len(order) // options.batch * options.batch].split(options.batch):
            shown = normalise(augment(images[chosen], generator, options.shift))
            yield erase(shown, generator, options.erase), labels[chosen]

    def measure(model, part):
        images, labels = parts[part]
        return training.accuracy(training.predict(model, images, normalise), labels)

    def export(model, path):
        training.save_atomically({'model': model.state_dict(), 'args': args}, path)

    export.suffix = '.pth'
    model, epochs = training.fit(model, options, epoch_batches, len(images) // options.batch,
                                 lambda model: measure(model, 'valid'), export,
                                 loss=training.series_loss(training.load_flat(), model, options,
                                                           0.0))
    export(model, options.out / 'final.pth')
    print(f'valid accuracy {measure(model, "valid"):.2f} % after {epochs:.1f} epochs', flush=True)


if __name__ == '__main__':
    main()
