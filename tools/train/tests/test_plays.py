"""Plays from XML, without those of a text that is held out."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import plays  # noqa: E402

PLAY = '''<?xml version="1.0"?><!DOCTYPE PLAY SYSTEM "play.dtd">
<PLAY><TITLE>T</TITLE><ACT><SCENE><STAGEDIR>Enter A</STAGEDIR>
<SPEECH><SPEAKER>FIRST</SPEAKER><LINE>One line that is long enough,</LINE>
<LINE><STAGEDIR>Aside</STAGEDIR>  and one  <STAGEDIR>Exit</STAGEDIR>that is not.</LINE></SPEECH>
<SPEECH><SPEAKER>Second</SPEAKER><STAGEDIR>Exit</STAGEDIR><LINE>Ay.</LINE></SPEECH>
</SCENE></ACT></PLAY>'''


class Plays(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name, 'play.xml')
        self.path.write_text(PLAY)
        self.addCleanup(self.folder.cleanup)

    def test_stage_directions_leave(self):
        self.assertEqual(plays.text_of(plays.speeches(self.path), set()),
                         'FIRST:\nOne line that is long enough,\nand one that is not.\n\n'
                         'Second:\nAy.\n\n')

    def test_a_play_of_the_text_is_left_out(self):
        known = plays.long_lines('and one that is not.\nOne line that is long enough,\nAy.')
        self.assertIsNone(plays.text_of(plays.speeches(self.path), known))

    def test_single_lines_of_the_text_leave(self):
        lines = [f'This is line number {i} of the speech' for i in range(100)]
        found = plays.text_of([('A', lines)], {lines[3]})
        self.assertNotIn(lines[3], found)
        self.assertEqual(found.count('\n'), 101)


if __name__ == '__main__':
    unittest.main()
