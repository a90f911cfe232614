"""Texts for translators: lines of the dictionary, cleaning, BPE, and variations."""

import collections
import gzip
import pathlib
import random
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import pairs  # noqa: E402
import translate  # noqa: E402


class Ding(unittest.TestCase):
    def read(self, *lines):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, 'de-en')
            path.write_text(''.join(line + '\n' for line in lines), encoding='utf-8')
            return list(pairs.read_ding(path))

    def test_forms_are_aligned_and_notes_are_dropped(self):
        self.assertEqual(
            self.read('# Version :: devel',
                      'Hund {m} [zool.] | Hunde {pl} (Tiere) :: dog /D/ | dogs <dogges>'),
            [('dog', 'Hund', None), ('dogs', 'Hunde', None)])

    def test_later_alternatives_are_sources_only(self):
        self.assertEqual(self.read('Auto {n}; Wagen {m} :: car; automobile'),
                         [('car', 'Auto', None), ('automobile', 'Auto', 'en'),
                          ('car', 'Wagen', 'de')])

    def test_unwanted_and_unclear_alternatives_are_left_out(self):
        self.assertEqual(self.read('Gaul {m} [pej.]; Pferd {n} :: nag [coll.] [pej.]; horse',
                                   'stellen/einbringen :: to move/propose',
                                   'Mist! [vulg.] :: damn'),
                         [('horse', 'Pferd', None)])

    def test_abbreviations_are_written_out(self):
        self.assertEqual(self.read("jdm. etw. geben {vt} :: to give sb. sth."),
                         [('to give somebody something', 'jemandem etwas geben', None)])

    def test_sides_that_do_not_match_are_left_out(self):
        self.assertEqual(self.read('eins | zwei :: one', 'ohne Trenner'), [])


class Cleaning(unittest.TestCase):
    def test_duplicates_and_held_out_sentences_leave(self):
        given = [('A dog.', 'Ein Hund.'), ('A dog.', 'Ein Hund.'), ('A cat.', 'Eine Katze.'),
                 ('The cat!', 'Eine Katze'), ('Birds sing.', 'Vögel singen.')]
        self.assertEqual(pairs.clean(given, [('a CAT', 'eine Katze.')]),
                         [('A dog.', 'Ein Hund.'), ('Birds sing.', 'Vögel singen.')])

    def test_short_held_out_texts_may_stay_in_a_dictionary(self):
        given = [('dog', 'Hund'), ('one two three four', 'eins zwei drei vier')]
        self.assertEqual(pairs.clean(given, given, 4), given[:1])

    def test_what_cannot_be_a_translation_leaves(self):
        for english, german in (('', 'Hund'), ('a b c d e f', 'a b'), ('x ' * 61, 'x ' * 61),
                                ('слово', 'Wort'), ('a\x07b', 'ab'), ('...', '...')):
            self.assertEqual(pairs.clean([(english, german)], []), [], (english, german))


class Reading(unittest.TestCase):
    def read(self, data, name='pairs.tsv'):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, name)
            path.write_bytes(data)
            return pairs.read_tsv(path)

    def test_lines_of_all_systems(self):
        self.assertEqual(self.read('\ufeffa\tä\r\n\nb\tß\tsource 7\nc\tc'.encode()),
                         [('a', 'ä'), ('b', 'ß'), ('c', 'c')])
        self.assertEqual(self.read(gzip.compress(b'a\tb\n'), 'pairs.tsv.gz'), [('a', 'b')])

    def test_a_line_without_a_tab_is_named(self):
        with self.assertRaisesRegex(ValueError, 'line 2 has no tab, which separates'):
            self.read(b'a\tb\na b\n')

    def test_what_is_no_text_is_an_error(self):
        with self.assertRaises(ValueError):
            self.read(b'a\t\xff\xfe\n')


