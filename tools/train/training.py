"""What the recipes share: optimisers, schedule, averaged weights, checkpoints, the loop.

The schedule follows the clock: ``--minutes`` is the budget, the learning rate rises briefly, stays,
then falls linearly to zero at the end of the budget. Writing another number into the file
``minutes`` of the output folder moves the end of a run that is under way.
"""

import argparse
import copy
import os
import pathlib
import time

import torch
from torch.nn import functional as F


def common_options(description):
    """The command-line options that every recipe has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--data', type=pathlib.Path, required=True, help='data set, see README.md')
    parser.add_argument('--out', type=pathlib.Path, required=True, help='folder for checkpoints')
    parser.add_argument('--resume', action='store_true', help='go on from OUT/last.pt')
    parser.add_argument('--minutes', type=float, default=1e9, help='end after this training time')
    parser.add_argument('--epochs', type=float, default=1e9, help='end after this many epochs')
    parser.add_argument('--batch', type=int, default=64)
    parser.add_argument('--lr', type=float, default=2e-3, help='AdamW rate, for everything else')
    parser.add_argument('--muon-lr', type=float, default=4e-3, help='Muon rate, for the matrices')
    parser.add_argument('--weight-decay', type=float, default=0.1, help='of the matrices')
    parser.add_argument('--warmup', type=int, default=200, help='steps of rising rate')
    parser.add_argument('--decay-part', type=float, default=0.7, help='of the budget, falling rate')
    parser.add_argument('--average', type=float, default=0.998, help='decay of the weight average')
    parser.add_argument('--smoothing', type=float, default=0.1, help='label smoothing')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--no-compile', action='store_true', help='run without torch.compile')
    return parser


def orthogonalise(matrices):
    """Nearly orthogonal matrices of the same singular vectors, (count, rows, columns).

    Five Newton-Schulz steps of the quintic used by Muon; singular values end within 0.7 ... 1.2.
    """
    tall = matrices.size(1) > matrices.size(2)
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = torch.bmm(x, x.mT)
        x = 3.4445 * x + torch.bmm(torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum whose update of every matrix is orthogonalised first (Jordan et al. 2024).

    On these small models it needs about half the epochs of AdamW. Updates are scaled to the size
    AdamW's would have, so that similar learning rates suit both.
    """

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.0):
        super().__init__(params, {'lr': lr, 'momentum': momentum, 'weight_decay': weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}
            for param in group['params']:
                by_shape.setdefault(param.shape, []).append(param)
            for shape, params in by_shape.items():
                updates = []
                for param in params:
                    state = self.state[param]
                    if not state:
                        state['momentum'] = torch.zeros_like(param)
                    state['momentum'].lerp_(param.grad, 1 - group['momentum'])
                    updates.append(param.grad.lerp(state['momentum'], group['momentum']))
                scale = 0.2 * max(shape) ** 0.5
                for param, update in zip(params, orthogonalise(torch.stack(updates))):
                    param.mul_(1 - group['lr'] * group['weight_decay'])
                    param.add_(update, alpha=-group['lr'] * scale)


MATRICES = ('q_proj.weight', 'k_proj.weight', 'v_proj.weight', 'mx_proj.weight', 'h_proj.weight',
            'fc1.weight', 'fc2.weight')


def make_optimisers(model, options):
    """Muon for the matrices of the layers, AdamW without decay for all other parameters."""
    matrices, others = [], []
    for name, param in model.named_parameters():
        (matrices if name.endswith(MATRICES) else others).append(param)
    return [Muon(matrices, options.muon_lr, weight_decay=options.weight_decay),
            torch.optim.AdamW(others, options.lr, betas=(0.9, 0.98), weight_decay=0.0)]


def rate_factor(step, progress, options):
    """Trapezoid: up to 1 in ``warmup`` steps, then level, then to 0 over ``decay_part``."""
    return max(0.0, min(1.0, (step + 1) / options.warmup, (1.0 - progress) / options.decay_part))


class WeightAverage:
    """Exponential moving average of the weights, which is what gets evaluated and exported."""

    def __init__(self, model, decay):
        self.model = copy.deepcopy(model).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, model, step):
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - decay)


