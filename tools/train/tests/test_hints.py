"""Hints say, at the end of each word, which class it speaks for."""

import os
import pathlib
import random
import sys
import unittest

os.environ['OMP_NUM_THREADS'] = '1'
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import torch  # noqa: E402

from hints import Hints, words_of  # noqa: E402


def write_texts(count, seed):
    """Texts whose class follows from "good" and "bad", unless "not" is before them."""
    chance = random.Random(seed)
    texts, targets = [], []
    for _ in range(count):
        said, target = chance.choice((('good', 1), ('not bad', 1), ('bad', 0), ('not good', 0)))
        words = [chance.choice('abcdefgh') for _ in range(12)]
        texts.append(' '.join([*words[:6], said, *words[6:]]).encode())
        targets.append(target)
    return texts, torch.tensor(targets)


class TestHints(unittest.TestCase):
    def test_words_and_pairs_end_where_they_end(self):
        self.assertEqual(words_of('Ein gutes  Öl!'.encode()),
                         [(b'ein', 2), (b'gutes', 8), (b'ein gutes', 8),
                          ('Öl'.encode().lower(), 13), ('gutes Öl'.encode().lower(), 13),
                          (b'!', 14), ('Öl !'.encode().lower(), 14)])
        self.assertEqual(words_of(b' ,'), [])

    def test_words_speak_for_their_class(self):
        texts, targets = write_texts(800, 1)
        hints = Hints(texts, targets, 2, 1)
        others, expected = write_texts(300, 2)
        self.assertGreater(hints.accuracy(others, expected), 95)
        places, values = hints(b'good film unheard not good')
        self.assertEqual(places.tolist(), [3, 8, 16, 20, 25])
        self.assertGreater(values[0, 1], 0)
        self.assertLess(values[4, 1], -0.5)
        self.assertEqual(values[2].tolist(), [0, 0])  # no text has it
        self.assertTrue(torch.allclose(values.sum(1), torch.zeros(5), atol=1e-5))
        told = torch.cat([hints(text)[1] for text in texts])
        self.assertAlmostEqual(told.std().item(), 1, places=4)

    def test_a_text_without_words_has_no_hints(self):
        hints = Hints(*write_texts(50, 1), 2, 1)
        places, values = hints(b'')
        self.assertEqual((len(places), tuple(values.shape)), (0, (0, 2)))


if __name__ == '__main__':
    unittest.main()