class Split(unittest.TestCase):
    def test_a_part_is_held_out_with_all_its_translations(self):
        given = [(f'sentence {i}', f'Satz {form} {i}') for i in range(2000) for form in 'ab']
        train, valid = translate.split(given)
        self.assertEqual(sorted(train + valid), sorted(given))
        self.assertTrue(40 < len(valid) < 140)
        self.assertFalse({a for a, _ in train} & {a for a, _ in valid})
        self.assertEqual((train, valid), translate.split(given))

    def test_at_most_a_thousand_pairs_are_held_out(self):
        self.assertEqual(len(translate.split([(f'{i} words', f'{i} Wörter')
                                              for i in range(3000)], 2)[1]), 1000)

    def test_other_alphabets_are_kept(self):
        self.assertEqual(pairs.clean([('слово', 'λέξη')], [], latin=False), [('слово', 'λέξη')])


class Words(unittest.TestCase):
    def test_unseen_words_are_spelled_and_come_back(self):
        counts = collections.Counter({'hello': 50, 'world': 40, 'Häuser': 30})
        with tempfile.TemporaryDirectory() as folder:
            vocabulary = pairs.Vocabulary.learn(counts, 20, pathlib.Path(folder))
            self.assertEqual(len(vocabulary.symbols) % 32, 0)
            self.assertEqual(len(set(vocabulary.symbols)), len(vocabulary.symbols))
            for tokens in (['hello', 'world'], ['Zörg@7', 'Müßig', 'İstanbul', 'x@y']):
                ids = vocabulary.encode(tokens)
                self.assertEqual(ids[-1], pairs.EOS)
                self.assertNotIn(pairs.UNK, ids)
                self.assertEqual(vocabulary.decode(ids[:-1]).split(), tokens)
            self.assertIn(pairs.UNK, vocabulary.encode(['語']))

    def test_tokens_are_those_of_moses(self):
        self.assertEqual(pairs.tokenise([("It’s Tom's.", 'Das ist „Toms“.')]),
                         [(['It', "'s", 'Tom', "'s", '.'],
                           ['Das', 'ist', '"', 'Toms', '"', '.'])])


