"""Sound for the recipes: resampling, distortions, and a first layer that starts as filters."""

import math

import numpy as np
import torch
from torch.nn import functional as F


def resample(samples, rate, to):
    """Resample by cutting or extending the spectrum: exact, and nothing aliases."""
    count = round(len(samples) * to / rate)
    if rate == to or count < 1:
        return samples
    spectrum = np.fft.rfft(samples)
    return np.fft.irfft(spectrum[:count // 2 + 1], count) * (count / len(samples))


def move(clips, speed, shift):
    """Play clips ``speed`` times as fast about the centre, and ``shift`` samples later."""
    length = clips.size(1)
    source = (torch.arange(length) - length / 2) * speed + length / 2 - shift
    whole = source.floor()
    part = source - whole
    padded = F.pad(clips, (1, 1))
    left = (whole.long() + 1).clamp(0, length)
    return padded.gather(1, left) * (1 - part) + padded.gather(1, left + 1) * part


@torch.no_grad()
def start_as_filters(embedding, samples, rate, bands):
    """Make the rows of a frame embedding windowed cosines and sines at mel-spaced frequencies.

    A linear map of a frame depends on the phase of the sound, which carries no meaning; pairs of
    cosine and sine let the layers above find the energy of each of ``bands`` bands. They are scaled
    to equal power over ``samples``. Rows beyond the first 2 x bands become zero.
    """
    length = embedding.weight.size(1)
    highest = 0.925 * rate / 2
    mel = torch.linspace(math.log1p(90 / 700), math.log1p(highest / 700), bands)
    frequency = 700 * torch.expm1(mel)
    spacing = (frequency + 700) * (mel[1] - mel[0])
    time = (torch.arange(length) - (length - 1) / 2) / rate
    # Windows get shorter towards high frequencies, where bands are wider.
    spread = (0.75 / (math.tau / 2 * spacing)).clamp(max=length / rate / 5).unsqueeze(1)
    window = torch.exp(-0.5 * (time / spread).square())
    angle = math.tau * frequency.unsqueeze(1) * time
    embedding.weight.zero_()
    embedding.weight[:bands] = window * torch.cos(angle)
    embedding.weight[bands:2 * bands] = window * torch.sin(angle)
    power = embedding(samples).square().mean((0, 1))
    embedding.weight[:2 * bands] /= power[:2 * bands].sqrt().unsqueeze(1).clamp(min=1e-6)


@torch.no_grad()
def start_with_energies(encoder, bands):
    """Make the first feed-forward network of MEGA the rectifier of ``start_as_filters``.

    It starts as the sum of silu(x) + silu(-x), an even function, over a band's cosine and sine.
    That is about the band's energy, and goes to a free channel. The last free channels of the
    embedding start as constants: the norm divides them by the frame's level, which so stays known.
    """
    embedding, ffn = encoder.embed_tokens, encoder.layers[0].nffn
    dim = embedding.weight.size(0)
    constants = dim - 3 * bands
    embedding.bias[3 * bands:] = 0.5 * (-1.0) ** torch.arange(constants)
    ffn.fc1.weight.mul_(0.1)
    ffn.fc2.weight.mul_(0.1)
    steepness = 2.0
    for band in range(bands):
        for sign, hidden in ((1.0, band), (-1.0, band + 2 * bands)):
            ffn.fc1.weight[hidden, band] = sign * steepness
            ffn.fc1.weight[hidden + bands, bands + band] = sign * steepness
    for band in range(bands):
        ffn.fc2.weight[2 * bands + band, band:band + 4 * bands:bands] = 1.0 / steepness
    ffn.fc2.bias[2 * bands:3 * bands] = -1.0
    # Let the first layer's gates pass its input on, so that the network above sees it unchanged.
    encoder.layers[0].mega_layer.mx_proj.bias[:dim] = -2.0
