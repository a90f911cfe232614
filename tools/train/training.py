"""The part that all recipes share: options, optimisers, schedule, averages, checkpoints, the loop.

The schedule follows the clock: ``--minutes`` is the budget, the learning rate rises briefly, stays,
then falls linearly to zero at the end of the budget. Without a budget it stays, and a later
``--resume --minutes ... --decay-minutes ...`` lets it fall. Writing another number into the file
``minutes`` of the output folder moves the end of a run that is under way. With ``--processor-time``
the clock is the first process's processor time, so that runs can be compared even if other programs
run at the same time.

``--processes 2`` trains one model with two processes: parameters, gradients and the optimisers'
state are in shared memory, every process computes the gradient of its own batch, and every process
updates its share of the parameters with the mean of the gradients.
"""

import argparse
import collections
import copy
import ctypes.util
import itertools
import math
import multiprocessing
import os
import pathlib
import pickle
import shutil
import signal
import subprocess
import sys
import time
import traceback

import torch
from torch.nn import functional as F

import curve
import inputs

MATRICES = ('q_proj.weight', 'k_proj.weight', 'v_proj.weight', 'mx_proj.weight', 'h_proj.weight',
            'fc1.weight', 'fc2.weight', 'out_proj.weight', 'output_linear.0.weight')


def positive(kind):
    """The type of options whose values are numbers above zero."""
    def read(text):
        value = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f'{text} is not above zero')
        return value

    read.__name__ = kind.__name__  # for argparse's own message
    return read


