"""Translates hard sentences between English and German, and checks the translations.

Usage: hard.py MODEL.mega [--run build/mega-run] [--all] [-- OPTIONS OF TRANSLATE]

hard.en.txt has some three hundred inputs of sixteen kinds, hard.de.txt two hundred: greetings,
questions, single words, headings, capitals, names, numbers, dates, typing errors, two sentences in
a line, brackets and bullets, words that no dictionary has, sentences of forty words. There are no
reference translations; the checks need only the source and the answer:

    The answer has the names and unknown words of the source.
    It has the numbers of the source and no others.
    It has no person and no frequent name of the training data that the source lacks.
    It has one of the expected words, where the list gives some.
    It does not repeat words over and over.
    It has as many sentences as the source, and a question stays a question.
    It is neither far too short nor far too long.

An answer that passes may still be wrong, and one that fails may be right. Failures are printed, and
then their numbers by kind of input and by fault; --all prints the other answers, too.
"""

import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

BUILT = pathlib.Path(__file__).resolve().parents[2] / 'build' / 'mega-run'

GERMANS = re.compile(r'\b(M[aä]nn(er[ns]?|e?s)?|Frau(en)?|Jung(e[ns]?|s)|Mädchens?|Kind(er[ns]?|es)?|'
                     r'Person(en)?|Leuten?|Mensch(en)?|Herr(e?n)?|Damen?|Babys?|Kerl[es]?|'
                     r'Typ(en)?|Afro\w+|Afrikaner\w*|Asiat\w*)\b')
ENGLISH = re.compile(r"\b(m[ae]n|wom[ae]n|boys?|girls?|child(ren)?|kids?|bab(y|ies)|persons?|people|"
                     r"humans?|lad(y|ies)|gentlem[ae]n|guys?|african\w*|asian\w*)\b", re.I)
# A source with one of these words may have people in its translation.
SOME_ENGLISH = re.compile(ENGLISH.pattern[:-3] + r"|husband|wi(fe|ves)|mrs?|sir|madam|folks?|couple|"
                          r"everybody|everyone|nobody|somebody|someone)\b", re.I)
SOME_GERMANS = re.compile(GERMANS.pattern[:-3] + r'|Ehepaar|Paar|man|niemand|jemand|jeder|alle)\b',
                          re.I)
# Names that are frequent in the texts that translators are trained on.
FREQUENT = re.compile(r'\b(Tom|Mary|Maria|John|Johannes|Ken|Bill|Jane|Jack|Jim|Bob|Boston|'
                      r'Australien|Tatoeba)s?\b')
NUMBER = re.compile(r'\d(?:[\d.,:/ \u00a0]*\d)?')
TORN = re.compile(r'(?<=\d[,:/]) (?=\d)|(?<=\d\.) (?=\d{3}\b)')  # 17: 45 and 1. 280
GROUPS = re.compile(r'(?<=\d)[ \u00a0](?=\d{3}\b)')  # 83 200 000
NUMBERS = {
    'de': 'ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf'.split(),
    'en': 'one two three four five six seven eight nine ten eleven twelve'.split()}
WORDS = {language: {str(number): word for number, word in enumerate(words, 1)}
         for language, words in NUMBERS.items()}
PEOPLE = {'de': (GERMANS, SOME_ENGLISH), 'en': (ENGLISH, SOME_GERMANS)}


class Item(NamedTuple):
    """A line of the lists: the source, and what the answer must have."""

    kind: str
    source: str
    kept: list      # names and unknown words
    expected: str   # a regular expression, or ''
    sentences: int


def read_items(path):
    """Lines are `source TAB expected [TAB sentences]`; `= kind` begins a kind.

    In a source {names} and [unknown words] are marked so; other brackets have a backslash before.
    """
    items, kind = [], None
    for line in path.read_text(encoding='utf-8').splitlines():
        if line.startswith('= '):
            kind = line[2:]
            continue
        marked, expected, count = (line.split('\t') + ['', ''])[:3]
        kept = re.findall(r'(?<!\\)[{\[](.*?)[}\]]', marked)
        source = re.sub(r'\\([{}\[\]])|[{}\[\]]', r'\1', marked)
        items.append(Item(kind, source, kept, expected, int(count or 1)))
    return items


def numbers(text):
    """The digits of each number, without separators: 1,280 and 1.280 are the same."""
    found = NUMBER.findall(GROUPS.sub('', text))
    return [re.sub(r'\D', '', part) for number in found for part in number.split(' ')]


def says_again(words):
    """Whether a sequence of one to four words comes three times in a row."""
    return any(words[i:i + n] == words[i + n:i + 2 * n] == words[i + 2 * n:i + 3 * n]
               for n in range(1, 5) for i in range(len(words) - 3 * n + 1))


