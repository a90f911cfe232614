"""Times the encoders of the original's named configurations in PyTorch and in mega-run.

Usage: compare_torch.py BUILD_FOLDER [--threads 2] [--repeats 5] [--compile]
The models have random weights: tools/train/mega.py builds them, mega-convert imports them, so both
compute the same function. Laplace attention everywhere, which is all that mega.py has. PyTorch runs
without gradients, best with jemalloc preloaded (LD_PRELOAD). Runs alternate, and the best of each
side counts. Prints a Markdown table.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'train'))
from mega import SequenceClassifier  # noqa: E402

# name: d, h, ffn, z, layers, norm, chunk, truncation, length
SHAPES = {
    'sc_raw_base, 1 s of speech': (60, 120, 120, 30, 6, 'batchnorm', 1000, 1000, 16000),
    'lra_imdb, 4,096 bytes': (128, 256, 256, 64, 4, 'scalenorm', 128, 1024, 4096),
    'lra_cifar10, 1,024 pixels': (160, 320, 320, 96, 8, 'batchnorm', -1, 1024, 1024),
    'lra_pf128 (Path-X), 16,384 pixels': (64, 128, 128, 32, 4, 'batchnorm', 4096, 4096, 16384),
}


def build(shape):
    d, h, ffn, z, layers, norm, chunk, truncation, length = shape
    args = argparse.Namespace(
        arch='mega', input_type='audio', encoder_layers=layers, encoder_embed_dim=d,
        encoder_hidden_dim=h, encoder_ffn_embed_dim=ffn, z_dim=z, n_dim=16, chunk_size=chunk,
        truncation_length=truncation, rel_pos_bias='simple', norm_type=norm,
        encoder_normalize_before=True, activation_fn='silu', attention_activation_fn='laplace',
        classifier_activation_fn='gelu', sen_rep_type='mp', classifier_layers=1,
        classifier_out_dim=2 * d, sentence_class_num=10, dropout=0.0, normalize_embedding=False,
        max_source_positions=length, max_positions=length, audio_mean=0.0, audio_std=1.0)
    torch.manual_seed(1)
    return SequenceClassifier(args).eval(), args


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('build', type=pathlib.Path)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--compile', action='store_true', help='torch.compile instead of eager')
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f'PyTorch {torch.__version__}{" compiled" if options.compile else ""}, '
          f'{options.threads} threads\n')
    print('| shape | PyTorch | mega-run | ratio | of the limit | peak memory |')
    print('|---|---:|---:|---:|---:|---:|')
    for name, shape in SHAPES.items():
        model, args = build(shape)
        with tempfile.TemporaryDirectory() as folder:
            checkpoint, converted = f'{folder}/model.pt', f'{folder}/model.mega'
            torch.save({'model': model.state_dict(), 'args': args}, checkpoint)
            subprocess.run([options.build / 'mega-convert', '-q', '-o', converted, checkpoint],
                           check=True)
            run = torch.compile(model, dynamic=False) if options.compile else model
            samples = torch.randn(1, shape[-1])
            torch_best, ours, best = 1e9, None, 1e9
            with torch.no_grad():
                run(samples)
                for _ in range(options.repeats):
                    begun = time.monotonic()
                    run(samples)
                    torch_best = min(torch_best, time.monotonic() - begun)
                    output = subprocess.run(
                        [options.build / 'mega-run', 'bench', '-m', converted, '--format', 'json',
                         '--length', str(shape[-1]), '--threads', str(options.threads),
                         '--repeats', '3'], stdout=subprocess.PIPE, check=True).stdout
                    result = json.loads(output)
                    if result['mean_ms'] < best:
                        best, ours = result['mean_ms'], result
        print(f'| {name} | {torch_best * 1e3:.0f} ms | {best:.1f} ms | {torch_best * 1e3 / best:.1f} '
              f'x | {100 * ours["of_limit"]:.0f} % | {ours["peak_mb"]:.0f} MB |', flush=True)


if __name__ == '__main__':
    main()