def fraction(text):
    """The type of options whose values are numbers from 0 to below 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f'{text} is not from 0 to below 1')
    return value


fraction.__name__ = 'float'


def common_options(description, data='--data', what='data set, see README', **parser_options):
    """A parser with the options of every recipe; without ``data`` a recipe has no files."""
    parser = argparse.ArgumentParser(description=description, **parser_options)
    if data:
        parser.add_argument(data, dest='data', type=pathlib.Path, required=True, help=what)
        parser.add_argument('--out', type=pathlib.Path, required=True, help='folder of checkpoints')
    parser.add_argument('--resume', action='store_true', help='go on from OUT/last.pt')
    parser.add_argument('--minutes', type=positive(float), default=1e9,
                        help='end after this training time')
    parser.add_argument('--processor-time', action='store_true',
                        help='minutes are processor time, which other programs hardly change')
    parser.add_argument('--epochs', type=positive(float), default=1e9,
                        help='end after this many epochs')
    parser.add_argument('--steps', type=positive(int), default=10 ** 12,
                        help='end after this many steps')
    parser.add_argument('--save-minutes', type=positive(float), default=5.0,
                        help='training time between checkpoints')
    parser.add_argument('--valid-minutes', type=positive(float), default=1e9,
                        help='training time between validations, besides those after epochs')
    parser.add_argument('--processes', type=positive(int), default=1,
                        help='number of processes that train the model together')
    parser.add_argument('--batch', type=positive(int), default=64)
    parser.add_argument('--lr', type=float, default=2e-3, help='AdamW rate, for everything else')
    parser.add_argument('--muon-lr', type=float, default=4e-3, help='Muon rate, for the matrices')
    parser.add_argument('--weight-decay', type=float, default=0.1, help='decay of the matrices')
    parser.add_argument('--warmup', type=positive(int), default=200, help='steps of rising rate')
    parser.add_argument('--decay-part', type=float, default=0.7,
                        help='part of the budget in which the rate falls')
    parser.add_argument('--decay-minutes', type=float,
                        help='minutes in which the rate falls, instead of a part of the budget')
    parser.add_argument('--average', type=fraction, default=0.998,
                        help='decay of the weight average')
    parser.add_argument('--smoothing', type=fraction, default=0.1, help='label smoothing')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--threads', type=positive(int), default=1, help='threads of each process')
    parser.add_argument('--no-compile', action='store_true', help='run without torch.compile')
    parser.set_defaults(epoch_reports=True)  # validate at the end of epochs
    return parser


def set_user_defaults(parser, minutes):
    """Set defaults for data of one's own: no wait for torch.compile, and early reports.

    There are a dozen validations in a run, however many epochs it has.
    """
    parser.set_defaults(minutes=minutes, valid_minutes=None, epoch_reports=False, no_compile=True)


def explain(error, path=None):
    """A sentence that says what is wrong with a file: ``path``, unless the error names one."""
    if isinstance(error, OSError) and error.filename is not None:
        return f'{error.filename}: {error.strerror}'
    return f'{path}: {error}' if path else str(error)


def load_flat():
    """Return the module flat, or None if there is no C++ compiler for its operators."""
    try:
        import flat
    except (OSError, subprocess.CalledProcessError):
        print('there is no C++ compiler (c++), without which training takes up to twice as long',
              flush=True)
        return None
    return flat


def prepare(options):
    """Check the options and set up PyTorch; restart Python once if jemalloc is not loaded yet.

    PyTorch spends much of its time on memory that is new from the system. An allocator that never
    gives pages back, and large pages, make the recipes 1.4 times as fast.
    """
    library = ctypes.util.find_library('jemalloc')
    if library and 'MALLOC_CONF' not in os.environ:
        os.environ.update(
            OMP_NUM_THREADS=str(options.threads), LD_PRELOAD=library,
            MALLOC_CONF='thp:always,metadata_thp:auto,oversize_threshold:0,'
                        'dirty_decay_ms:-1,muzzy_decay_ms:-1')
        os.execv(sys.executable, sys.orig_argv)
    if getattr(options, 'convert', None) and not shutil.which(options.convert):
        # Without this check the run would fail at its end.
        sys.exit(f'{options.convert}: there is no such program; --convert names mega-convert')
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(options.seed)
    if options.valid_minutes is None:
        options.valid_minutes = options.minutes / 12
    if 'out' in options:
        try:
            options.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            sys.exit(explain(error))
        if (options.out / 'last.pt').exists() and not options.resume:
            sys.exit(f'{options.out} has a run already: --resume goes on with it, another --out '
                     'begins a new one')


def orthogonalise(matrices):
    """Nearly orthogonal matrices with the singular vectors of ``matrices``, all of one shape.

    Five Newton-Schulz steps of Muon's quintic bring the singular values to about 0.7 ... 1.2, also
    where the processor has products in bfloat16, which are used then.
    """
    kind = torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
    results = []
    for matrix in matrices:
        tall = matrix.size(0) > matrix.size(1)
        x = matrix.mT if tall else matrix
        x = (x / (x.norm() + 1e-7)).to(kind).contiguous()
        for _ in range(5):
            gram = x @ x.mT
            quadratic = (gram @ gram).mul_(2.0315).add_(gram, alpha=-4.7750)
            quadratic.diagonal().add_(3.4445)
            x = quadratic @ x
        results.append((x.mT if tall else x).float())
    return results


def rate_factor(step, progress, options):
    """The rate's trapezoid: up to 1 in ``warmup`` steps, then level, then to 0 over the decay."""
    part = options.decay_part
    if options.decay_minutes is not None:
        part = 60.0 * options.decay_minutes / budget(options)
    return max(0.0, min(1.0, (step + 1) / options.warmup, (1.0 - progress) / max(part, 1e-12)))


