"""The recipe of everyday translators trains on every text but the held-out ones."""

import argparse
import gzip
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import everyday  # noqa: E402


def write(path, lines):
    path.parent.mkdir(exist_ok=True)
    with gzip.open(path, 'wt', encoding='utf-8') as file:
        file.writelines(line + '\n' for line in lines)


class Load(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        tatoeba, captions = self.folder / 'tatoeba', self.folder / 'multi30k'
        write(tatoeba / 'train.tsv.gz', ['I read books.\tIch lese Bücher.', 'Go on!\tWeiter!'])
        write(tatoeba / 'valid.tsv.gz', ['Go on!\tWeiter so!'])
        write(tatoeba / 'test.tsv.gz', ['Stop!\tHalt!'])
        for part, english, german in (('train', 'A dog runs.', 'Ein Hund rennt.'),
                                      ('val', 'A cat.', 'Eine Katze.'),
                                      ('test_2016_flickr', 'A bird.', 'Ein Vogel.')):
            write(captions / f'{part}.en.gz', [english])
            write(captions / f'{part}.de.gz', [german])
        ding = self.folder / 'de-en'
        ding.write_text('Haus {n} :: house\nIch kaufe ein Haus. :: I buy a house.\n',
                        encoding='utf-8')
        self.options = argparse.Namespace(data=self.folder, ding=ding, pairs=None, source=0,
                                          start=None, merges=20, out=self.folder)

    def test_every_text_trains_but_those_held_out(self):
        tokens, checks, vocabulary = everyday.load(self.options)
        greetings = tokens.pop('everyday')
        self.assertIn((['Good', 'morning', '.'], ['Guten', 'Morgen', '.']),
                      [tuple(map(list, pair)) for pair in greetings])
        self.assertNotIn('Stop !', [' '.join(pair[0]) for pair in greetings])  # of the test part
        english = {name: [' '.join(pair[0]) for pair in pairs] for name, pairs in tokens.items()}
        self.assertEqual(english, {'tatoeba': ['I read books .'], 'captions': ['A dog runs .'],
                                   'phrases': ['I buy a house .'], 'words': ['house']})
        self.assertEqual({name: texts for name, (_, texts) in checks.items()},
                         {'tatoeba': [('Go on!', 'Weiter so!')],
                          'captions': [('A cat.', 'Eine Katze.')]})
        self.assertIn('B@@', vocabulary.symbols)  # of Bücher, which a single text has


if __name__ == '__main__':
    unittest.main()
