"""Shakespeare's plays as text in the form of tinyshakespeare, for `train language --also`.

Usage: plays.py --without TEXT FOLDER > plays.txt
FOLDER holds plays in the XML of Jon Bosak's edition (1996 to 1998, from the public domain texts of
Moby Lexical Tools; it may be freely copied). The result shares nothing with TEXT, which may be
gzipped, so that its held-out parts stay unseen: plays that are in TEXT are left out as wholes, and
of the others the single long lines that TEXT has, too.
"""

import argparse
import pathlib
import sys
import xml.etree.ElementTree

from language import read

LONG = 25      # two lines of so many characters are not equal by chance
SHARED = 0.02  # a play that shares more than this part of its long lines with TEXT is in TEXT


def words_of(element):
    """The text of a line without the stage directions in it."""
    parts = [element.text or '', *(child.tail or '' for child in element)]
    return ' '.join(''.join(parts).split())


def speeches(path):
    """Yield (speaker, lines) for each speech of a play, without stage directions."""
    for speech in xml.etree.ElementTree.parse(path).iter('SPEECH'):
        lines = [line for line in map(words_of, speech.findall('LINE')) if line]
        if lines:
            yield words_of(speech.find('SPEAKER')), lines


def long_lines(text):
    return {line for line in text.split('\n') if len(line) >= LONG}


def text_of(play, known):
    """The play as `SPEAKER:`, lines, and an empty line for each speech; None if it is in TEXT."""
    play = list(play)
    found = long_lines('\n'.join(line for _, lines in play for line in lines))
    if len(found & known) > SHARED * len(found):
        return None
    return ''.join('\n'.join([f'{speaker}:', *(line for line in lines if line not in known)])
                   + '\n\n' for speaker, lines in play)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=pathlib.Path)
    parser.add_argument('--without', type=pathlib.Path, required=True, metavar='TEXT',
                        help='a text whose plays are left out')
    options = parser.parse_args()
    known = long_lines(read(options.without))
    for path in sorted(options.folder.glob('*.xml')):
        text = text_of(speeches(path), known)
        if text is None:
            print(f'{path.name} is in {options.without}', file=sys.stderr)
        else:
            sys.stdout.write(text)


if __name__ == '__main__':
    main()
