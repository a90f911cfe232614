"""Compare mega.py and sequence.py with the golden fixtures of the original implementation.

Usage: check_fixtures.py FIXTURES_DIR
Prints the largest difference of the logits for each case; fails above the tolerance.
"""

import json
import pathlib
import sys

import numpy as np
import torch
from torch.nn import functional as F

from mega import PatchClassifier, SequenceClassifier
from sequence import PAD, LanguageModel, TranslationModel

SPEECH_CASES = ['sc_raw_base', 'lra_cifar10', 'lra_cifar10_chunk']
IMAGE_CASES = ['image_small_conv', 'image_small_linear', 'image_small_scalenorm',
               'image_small_batchnorm_nopos_rep']
TRANSLATION_CASES = ['mt_small_prenorm']
LANGUAGE_CASES = ['lm_enwik8_small', 'lm_trunc_nochunk_small']


def image_model(state):
    """Build the vision model whose shape is that of ``state``."""
    attention = 'blocks.0.mega_layer.'
    dim = state['head.weight'].size(1)
    patches = state['patch_embed.pemb.proj.weight']
    dim, patch = patches.size(0), round((patches.numel() / patches.size(0) / 3) ** 0.5)
    positions = (state[attention + 'rel_pos_bias.rel_pos_bias'].numel() + 1) // 2
    norms = [name for name in state if name.startswith('final_norm.')]
    if any('running_mean' in name for name in norms):
        norm = 'batchnorm'
    else:
        norm = 'scalenorm' if norms[0].endswith('scalar') else 'layernorm'
    representation = state.get('pre_logits.fc.weight')
    return PatchClassifier(
        dim=dim, hidden=state[attention + 'v_proj.weight'].size(0),
        ffn=state['blocks.0.nffn.fc1.weight'].size(0), z_dim=state[attention + 'gamma'].size(1),
        n_dim=state[attention + 'move.gamma'].size(1),
        depth=1 + max(int(name.split('.')[1]) for name in state if name.startswith('blocks.')),
        size=patch * round(positions ** 0.5), patch=patch, classes=state['head.weight'].size(0),
        norm=norm, linear_patches=patches.dim() == 2, pos_embed='pos_embed' in state,
        representation=None if representation is None else representation.size(0))


def vocabulary(state):
    return state['decoder.embed_tokens.weight'].size(0)


def classify(model, folder):
    """Yield the model's logits for each input and the path of the expected ones."""
    for path in sorted(folder.glob('in.*.values.npy')):
        logits = model(torch.from_numpy(np.load(path)).unsqueeze(0))
        yield logits, str(path).replace('in.', 'out.').replace('values', 'logits')


def translate(model, folder):
    """Yield logits for given targets, of each source as it is and padded: they must be the same."""
    for path in sorted(folder.glob('in.*.src.npy')):
        source = torch.from_numpy(np.load(path)).unsqueeze(0)
        previous = torch.from_numpy(np.load(str(path).replace('src', 'prev'))).unsqueeze(0)
        expected = str(path).replace('in.', 'out.').replace('src', 'logits')
        yield model(source, previous), expected
        yield model(F.pad(source, (0, 5), value=PAD), previous), expected


def predict(model, folder):
    """Yield logits of language models; padding up to whole chunks is cut off again."""
    chunk = model.decoder.layers[0].mega_layer.chunk or 1
    for path in sorted(folder.glob('L*.input.npy')):
        tokens = torch.from_numpy(np.load(path)).unsqueeze(0)
        length = tokens.size(1)
        if length > chunk:
            tokens = F.pad(tokens, (0, -length % chunk), value=PAD)
        yield model(tokens)[:, :length], str(path).replace('input', 'logits')


FAMILIES = [
    (SPEECH_CASES, lambda args, state: SequenceClassifier(args), classify),
    (IMAGE_CASES, lambda args, state: image_model(state), classify),
    (TRANSLATION_CASES, lambda args, state: TranslationModel(args, vocabulary(state)), translate),
    (LANGUAGE_CASES, lambda args, state: LanguageModel(args, vocabulary(state)), predict),
]


@torch.no_grad()
def check(folder, build, run):
    """(number of comparisons, largest difference, whether each is within its tolerance)"""
    path = next(folder.glob('checkpoint.pt*'))
    checkpoint = torch.load(path, map_location='cpu', weights_only=False)
    state = {name: value for name, value in checkpoint['model'].items()
             if not name.endswith(('_float_tensor', 'version'))}
    model = build(checkpoint['args'], state)
    model.load_state_dict(state)
    model.eval()
    count, worst, ok = 0, 0.0, True
    for got, path in run(model, folder):
        expected = np.load(path)
        difference = float(np.abs(got[0].numpy() - expected).max())
        ok &= difference <= 1e-4 + 1e-4 * max(1.0, float(np.abs(expected).max()))
        count, worst = count + 1, max(worst, difference)
    return count, worst, ok and count > 0


def main():
    root = pathlib.Path(sys.argv[1])
    failed = False
    for names, build, run in FAMILIES:
        for name in names:
            count, worst, ok = check(root / name, build, run)
            failed |= not ok
            print(json.dumps({'case': name, 'compared': count, 'max_abs_error': worst, 'ok': ok}))
    sys.exit(failed)


if __name__ == '__main__':
    main()