class Optimiser:
    """Muon for the matrices of the layers, AdamW without decay for all other parameters.

    Muon is momentum whose update of every matrix is orthogonalised first (Jordan et al. 2024). On
    these small models it needs about half the epochs of AdamW. Updates are scaled to the size of
    AdamW's, so that similar learning rates suit both. ``state`` maps the names of moments to
    tensors by the parameters' names.
    """

    MOMENTUM, FIRST, SECOND, EPSILON = 0.95, 0.9, 0.98, 1e-8

    def __init__(self, model, options):
        self.params = dict(model.named_parameters())
        self.options = options
        self.state = {'momentum': {}, 'first': {}, 'second': {}}
        for name, param in self.params.items():
            for moment in ('momentum',) if name.endswith(MATRICES) else ('first', 'second'):
                self.state[moment][name] = torch.zeros_like(param).detach()

    @torch.no_grad()
    def step(self, gradients, factor, count):
        """Make the ``count``-th update, of the parameters that ``gradients`` has."""
        by_shape, others = collections.defaultdict(list), []
        for name in gradients:
            if name in self.state['momentum']:
                by_shape[self.params[name].shape].append(name)
            else:
                others.append(name)
        for shape, names in by_shape.items():
            self._muon(shape, names, gradients, self.options.muon_lr * factor)
        if others:
            self._adam(others, gradients, self.options.lr * factor, count)

    def _muon(self, shape, names, gradients, rate):
        params, grads = [self.params[n] for n in names], [gradients[n] for n in names]
        momenta = [self.state['momentum'][n] for n in names]
        torch._foreach_lerp_(momenta, grads, 1 - self.MOMENTUM)
        updates = orthogonalise(torch._foreach_lerp(grads, momenta, self.MOMENTUM))
        torch._foreach_mul_(params, 1 - rate * self.options.weight_decay)
        torch._foreach_add_(params, updates, alpha=-rate * 0.2 * max(shape) ** 0.5)

    def _adam(self, names, gradients, rate, count):
        params, grads = [self.params[n] for n in names], [gradients[n] for n in names]
        first, second = ([self.state[moment][n] for n in names] for moment in ('first', 'second'))
        torch._foreach_lerp_(first, grads, 1 - self.FIRST)
        torch._foreach_mul_(second, self.SECOND)
        torch._foreach_addcmul_(second, grads, grads, 1 - self.SECOND)
        scale = torch._foreach_sqrt(second)
        torch._foreach_div_(scale, math.sqrt(1 - self.SECOND ** count))
        torch._foreach_add_(scale, self.EPSILON)
        torch._foreach_addcdiv_(params, first, scale, -rate / (1 - self.FIRST ** count))

    def cost(self, name):
        """How long the update of a parameter takes, in no particular unit."""
        size = self.params[name].numel()
        if name in self.state['momentum']:
            return size * (30 + min(self.params[name].shape))
        return 100 + size

    def shares(self, count):
        """Divide the parameters' names between processes, beginning with the most costly ones."""
        shares, loads = [[] for _ in range(count)], [0] * count
        for name in sorted(self.params, key=lambda name: (-self.cost(name), name)):
            least = loads.index(min(loads))
            shares[least].append(name)
            loads[least] += self.cost(name)
        return shares


class Team:
    """The processes that train one model together, and the numbers that they exchange."""

    PATIENCE = 3600.0  # seconds; compiling on a busy machine takes minutes

    def __init__(self, size):
        self.size, self.rank, self.children = size, 0, []
        self.barrier = multiprocessing.get_context('fork').Barrier(size)
        self.numbers = torch.zeros(4, size, dtype=torch.float64).share_memory_()

    def fork(self):
        """Start the others. Each of them returns from here with a rank of its own.

        Threads of a pool do not survive a fork, so that every process has one thread.
        """
        if self.size > 1 and torch.get_num_threads() > 1:
            raise inputs.Problem('several processes have one thread each; leave --threads at 1')
        for rank in range(1, self.size):
            child = os.fork()
            if child == 0:
                self.rank, self.children = rank, []
                return
            self.children.append(child)

    def wait(self):
        if self.size > 1:
            self.barrier.wait(self.PATIENCE)

    def exchange(self, first, *values):
        """Return the values of all processes, a row for each value, a column for each process.

        They pass through the rows of ``numbers`` from ``first`` on, which may be used again after
        the next wait.
        """
        rows = slice(first, first + len(values))
        self.numbers[rows, self.rank] = torch.tensor(values, dtype=torch.float64)
        self.wait()
        return self.numbers[rows].clone()

    def finish(self, failed):
        """End the children; the first process waits for them."""
        if failed:
            self.barrier.abort()
        if self.rank > 0:
            sys.stdout.flush()
            os._exit(1 if failed else 0)
        for child in self.children:
            os.waitpid(child, 0)


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