def faults(item, answer, into='de'):
    """The faults that the checks find in an answer, as a list of (fault, word)."""
    found, (people_in, some_people) = [], PEOPLE[into]
    if not answer.strip():
        return [('no answer', '')]
    for kept in item.kept:
        if kept.startswith(('Mr ', 'Dr ')):  # titles are translated
            kept = kept.split(' ', 1)[1]
        if not all(part.lower() in answer.lower() for part in kept.split()):
            found.append(('name or unknown word lost', kept))
    source_numbers, answer_numbers = numbers(item.source), numbers(answer)
    if answer_numbers != numbers(TORN.sub('', answer)):
        found.append(('blank in a number', TORN.search(answer)[0]))
        answer_numbers = numbers(TORN.sub('', answer))
    for number in source_numbers:
        if number not in answer_numbers and WORDS[into].get(number, '\0') not in answer.lower():
            found.append(('number lost', number))
    for number in answer_numbers:
        if number not in source_numbers:
            found.append(('number invented', number))
    if (people := people_in.search(answer)) and not some_people.search(item.source):
        found.append(('person out of nothing', people[0]))
    for name in FREQUENT.finditer(answer):
        if name[0].lower().rstrip('s') not in item.source.lower():
            found.append(('name out of nothing', name[0]))
    if item.expected and not re.search(item.expected, answer):
        found.append(('none of the expected words', item.expected))
    words = re.findall(r'\w+', answer.lower())
    if says_again(words):
        found.append(('said over and over', ''))
    length = len(re.findall(r'\w+', item.source))
    if not length / 3 - 1 <= len(words) <= 2 * length + 4:
        found.append(('too short or too long', f'{len(words)} words of {length}'))
    if len(re.findall(r'[.!?…](?=\s|["”“»«]|$)', answer)) < item.sentences > 1:
        found.append(('sentence lost', ''))
    if item.source.endswith('?') and '?' not in answer:
        found.append(('question lost', ''))
    return found


def list_of(language):
    return pathlib.Path(__file__).with_name(f'hard.{language}.txt')


def languages(program, model):
    """(source language, target language), as the model's metadata says."""
    said = subprocess.run([program, 'inspect', '--json', model], stdout=subprocess.PIPE, text=True,
                          encoding='utf-8', check=True).stdout
    metadata = json.loads(said)['metadata']
    return metadata['text.source_language'], metadata['text.target_language']


def translate(program, model, sources, options):
    """The answers, one for each source."""
    answers = subprocess.run([program, 'translate', '-q', '-m', model, *options],
                             input='\n'.join(sources) + '\n', stdout=subprocess.PIPE, text=True,
                             encoding='utf-8', check=True).stdout.split('\n')[:-1]
    if len(answers) != len(sources):
        raise ValueError(f'mega-run translate gave {len(answers)} lines for {len(sources)} sources')
    return answers


def report(items, answers, into, show_all, out=sys.stdout):
    """Print the failures and their numbers; return how many answers fail."""
    totals, failed = (collections.Counter() for _ in range(2))
    by_fault = collections.Counter()
    for item, answer in zip(items, answers):
        found = faults(item, answer, into)
        totals[item.kind] += 1
        failed[item.kind] += bool(found)
        by_fault.update({fault for fault, _ in found})
        if found or show_all:
            why = '; '.join(f'{fault} ({word})' if word else fault for fault, word in found)
            print(f'{item.kind}: {item.source}\n    {answer}\n    {why or "passes"}', file=out)
    print('\n| inputs | fail | of |\n|---|---:|---:|', file=out)
    for kind, total in totals.items():
        print(f'| {kind} | {failed[kind]} | {total} |', file=out)
    print(f'| all | {failed.total()} | {totals.total()} |', file=out)
    print('\n| fault | answers |\n|---|---:|', file=out)
    for fault, count in by_fault.most_common():
        print(f'| {fault} | {count} |', file=out)
    return failed.total()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     epilog='The head of this file says what is checked.')
    parser.add_argument('model', type=pathlib.Path)
    parser.add_argument('--run', type=pathlib.Path, default=BUILT, help='mega-run')
    parser.add_argument('--sentences', type=pathlib.Path,
                        help='a list in the form of hard.en.txt, instead of that')
    parser.add_argument('--all', action='store_true', help='print answers that pass, too')
    parser.add_argument('options', nargs='*', help='options of mega-run translate, after --')
    options = parser.parse_args()
    source, into = languages(options.run, options.model)
    items = read_items(options.sentences or list_of(source))
    answers = translate(options.run, options.model, [item.source for item in items],
                        options.options or ['--batch', '16'])
    report(items, answers, into, options.all)


if __name__ == '__main__':
    main()