def save_atomically(data, path):
    """Write a checkpoint so that a reader never sees half of it."""
    partial = path.with_name(path.name + '.partial')
    torch.save(data, partial)
    os.replace(partial, path)


@torch.no_grad()
def predict(model, inputs, prepare=lambda x: x, batch=100):
    """Logits of all ``inputs``, in evaluation mode."""
    model.eval()
    return torch.cat([model(prepare(part)) for part in inputs.split(batch)])


def accuracy(logits, labels):
    """Percentage of rows whose largest logit is the label's."""
    return 100.0 * (logits.argmax(1) == labels).float().mean().item()


def fit(model, options, epoch_batches, steps_per_epoch, validate, export, ignored=-100):
    """Train until the budget is spent; return the averaged model and the number of epochs.

    ``epoch_batches(epoch)`` yields (inputs, targets): a tensor or a tuple of them, and class
    distributions or numbers of classes, of which ``ignored`` does not count. ``validate(model)``
    gives a figure for the log, ``export(model, path)`` writes a checkpoint for conversion.
    """
    options.out.mkdir(parents=True, exist_ok=True)
    optimisers = make_optimisers(model, options)
    average = WeightAverage(model, options.average)
    step, elapsed = 0, 0.0
    last = options.out / 'last.pt'
    if options.resume and last.exists():
        saved = torch.load(last)
        model.load_state_dict(saved['model'])
        average.model.load_state_dict(saved['average'])
        for optimiser, state in zip(optimisers, saved['optimisers']):
            optimiser.load_state_dict(state)
        step, elapsed = saved['step'], saved['elapsed']
    forward = model if options.no_compile else torch.compile(model, dynamic=False)
    compiling = not options.no_compile
    clock = time.monotonic() - elapsed
    while True:
        epoch = step // steps_per_epoch
        losses, began, budget = [], time.monotonic(), _budget(options)
        progress = 0.0
        model.train()
        for inputs, targets in epoch_batches(epoch):
            elapsed = time.monotonic() - clock
            progress = max(elapsed / budget, step / (options.epochs * steps_per_epoch))
            if progress >= 1.0:
                break
            factor = rate_factor(step, progress, options)
            for optimiser, rate in zip(optimisers, (options.muon_lr, options.lr)):
                optimiser.param_groups[0]['lr'] = rate * factor
            logits = forward(*inputs) if isinstance(inputs, tuple) else forward(inputs)
            if logits.dim() == 3:  # of every position
                logits = logits.transpose(1, 2)
            loss = F.cross_entropy(logits, targets, label_smoothing=options.smoothing,
                                   ignore_index=ignored)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimiser in optimisers:
                optimiser.step()
                optimiser.zero_grad()
            losses.append(loss.item())
            step += 1
            average.update(model, step)
            if compiling:  # The first step's compilation is no training time.
                clock += time.monotonic() - clock - elapsed
                compiling = False
        valid = validate(average.model)
        print(f'epoch {step / steps_per_epoch:.2f} loss {sum(losses) / max(len(losses), 1):.4f} '
              f'valid {valid:.4f} seconds {time.monotonic() - began:.0f} '
              f'progress {progress:.3f}', flush=True)
        export(average.model, options.out / ('preview' + export.suffix))
        save_atomically({'model': model.state_dict(), 'average': average.model.state_dict(),
                         'optimisers': [optimiser.state_dict() for optimiser in optimisers],
                         'step': step, 'elapsed': elapsed}, last)
        if progress >= 1.0:
            return average.model, step / steps_per_epoch


def _budget(options):
    """Seconds of training time, from the file ``minutes`` if there is one."""
    override = options.out / 'minutes'
    return 60.0 * (float(override.read_text()) if override.exists() else options.minutes)