class Variations(unittest.TestCase):
    def test_a_name_changes_on_both_sides(self):
        chance, seen = random.Random(1), set()
        for _ in range(300):
            en, de = pairs.vary_names(chance, ['Tom', "'s", 'dog'], ['Toms', 'Hund'], 1.0)
            name = en[:-2]
            self.assertEqual(en[-2:], ["'s", 'dog'])
            if name != ['Tom']:  # names that end in s keep their genitive to themselves
                self.assertEqual(de, name[:-1] + [name[-1] + 's', 'Hund'])
            seen.add(tuple(name))
        self.assertGreater(len(seen), 100)

    def test_a_name_on_one_side_stays(self):
        given = ['Tom', 'runs'], ['Er', 'läuft']
        self.assertEqual(pairs.vary_names(random.Random(1), *given, 1.0), given)

    def test_numbers_change_alike(self):
        chance = random.Random(2)
        for _ in range(100):
            en, de = pairs.vary_numbers(chance, ['In', '1998', ',', '1', 'of', '20'],
                                        ['1998', '1', 'von', '20'])
            self.assertEqual((en[1], en[3], en[5]), (de[0], de[1], de[3]))
            self.assertEqual(en[3], '1')
            self.assertEqual(len(en[1]), 4)
        other = ['3', 'dogs'], ['drei', 'Hunde']
        self.assertEqual(pairs.vary_numbers(chance, *other), other)

    def test_times_and_dates_are_joined(self):
        for text, expected in (('um 17 : 45 Uhr', 'um 17:45 Uhr'), ('am 1 / 9 / 2025', 'am 1/9/2025'),
                               ('so : 3 oder 4', 'so : 3 oder 4'), (': 30 7 :', ': 30 7 :'),
                               ('und / oder', 'und / oder')):
            self.assertEqual(pairs.join_numbers(text.split()), expected.split())

    def test_typing_errors_change_one_letter_of_one_word(self):
        chance = random.Random(3)
        for _ in range(100):
            tokens = pairs.misspell(chance, ['a', 'sentence', '.'])
            self.assertEqual((tokens[0], tokens[2]), ('a', '.'))
            self.assertLessEqual(abs(len(tokens[1]) - 8), 1)
        self.assertEqual(pairs.misspell(chance, ['a', 'cat']), ['a', 'cat'])

    def test_marks_are_on_both_sides_and_pictures_in_the_source(self):
        chance = random.Random(5)
        pair = ['Tom', 'has', '3', 'cats', '.'], ['Tom', 'hat', '3', 'Katzen', '.']
        found = {tuple(' '.join(side) for side in pairs.mark(chance, list(pair), 0))
                 for _ in range(2000)}
        for expected in (('( Tom has 3 cats . )', '( Tom hat 3 Katzen . )'),
                         ('[ Tom ] has 3 cats .', '[ Tom ] hat 3 Katzen .'),
                         ('Tom has " 3 " cats .', 'Tom hat " 3 " Katzen .'),
                         ('- Tom has 3 cats .', '- Tom hat 3 Katzen .'),
                         ('Tom has 3 cats . 👍', 'Tom hat 3 Katzen .')):
            self.assertIn(expected, found)
        source = {pairs.mark(chance, list(pair), 1)[0] == pair[0] for _ in range(50)}
        self.assertEqual(source, {True, False})

    def test_sources_lose_capitals_as_in_mega_run(self):
        """tests/unit/formats/test_capitals.c has the same for texts."""
        for english, text, expected in (
                (True, 'THE STATION IS CLOSED . WHY ?', 'The station is closed . Why ?'),
                (True, '3 EGGS I SAID', '3 Eggs I said'),
                (False, 'WAS I IST', 'Was i ist')):
            self.assertEqual(pairs.lower(text.split(), english), expected.split())

    def test_targets_keep_letters_and_capitals(self):
        """Variations that spoil the source leave the target as people want to read it."""
        chance = random.Random(4)
        pair = ['We', 'like', 'books', '.'], ['Wir', 'mögen', 'Bücher', '.']
        more = [(['Yes', '!'], ['Ja', '!'])]
        sources, targets = set(), collections.Counter()
        for _ in range(2000):
            source, target = pairs.vary(chance, pair, more, 0)
            sources.add(' '.join(source))
            targets[' '.join(target)] += 1
        self.assertIn('we like books .', sources)
        self.assertGreater(len(sources), 30)
        usual = {'Wir mögen Bücher' + end for end in ('', ' .', ' !', ' . Ja', ' . Ja !')}
        marks = '()[]{}"😀🙂😂👍🍕🎉★✓' + pairs.BULLETS
        plain = {text for text in targets if text.count('Ja') < 2 and not set(text) & set(marks)}
        self.assertLessEqual(plain, usual)
        self.assertFalse(set(''.join(targets)) & set(pairs.UNTRANSLATED))
        self.assertGreater(targets['Wir mögen Bücher .'], 1500)

    def test_an_epoch_is_repeated_by_its_seed(self):
        counts = collections.Counter({'We': 9, 'like': 9, 'books': 9, 'Wir': 9, 'mögen': 9, '.': 9})
        with tempfile.TemporaryDirectory() as folder:
            vocabulary = pairs.Vocabulary.learn(counts, 10, pathlib.Path(folder))
        whole = [(['We', 'like', 'books', '.'], ['Wir', 'mögen', 'sie', '.'])] * 40
        short = [(['book'], ['Buch'])] * 10
        corpus = pairs.Corpus(whole, short, 0.5, vocabulary, 0)
        self.assertEqual(len(corpus), 45)
        first = list(corpus.epoch(1))
        self.assertEqual(len(first), 45)
        self.assertEqual(first, list(corpus.epoch(1)))
        self.assertNotEqual(first, list(corpus.epoch(2)))


if __name__ == '__main__':
    unittest.main()