def dense_loss(model, options, ignored=-100):
    """Return the usual loss of a batch (inputs, targets); inputs are a tensor or a tuple of them.

    Targets are distributions or numbers of classes, of which ``ignored`` does not count.
    """
    forward = model if options.no_compile else torch.compile(model, dynamic=False)

    def loss(batch):
        inputs, targets = batch
        logits = forward(*inputs) if isinstance(inputs, tuple) else forward(inputs)
        if logits.dim() == 3:  # every position has logits
            logits = logits.transpose(1, 2)
        return F.cross_entropy(logits, targets, label_smoothing=options.smoothing,
                               ignore_index=ignored)

    return loss


def series_loss(flat, model, options, rate):
    """Return the loss of a classifier of clips or pictures, on flat batches if its layers suit.

    ``flat`` is the result of ``load_flat``, ``rate`` the rate of dropout.
    """
    if not (flat and flat.FlatSeries.suits(model)):
        return dense_loss(model, options)
    fast = flat.FlatSeries(model, rate)

    def loss(batch):
        inputs, targets = batch
        logits = fast.logits(inputs[0] if isinstance(inputs, tuple) else inputs)
        return F.cross_entropy(logits, targets, label_smoothing=options.smoothing)

    return loss


NEARLY_DONE = 0.98  # from here on there is no report before the one at the end of the run


class Mismatch(ValueError):
    """A checkpoint is damaged, or belongs to another model."""


class Run:
    """One training run: the model, its average, the optimiser's state and how far it has come.

    ``epoch`` and ``batch`` say which batch comes next. Random numbers depend on the seed and the
    step alone, so that a resumed run goes on as if it had never stopped.
    """

    COUNTERS = ('step', 'epoch', 'batch', 'elapsed')

    def __init__(self, model, options):
        self.model, self.options = model, options
        self.average = copy.deepcopy(model).eval()
        self.optimiser = Optimiser(model, options)
        self.step = self.epoch = self.batch = 0
        self.elapsed = 0.0
        self.history = []  # the figures of each report, for the curve

    def save(self, path):
        save_atomically({'model': self.model.state_dict(), 'average': self.average.state_dict(),
                         'optimiser': self.optimiser.state, 'history': self.history,
                         **{name: getattr(self, name) for name in self.COUNTERS}}, path)

    def load(self, path):
        try:
            saved = torch.load(path)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise Mismatch(f'{path} is damaged, or is not a checkpoint') from error
        try:
            self.model.load_state_dict(saved['model'])
        except RuntimeError as error:
            raise Mismatch(f'{path} is of a model of other sizes or other data; --resume needs the '
                           'data and the sizes of its run') from error
        self.average.load_state_dict(saved['average'])
        for moment, tensors in self.optimiser.state.items():
            for name, tensor in tensors.items():
                tensor.copy_(saved['optimiser'][moment][name])
        self.history = saved.get('history', [])
        for name in self.COUNTERS:
            setattr(self, name, saved[name])

    def share_memory(self):
        self.model.share_memory()
        self.average.share_memory()
        for tensors in self.optimiser.state.values():
            for tensor in tensors.values():
                tensor.share_memory_()

    def progress(self, batches_per_epoch):
        """The part of the budget that is spent, by the clock, the steps or the epochs."""
        options = self.options
        return max(self.elapsed / budget(options), self.step / options.steps,
                   (self.epoch + min(1.0, self.batch / batches_per_epoch)) / options.epochs)


