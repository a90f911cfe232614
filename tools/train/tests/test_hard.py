"""hard.py finds the faults of answers, and its lists of sentences can be read."""

import io
import pathlib
import re
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import hard  # noqa: E402


def item(source, expected='', kept=(), sentences=1):
    return hard.Item('test', source, list(kept), expected, sentences)


class Faults(unittest.TestCase):
    def expect(self, fault, answer, asked):
        self.assertEqual([name for name, _ in hard.faults(asked, answer)], [fault] if fault else [])

    def test_good_answers_pass(self):
        for answer, asked in (
                ('Guten Morgen.', item('Good morning.', 'Guten Morgen')),
                ('Die Brücke ist 1.280 Meter lang.', item('The bridge is 1,280 metres long.')),
                ('Es stieg auf 38,5 Grad.', item('It rose to 38.5 degrees.')),
                ('Wir fahren am 01.09.2025.', item('We leave on 01/09/2025.')),
                ('Es sind 83 200 000.', item('They are 83,200,000.')),
                ('Ich habe drei Brüder.', item('I have 3 brothers.')),
                ('Herr Okonkwo ist da.', item('Mr Okonkwo is here.', kept=['Mr Okonkwo'])),
                ('Das ist Julias Hut.', item('It is Julia\'s hat.', kept=['Julia'])),
                ('Meine Frau mag Tee.', item('My wife likes tea.')),
                ('Ich bin müde. Ich gehe.', item('I am tired. I go.', sentences=2)),
                ('Sehr, sehr gut.', item('Very, very good.'))):
            self.expect(None, answer, asked)

    def test_every_fault_is_found(self):
        for fault, answer, asked in (
                ('no answer', ' ', item('Yes')),
                ('name or unknown word lost', 'Sie rief an.', item('Aisha rang.', kept=['Aisha'])),
                ('name or unknown word lost', 'Das ist alt.', item('A qux is old.', kept=['qux'])),
                ('number lost', 'Es kostet viel Geld.', item('It costs 250 dollars.')),
                ('blank in a number', 'Um 17: 45 Uhr.', item('At 17:45.')),
                ('person out of nothing', 'Ein Mann regnet.', item('It is raining.')),
                ('person out of nothing', 'Ein Afroamerikaner.', item('Good evening!')),
                ('name out of nothing', 'Tom kommt heute.', item('He comes today.')),
                ('none of the expected words', 'Danke.', item('Water', 'Wasser')),
                ('said over and over', 'Ja ja ja.', item('Yes, of course.')),
                ('said over and over', 'so gut so gut so gut', item('It is so very good.')),
                ('too short or too long', 'Ja.', item('This is a sentence of nine words or so.')),
                ('too short or too long', 'eins zwei drei vier fünf sechs sieben', item('One')),
                ('sentence lost', 'Ich bin müde.', item('I am tired. I go.', sentences=2)),
                ('question lost', 'Wer da.', item('Who is it?'))):
            self.expect(fault, answer, asked)
        self.assertEqual(hard.faults(item('It costs 250 dollars.'), 'Es kostet 25 Dollar.'),
                         [('number lost', '250'), ('number invented', '25')])

    def test_people_and_numbers_of_english_answers(self):
        self.assertEqual(hard.faults(item('Es regnet.'), 'A man is raining.', 'en'),
                         [('person out of nothing', 'man')])
        self.assertEqual(hard.faults(item('Ich habe 3 Kinder.'), 'I have three children.', 'en'), [])
        self.assertEqual(hard.faults(item('Niemand kam.'), 'No people came.', 'en'), [])

    def test_report_counts_answers(self):
        out = io.StringIO()
        failed = hard.report([item('Water', 'Wasser'), item('Bread', 'Brot')], ['Wein', 'Brot'],
                             'de', False, out)
        self.assertEqual(failed, 1)
        self.assertIn('| test | 1 | 2 |', out.getvalue())
        self.assertIn('| none of the expected words | 1 |', out.getvalue())
        self.assertNotIn('passes', out.getvalue())


class Sentences(unittest.TestCase):
    def test_marks_of_the_list_and_brackets(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, 'list')
            path.write_text('= some\n{Ann} has a [qux].\tAnn\t1\n\\[Here\\] {Bo} is \\{1\\}.\n',
                            encoding='utf-8')
            ann, bo = hard.read_items(path)
        self.assertEqual((ann.source, ann.kept, ann.expected), ('Ann has a qux.', ['Ann', 'qux'], 'Ann'))
        self.assertEqual((bo.source, bo.kept, bo.kind), ('[Here] Bo is {1}.', ['Bo'], 'some'))

    def test_the_lists_are_whole(self):
        for language, most, least, longest in (('en', 300, 15, 38), ('de', 190, 6, 33)):
            items = hard.read_items(hard.list_of(language))
            self.assertGreaterEqual(len(items), most)
            self.assertGreaterEqual(min(sum(other.kind == one.kind for other in items)
                                        for one in items), least)
            self.assertEqual(len({one.source for one in items}), len(items))
            for one in items:
                re.compile(one.expected)
                if one.kind != 'brackets and bullets':
                    self.assertNotRegex(one.source, r'[{}\[\]\t]')
                if one.kind == 'long':
                    self.assertGreaterEqual(len(one.source.split()), longest, one.source)


if __name__ == '__main__':
    unittest.main()
