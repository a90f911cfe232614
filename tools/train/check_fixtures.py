"""Compare mega.py with the golden fixtures of the original implementation.

Usage: check_fixtures.py FIXTURES_DIR
Prints the largest difference of the logits for each case; fails above the tolerance.
"""

import json
import pathlib
import sys

import numpy as np
import torch

from mega import PatchClassifier, SequenceClassifier

SPEECH_CASES = ['sc_raw_base', 'lra_cifar10', 'lra_cifar10_chunk']
IMAGE_CASES = ['image_small_conv', 'image_small_linear', 'image_small_scalenorm',
               'image_small_batchnorm_nopos_rep']


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


def check(folder, build):
    """Largest allowed difference exceeded? Return the largest difference and the tolerance."""
    path = next(folder.glob('checkpoint.pt*'))
    checkpoint = torch.load(path, map_location='cpu', weights_only=False)
    state = {name: value for name, value in checkpoint['model'].items()
             if not name.endswith(('_float_tensor', 'version'))}
    model = build(checkpoint['args'], state)
    model.load_state_dict(state)
    model.eval()
    worst, limit = 0.0, 0.0
    for path in sorted(folder.glob('in.*.values.npy')):
        expected = np.load(str(path).replace('in.', 'out.').replace('values', 'logits'))
        with torch.no_grad():
            got = model(torch.from_numpy(np.load(path)).unsqueeze(0))[0].numpy()
        worst = max(worst, float(np.abs(got - expected).max()))
        limit = 1e-4 + 1e-4 * max(1.0, float(np.abs(expected).max()))
    return worst, limit


def main():
    root = pathlib.Path(sys.argv[1])
    failed = False
    for name in SPEECH_CASES + IMAGE_CASES:
        if name in SPEECH_CASES:
            worst, limit = check(root / name, lambda args, state: SequenceClassifier(args))
        else:
            worst, limit = check(root / name, lambda args, state: image_model(state))
        failed |= not worst <= limit
        print(json.dumps({'case': name, 'max_abs_error': worst, 'ok': worst <= limit}))
    sys.exit(failed)


if __name__ == '__main__':
    main()