class _Loop:
    """The steps of one process. All decide alike, since they decide by numbers they exchanged."""

    def __init__(self, run, team, loss):
        self.run, self.team, self.loss = run, team, loss
        self.gradients = [{name: torch.zeros_like(param).detach().share_memory_()
                           for name, param in run.optimiser.params.items()}
                          for _ in range(team.size)]
        self.clock = time.process_time if run.options.processor_time else time.monotonic
        self.stopping, self.first = False, True
        self.losses, self.norm = [], 0.0

    def begin(self):
        """Set up this process's gradients and its share of the updates, after the fork."""
        run, team = self.run, self.team
        for name, param in run.optimiser.params.items():
            param.grad = self.gradients[team.rank][name]
        names = run.optimiser.shares(team.size)[team.rank]
        averages = dict(run.average.named_parameters())
        self.mean = {name: torch.zeros_like(run.optimiser.params[name]) for name in names}
        self.mine = [run.optimiser.params[name] for name in names]
        self.averages = [averages[name] for name in names]
        self.mark = self.clock()

    def step(self, group, progress):
        """Train on one batch in each process."""
        run, team = self.run, self.team
        run.model.train()
        torch.manual_seed((run.options.seed * 1000003 + run.step) * 64 + team.rank)
        batch = group[team.rank]
        loss = self.loss(batch() if callable(batch) else batch)
        loss.backward()
        now = self.clock()
        # The first step compiles the model, so its time does not count as training.
        spent = 0.0 if self.first and not run.options.no_compile else now - self.mark
        self.mark, self.first = now, False
        told = team.exchange(0, spent, float(self.stopping), loss.item())
        run.elapsed += told[0, 0].item()
        self.stopping = bool(told[1].any())
        self.losses.append(told[2].mean().item())
        self.update(rate_factor(run.step, progress, run.options))
        run.batch += team.size
        team.wait()

    @torch.no_grad()
    def update(self, factor):
        """Apply the mean of all gradients, clipped; every process changes its own parameters."""
        run, team = self.run, self.team
        mean = list(self.mean.values())
        torch._foreach_copy_(mean, [self.gradients[0][name] for name in self.mean])
        for others in self.gradients[1:]:
            torch._foreach_add_(mean, [others[name] for name in self.mean])
        torch._foreach_mul_(mean, 1.0 / team.size)
        squares = torch.stack(torch._foreach_norm(mean)).square().sum().item()
        self.norm = math.sqrt(team.exchange(3, squares).sum().item())
        torch._foreach_zero_(list(self.gradients[team.rank].values()))
        torch._foreach_mul_(mean, min(1.0, 1.0 / (self.norm + 1e-6)))
        run.step += 1
        run.optimiser.step(self.mean, factor, run.step)
        decay = min(run.options.average, (1 + run.step) / (10 + run.step))
        torch._foreach_lerp_(self.averages, self.mine, 1 - decay)

    def pause(self, work):
        """Let the first process do work that does not count as training; return how long it took.

        The caller puts off the next validation if this one was slow, so that most of the time is
        for training.
        """
        began = self.clock()
        if self.team.rank == 0:
            work()
        took = self.team.exchange(0, self.clock() - began)[0, 0].item()
        self.team.wait()
        self.mark = self.clock()
        return took


class Status:
    """Shows on one line how far a run has come, if standard error is a terminal."""

    EVERY = 0.5  # seconds

    def __init__(self, wanted):
        self.wanted = wanted and sys.stderr.isatty()
        self.shown = 0.0

    def show(self, run, losses, progress):
        now = time.monotonic()
        if not self.wanted or now - self.shown < self.EVERY:
            return
        self.shown = now
        recent = losses[-20:]
        left = run.elapsed / progress * (1 - progress) / 60 if progress > 0 else math.inf
        print(f'\r\033[Kstep {run.step}, loss {sum(recent) / len(recent):.3f}, '
              f'{100 * progress:.0f} %, {left:.1f} minutes left', end='', file=sys.stderr,
              flush=True)

    def clear(self):
        if self.wanted and self.shown:
            print('\r\033[K', end='', file=sys.stderr, flush=True)


def _groups(batches, skipped, size):
    """Yield groups of ``size`` batches; an epoch's last batches that fill no group are left out."""
    batches = itertools.islice(batches, skipped, None)
    while len(group := list(itertools.islice(batches, size))) == size:
        yield group


