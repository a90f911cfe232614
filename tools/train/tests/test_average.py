"""All ways to compute a moving average give the same sums and gradients."""

import os
import pathlib
import sys
import unittest
from unittest import mock

os.environ.setdefault('OMP_NUM_THREADS', '1')
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import mega  # noqa: E402
import sequence  # noqa: E402


def direct(move, x, causal):
    """The average by its definition, position by position."""
    length, dim = x.size(1), x.size(2)
    kernel = move.kernel(length)
    y = move.omega * x
    for t in range(length):
        for s in range(length):
            lag = t - s
            if lag >= 0:
                weight = kernel[:dim, lag]
                if lag == 0 and not causal and not move.vision:
                    weight = weight + kernel[dim:, 0]
            elif causal:
                continue
            else:
                weight = kernel[dim:, -lag - move.vision]
            step = torch.zeros(1, length, 1)
            step[0, t] = 1.0
            y = y + step * (weight * x[:, s]).unsqueeze(1)
    return F.silu(y)


class Averages(unittest.TestCase):
    def compare(self, move, length, causal, limits):
        """Compare with the definition; ``limits`` replace TOEPLITZ_LIMIT and TRANSFORM_LIMIT."""
        matrix, transform = limits
        torch.manual_seed(length)
        x = torch.randn(2, length, 3, requires_grad=True)
        with mock.patch.object(mega, 'TOEPLITZ_LIMIT', matrix), \
                mock.patch.object(sequence, 'TOEPLITZ_LIMIT', matrix), \
                mock.patch.object(mega, 'TRANSFORM_LIMIT', transform), \
                mock.patch.object(mega, 'CHUNK', 8):
            results = [f(x) for f in (move, lambda x: direct(move, x, causal))]
        towards = torch.randn_like(x)
        inputs = [x, *move.parameters()]
        gradients = [torch.autograd.grad((y * towards).sum(), inputs) for y in results]
        self.assertLess((results[0] - results[1]).abs().max(), 1e-4)
        for one, other in zip(*gradients):
            self.assertLess((one - other).abs().max(), 2e-3 * max(1.0, other.abs().max().item()))

    def test_lengths_around_chunks(self):
        for length in (1, 7, 8, 9, 16, 21):
            for limits in ((64, 64), (0, 64), (0, 0)):
                for kind in ('both', 'vision', 'causal'):
                    with self.subTest(length=length, limits=limits, kind=kind):
                        torch.manual_seed(1)
                        if kind == 'causal':
                            move = sequence.CausalAverage(3, 4)
                        else:
                            move = mega.MovingAverage(3, 4, vision=kind == 'vision')
                        self.compare(move, length, kind == 'causal', limits)

    def test_a_truncated_average_is_not_carried_on(self):
        torch.manual_seed(2)
        for move, causal in ((mega.MovingAverage(3, 4, 5), False),
                             (sequence.CausalAverage(3, 4, 5), True)):
            self.assertFalse(move.is_exponential(5000))
            self.compare(move, 21, causal, (0, 0))


if __name__ == '__main__':
    unittest.main()
