"""Synthetic voices speak as they should, and no command is in the lists of other words."""

import pathlib
import random
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import numpy as np  # noqa: E402

import voices  # noqa: E402


def pitch(samples):
    """The pitch of a voice in Hz, by the autocorrelation of its loudest tenth of a second."""
    size = voices.RATE // 10
    loudest = max(range(0, max(1, len(samples) - size), size // 4),
                  key=lambda begin: np.square(samples[begin:begin + size]).sum())
    part = samples[loudest:loudest + size].astype(float)
    likeness = np.correlate(part, part, 'full')[len(part) - 1:]
    shortest = voices.RATE // 400
    return voices.RATE / (shortest + likeness[shortest:voices.RATE // 60].argmax())


class TestVoices(unittest.TestCase):
    def test_a_word_is_a_command_or_none(self):
        words = voices.COMMANDS + voices.OTHER_WORDS + voices.FURTHER_WORDS
        self.assertEqual(sorted(set(words)), sorted(words))

    def test_held_out_voices_are_not_trained_on(self):
        self.assertEqual(set(voices.HELD_OUT_VARIANTS) & set(voices.ESPEAK_VARIANTS), {''})

    def test_a_clip_is_a_second(self):
        samples = np.linspace(0.1, 1.5, 20000)
        later, earlier = voices.clip_of(samples, -1000), voices.clip_of(samples, 12000)
        self.assertEqual((len(later), len(earlier)), (voices.RATE, voices.RATE))
        self.assertTrue((later[:1000] == 0).all() and later[1000] == int(0.1 * 32768))
        self.assertEqual(earlier[0], int(samples[12000] * 32768))
        self.assertTrue((earlier[8000:] == 0).all())
        self.assertEqual(voices.clip_of(samples, 4000)[-1], 32767)  # not wrapped round

    @unittest.skipUnless(shutil.which('flite'), 'flite is not installed')
    def test_a_higher_voice_is_no_faster(self):
        plain, higher = (voices.flite('house', 'rms', height=height) for height in (1.0, 1.3))
        self.assertAlmostEqual(len(higher) / len(plain), 1.0, delta=0.1)
        self.assertAlmostEqual(pitch(higher) / pitch(plain), 1.3, delta=0.15)
        slower = voices.flite('house', 'rms', slowness=1.3)
        self.assertAlmostEqual(len(slower) / len(plain), 1.3, delta=0.15)

    @unittest.skipUnless(shutil.which('flite') and shutil.which('espeak-ng'), 'no voices')
    def test_the_same_seed_says_the_same(self):
        for part in (0.0, 1.0):
            first, second = (voices.word_clip('left', random.Random(3), part) for _ in range(2))
            self.assertTrue(np.array_equal(first, second))
            self.assertGreater(np.abs(first).max(), 1000)


if __name__ == '__main__':
    unittest.main()