def fit(model, options, epoch_batches, steps_per_epoch, validate, export, loss=None, ignored=-100):
    """Train until the budget is spent; return the averaged model and the number of epochs.

    ``epoch_batches(epoch)`` yields about ``steps_per_epoch`` batches, or functions that make them,
    always the same ones for an epoch. ``loss(batch)`` is the mean loss of a batch, by default that
    of ``dense_loss``. ``validate(model)`` returns a figure, or a dict of figures by name, for the
    log and the curve, and ``export(model, path)`` writes a checkpoint for conversion.

    SIGTERM and Ctrl-C end a run after its step, with a checkpoint, and at once the second time.
    """
    run = Run(model, options)
    last = options.out / 'last.pt'
    if options.resume and last.exists():
        run.load(last)
    loop = _Loop(run, Team(options.processes), loss or dense_loss(model, options, ignored))
    run.share_memory()
    loop.team.fork()
    failed = True
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number, _):
        loop.stopping = True
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, stop)
    try:
        _train(loop, epoch_batches, steps_per_epoch, validate, export)
        failed = False
    except Exception:
        if loop.team.rank > 0:  # nobody else would report it
            traceback.print_exc()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        loop.team.finish(failed)
    return run.average, run.epoch + run.batch / steps_per_epoch


def figure(name, value):
    """A figure of validation as it is printed; the name of a percentage ends with its sign."""
    return f'{name[:-2]} {value:.1f} %' if name.endswith(' %') else f'{name} {value:.4g}'


def _train(loop, epoch_batches, steps_per_epoch, validate, export):
    run, options = loop.run, loop.run.options
    due = {'valid': run.elapsed + 60 * options.valid_minutes,
           'save': run.elapsed + 60 * options.save_minutes}

    def report():
        figures = validate(run.average)
        if not isinstance(figures, dict):
            figures = {'valid': figures}
        told = ', '.join(figure(name, value) for name, value in figures.items())
        mean = sum(loop.losses) / max(len(loop.losses), 1)
        status.clear()
        print(f'minute {run.elapsed / 60:.1f} ({100 * min(1.0, progress):.0f} %): {told}; '
              f'training loss {mean:.4g}, gradient norm {loop.norm:.2f}, step {run.step}, '
              f'epoch {run.epoch + run.batch / steps_per_epoch:.2f}', flush=True)
        if loop.losses:
            run.history.append({'minutes': run.elapsed / 60, 'training loss': mean, **figures})
            curve.draw(run.history, options.out / 'curve.svg')
        export(run.average, options.out / ('preview' + export.suffix))
        run.save(options.out / 'last.pt')

    loop.begin()
    progress = run.progress(steps_per_epoch)
    status = Status(loop.team.rank == 0)
    while progress < 1.0 and not loop.stopping:
        for group in _groups(epoch_batches(run.epoch), run.batch, loop.team.size):
            loop.step(group, progress)
            progress = run.progress(steps_per_epoch)
            status.show(run, loop.losses, progress)
            if progress >= 1.0 or loop.stopping:
                break
            if run.elapsed >= due['valid'] and progress < NEARLY_DONE:
                took = loop.pause(report)
                loop.losses = []
                due['valid'] = run.elapsed + max(60 * options.valid_minutes, 4 * took)
            elif run.elapsed >= due['save']:
                loop.pause(lambda: run.save(options.out / 'last.pt'))
                due['save'] = run.elapsed + 60 * options.save_minutes
        else:
            if run.batch == 0:
                raise inputs.Problem('an epoch has fewer batches than there are processes')
            run.epoch, run.batch = run.epoch + 1, 0
            progress = run.progress(steps_per_epoch)
        if options.epoch_reports or progress >= 1.0 or loop.stopping:
            loop.pause(report)
            loop.losses = []


def budget(options):
    """Seconds of training time, from the file ``minutes`` if there is one.

    The file is read before every step. If it holds no number, for example because it is just being
    written, the budget stays as it was.
    """
    try:
        options.minutes = positive(float)((options.out / 'minutes').read_text())
    except (OSError, ValueError, argparse.ArgumentTypeError):
        pass
    return 60.0 * options.minutes
