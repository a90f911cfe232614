"""Reads and cleans pairs of sentences for translators, and makes tokens and variations of them.

Pairs are English and German, in this order; a translator into English swaps them at the end.
"""

import collections
import contextlib
import gzip
import io
import random
import re
import unicodedata

from sacremoses import MosesPunctNormalizer, MosesTokenizer
from subword_nmt.apply_bpe import BPE
from subword_nmt.learn_bpe import learn_bpe

import inputs
from sequence import EOS, UNK

LANGUAGES = ('en', 'de')
MOST_WORDS = 60
# The vocabulary has these characters even if the texts lack them, so that any name can be spelled.
LETTERS = ('äöüÄÖÜßéèêëàáâãåæçíìîïñóòôõøúùûýÿÉÈÀÁÅÇÑÓØÚčćšžřłńśźżěůőűğışŠŽČĆŁŚŻİ'
           '€£°§–—„“”‚‘’…«»‰²³½·×')


def read_tsv(path):
    """Read pairs from a file of lines `english TAB german`, which may be gzipped.

    Empty lines and further columns are ignored.
    """
    pairs = []
    for number, line in enumerate(inputs.read_utf8(path, newline='\n').split('\n'), 1):
        columns = line.rstrip('\r').split('\t')
        if len(columns) >= 2:
            pairs.append((columns[0], columns[1]))
        elif line.strip():
            raise inputs.Problem(f'{path}: line {number} has no tab, which separates the two texts')
    return pairs


def read_lines(folder, part):
    """Read pairs from Multi30k's files, of which there is one for each language."""
    sides = []
    for language in LANGUAGES:
        path = folder / f'{part}.{language}.gz'
        with gzip.open(path, 'rt', encoding='utf-8', newline='\n') as file:
            sides.append(file.read().rstrip('\n').split('\n'))
    return list(zip(*sides, strict=True))


# ---- The dictionary Ding ----
#
# A line is `german :: english`. Both sides have the same number of forms and examples, separated by
# `|`, and each of them has alternatives, separated by `;`. Notes are in brackets of all kinds.

# Alternatives with one of these notes are left out: nobody should get them as a translation.
UNWANTED = re.compile(r'\[(obs|archaic|veralt|vulg|slang|pej|dated|altertümlich|poet|Schw|Ös|Süddt|'
                      r'Norddt|Mitteldt|Ostdt|Westdt|Bayr|Lux|BW|Tirol|Jugendspr)')
NOTES = re.compile(r'\{[^}]*\}|\[[^\]]*\]|\([^)]*\)|<[^>]*>|/[A-Z][^/]*/')
ABBREVIATIONS = [(re.compile(rf'\b{short}'), word) for short, word in (
    (r"sth\.['’]s\b", "something's"), (r"sb\.['’]s\b", "somebody's"), (r'sth\.', 'something'),
    (r'sb\.', 'somebody'), (r'etw\.', 'etwas'), (r'jdn\.', 'jemanden'), (r'jdm\.', 'jemandem'),
    (r'jds\.', 'jemandes'), (r'jd\.', 'jemand'))]
# An alternative with remains of notes, choices or abbreviations is not plain text, and left out.
LEFTOVER = re.compile(r'\.\.\.|…|[/|<>{}\[\]()*=+~→]|\b(sb|sth|etw|jd[mns]?)\b')
SENTENCE_WORDS = 4  # an entry with so many words on both sides counts as a sentence


def _alternatives(text):
    for part in text.split(';'):
        if UNWANTED.search(part):
            continue
        part = NOTES.sub(' ', part)
        for pattern, word in ABBREVIATIONS:
            part = pattern.sub(word, part)
        part = ' '.join(part.split()).strip(' ,:-')
        if part and not LEFTOVER.search(part):
            yield part


def read_ding(path):
    """Yield triples of English, German, and the language that must be the source, or None.

    The first alternative of a side is the usual one. The others serve as sources only: 'en' marks
    an English alternative with the first German one, 'de' the reverse, and None a pair of two first
    ones.
    """
    with open(path, encoding='utf-8') as file:
        for line in file:
            if line.startswith('#') or ' :: ' not in line:
                continue
            german, english = (side.split(' | ') for side in line.rstrip('\n').split(' :: ')[:2])
            if len(german) != len(english):
                continue
            for de, en in zip(german, english):
                de, en = list(_alternatives(de))[:3], list(_alternatives(en))[:3]
                if de and en:
                    yield en[0], de[0], None
                    yield from ((other, de[0], 'en') for other in en[1:])
                    yield from ((en[0], other, 'de') for other in de[1:])


# ---- Cleaning ----

def words_of(text):
    """The words of a text in lower case, by which held-out sentences are recognised."""
    return tuple(re.findall(r'\w+', text.lower()))


def is_sane(english, german, latin=True):
    """Whether a pair can be a translation: its lengths fit, and it has no control characters.

    With ``latin``, it must also have letters of western and central Europe only.
    """
    lengths = sorted((len(english.split()), len(german.split())))
    if lengths[0] == 0 or lengths[1] > MOST_WORDS:
        return False
    if lengths[1] > 4 and lengths[1] > 2.2 * lengths[0]:
        return False
    return not any(unicodedata.category(c) == 'Cc' or
                   latin and (ord(c) > 0x2122 or 0x250 <= ord(c) < 0x2000 or c == '\xad')
                   for c in english + german)


def clean(pairs, held_out, least_words=1, latin=True):
    """Leave out duplicates, nonsense, and pairs with a sentence of ``held_out`` on either side.

    Held-out texts of fewer than ``least_words`` words are ignored: a dictionary may explain a word
    that a held-out heading consists of.
    """
    held = [{words for pair in held_out if len(words := words_of(pair[side])) >= least_words}
            for side in range(2)]
    seen, kept = set(), []
    for english, german in pairs:
        pair = english.strip(), german.strip()
        keys = [words_of(text) for text in pair]
        if pair in seen or not all(keys) or not is_sane(*pair, latin):
            continue
        if any(key in known for key, known in zip(keys, held)):
            continue
        seen.add(pair)
        kept.append(pair)
    return kept


# ---- Tokens ----

class Tokeniser:
    """Makes Moses tokens of texts in one language."""

    def __init__(self, language):
        self.normalise = MosesPunctNormalizer(language).normalize
        self.tokenise = MosesTokenizer(language).tokenize

    def __call__(self, text):
        return self.tokenise(self.normalise(text), escape=False, return_str=True).split()


def tokenise(pairs, languages=LANGUAGES):
    """Make pairs of lists of tokens."""
    first, second = map(Tokeniser, languages)
    return [(first(a), second(b)) for a, b in pairs]


class Vocabulary:
    """Joint BPE and the ids of its symbols, kept in the files `codes` and `dict.txt`."""

    def __init__(self, folder):
        with open(folder / 'codes', encoding='utf-8') as file:
            self.bpe = BPE(file)
        lines = (folder / 'dict.txt').read_text(encoding='utf-8').splitlines()
        self.symbols = ['<s>', '<pad>', '</s>', '<unk>']
        self.symbols += [line.rsplit(' ', 1)[0] for line in lines]
        self.numbers = {symbol: i for i, symbol in enumerate(self.symbols)}
        self.words = {}

    @staticmethod
    def learn(counts, merges, folder):
        """Learn from {token: count}; the dictionary gets all letters, to spell any name."""
        folder.mkdir(parents=True, exist_ok=True)
        codes = folder / 'codes'
        lines = ''.join(f'{word} {count}\n' for word, count in counts.items())
        with open(codes, 'w', encoding='utf-8') as file:
            with contextlib.redirect_stderr(io.StringIO()):  # hides the progress bar
                learn_bpe(io.StringIO(lines), file, merges, is_dict=True)
        with open(codes, encoding='utf-8') as file:
            bpe = BPE(file)
        symbols = collections.Counter()
        for word, count in counts.items():
            for symbol in bpe.process_line(word).split():
                symbols[symbol] += count
        letters = dict.fromkeys(form for letter in (*map(chr, range(33, 127)), *LETTERS)
                                for form in (letter, letter + '@@'))
        kept = [symbol for symbol, count in symbols.most_common()
                if count >= 5 or symbol in letters]
        kept += [letter for letter in letters if letter not in symbols]
        kept += [f'madeupword{i:04d}' for i in range(-(len(kept) + 4) % 32)]
        (folder / 'dict.txt').write_text(
            ''.join(f'{symbol} {symbols[symbol]}\n' for symbol in kept), encoding='utf-8')
        return Vocabulary(folder)

    def encode(self, tokens):
        """Ids of the tokens' symbols, and </s>."""
        ids = []
        for token in tokens:
            known = self.words.get(token)
            if known is None:
                symbols = self.bpe.process_line(token).split()
                known = self.words[token] = [self.numbers.get(symbol, UNK) for symbol in symbols]
            ids += known
        return ids + [EOS]

    def decode(self, ids):
        """Tokens of ids, separated by blanks."""
        return ' '.join(self.symbols[i] for i in ids).replace('@@ ', '')


# ---- Variations ----
#
# Most of these functions return new lists of tokens; `chance` is a random.Random.

MALE = ('Paul Peter Max Felix Jan Lukas Leon Ben Jonas Finn Noah Oliver Jack Harry George '
        'James David Michael Robert William Daniel Thomas Mark Kevin Brian Ryan Eric Adam '
        'Henry Nathan Walter Patrick Arthur Roger Lawrence Sean Christian Albert Ralph '
        'Philip Victor Martin Ahmed Mohammed Ali Omar Yusuf Ivan Dmitri Sergei Pavel '
        'Marek Jakub Luca Marco Matteo Giovanni Carlos Juan Diego Miguel Pedro José '
        'Pierre Jean Hiroshi Kenji Wei Chen Ravi Arjun Sven Lars Erik Björn Jürgen '
        'Günther Heinrich Friedrich Wolfgang Dieter Uwe Stefan Andreas Tobias Florian').split()
FEMALE = ('Anna Emma Mia Lena Laura Julia Sarah Lisa Sophie Marie Clara Ella Charlotte '
          'Emily Olivia Grace Alice Lucy Susan Linda Karen Nancy Betty Helen Sandra Ruth '
          'Sharon Michelle Jessica Amanda Melissa Rebecca Rachel Amy Catherine Diane Joyce '
          'Fatima Aisha Leila Yasmin Olga Natasha Irina Svetlana Katarzyna Agnieszka Giulia '
          'Chiara Francesca Carmen Lucía Elena Isabel Claire Camille Amélie Yuki Sakura Mei '
          'Priya Ingrid Astrid Greta Ursula Monika Sabine Petra Heike Birgit Gabriele Anja '
          'Katrin Johanna Magdalena').split()
LAST = ('Smith Jones Miller Brown Wilson Taylor Clark Lewis Walker Hall Young King Wright '
        'Baker Green Adams Nelson Carter Müller Schmidt Schneider Fischer Weber Meyer '
        'Wagner Becker Schulz Hoffmann Schäfer Koch Bauer Richter Klein Wolf Schröder '
        'Neumann Schwarz Braun Krüger Hartmann Lange Rossi García Martínez Nguyen '
        'Kowalski Novák Ivanov Tanaka Kim Lee Patel Singh Dubois Andersson Yılmaz '
        'McDonald').split()
ONSETS = 'b br c ch d dr f fl g gr h j k kl l m n p pr qu r s sch sh st t tr v w z'.split() + ['']
VOWELS = 'a e i o u ai ei ee ie oo au ö ü ä y'.split()
CODAS = 'n r s l m t k ck nd rt ng sch x'.split() + [''] * 8
# The names in Tatoeba's sentences, English and German, and whether they are women's.
USUAL_NAMES = (('Tom', 'Tom', False), ('Mary', 'Maria', True), ('John', 'Johannes', False),
               ('John', 'John', False))
ENDS = ('.', '!', '?')


def invented_name(chance):
    """A name that nobody has, so that it must be spelled letter by letter."""
    name = ''.join(chance.choice(ONSETS) + chance.choice(VOWELS) + chance.choice(CODAS)
                   for _ in range(chance.choice((1, 2, 2, 3))))
    return name.capitalize()


def random_name(chance, female):
    """A first name, sometimes with a last name: one or two tokens."""
    name = [invented_name(chance) if chance.random() < 0.25 else
            chance.choice(FEMALE if female else MALE)]
    if chance.random() < 0.12:
        name.append(invented_name(chance) if chance.random() < 0.3 else chance.choice(LAST))
    return name


def _replace(tokens, old, new):
    """Replace a name, also in the German genitive."""
    result = []
    for token in tokens:
        if token == old:
            result += new
        elif token == old + 's':
            result += new[:-1] + [new[-1] + 's']
        else:
            result.append(token)
    return result


def vary_names(chance, english, german, share):
    """Replace a usual name by another one, if both sides have it equally often."""
    for old_en, old_de, female in USUAL_NAMES:
        count = english.count(old_en)
        if not count or count != german.count(old_de) + german.count(old_de + 's'):
            continue
        if chance.random() < share:
            name = random_name(chance, female)
            if old_de + 's' in german and name[-1][-1] in 'sxzß':
                continue
            english, german = _replace(english, old_en, name), _replace(german, old_de, name)
    return english, german


def vary_numbers(chance, english, german):
    """Replace numbers by others; 1 stays, since the words around it depend on it."""
    numbers = sorted(token for token in english if token.isdigit() and token != '1')
    if not numbers or numbers != sorted(t for t in german if t.isdigit() and t != '1'):
        return english, german
    others = {}
    for number in numbers:
        digits = len(number) if len(number) == 4 or chance.random() < 0.7 else chance.randint(1, 3)
        others[number] = str(chance.randint(max(2, 10 ** (digits - 1)), 10 ** digits - 1))
    return [others.get(t, t) for t in english], [others.get(t, t) for t in german]


def join(chance, english, german, sentences, names, most=55):
    """Add one to three sentences in the same line."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        more_en, more_de = chance.choice(sentences)
        if max(len(english) + len(more_en), len(german) + len(more_de)) <= most:
            more_en, more_de = vary_names(chance, more_en, more_de, names)
            english, german = english + more_en, german + more_de
    return english, german


def misspell(chance, tokens):
    """Swap, drop or double one letter of one word."""
    places = [i for i, token in enumerate(tokens) if len(token) > 3 and token.isalpha()]
    if not places:
        return tokens
    place, kind = chance.choice(places), chance.random()
    word = tokens[place]
    at = chance.randrange(1, len(word) - 1)
    if kind < 0.4:
        word = word[:at] + word[at + 1] + word[at] + word[at + 2:]
    elif kind < 0.75:
        word = word[:at] + word[at + 1:]
    else:
        word = word[:at] + word[at] + word[at:]
    return tokens[:place] + [word] + tokens[place + 1:]


def lower(tokens, english):
    """Tokens of a text in capitals, as mega-run passes it to a translator."""
    small = [token if english and token == 'I' else token.lower() for token in tokens]
    begins = True
    for i, token in enumerate(small):
        if begins and token[0].isalpha():
            small[i], begins = token[0].upper() + token[1:], False
        begins = begins or token in ENDS
    return small


AROUND = (('(', ')'), ('[', ']'), ('{', '}'), ('"', '"'))
BULLETS = '-*#>–'
UNTRANSLATED = '😀🙂😂👍🍕🎉★✓'  # no vocabulary has these


def mark(chance, sides, source):
    """Add brackets or quotes around everything or one word, a bullet, or an emoji in the source."""
    kind, (begin, end) = chance.random(), chance.choice(AROUND)
    if kind < 0.3:
        return [[begin, *side, end] for side in sides]
    if kind < 0.6:
        bullet = chance.choice(BULLETS)
        return [[bullet, *side] for side in sides]
    if kind < 0.8:
        same = [token for token in sides[0]
                if token.isalnum() and sides[0].count(token) == sides[1].count(token) == 1]
        if not same:
            return sides
        word = chance.choice(same)
        return [[part for token in side
                 for part in ((begin, token, end) if token == word else (token,))]
                for side in sides]
    marked = list(sides)
    place = chance.choice((0, len(sides[source]), chance.randint(0, len(sides[source]))))
    marked[source] = [*sides[source][:place], chance.choice(UNTRANSLATED), *sides[source][place:]]
    return marked


def vary(chance, pair, sentences, source, names=0.4):
    """Vary a pair: names, numbers, joined lines, lost capitals and full stops, errors, marks.

    ``source``, 0 or 1, is the side that the translator reads; only there are typing errors and lost
    capitals. There are no texts in capitals, since mega-run reads these in small letters
    (``--capitals lower``). ``sentences`` are whole sentences to join, and ``names`` is the part of
    the names that change.
    """
    english, german = vary_names(chance, *pair, names)
    if chance.random() < 0.4:
        english, german = vary_numbers(chance, english, german)
    ended = english[-1] in ENDS and german[-1] == english[-1]
    if ended and chance.random() < 0.10:
        english, german = join(chance, english, german, sentences, names)
        ended = english[-1] in ENDS and german[-1] == english[-1]
    kind = chance.random()
    if ended and kind < 0.07 and min(len(english), len(german)) > 1:
        english, german = english[:-1], german[:-1]
    elif ended and kind < 0.08 and english[-1] == '.':
        english, german = english[:-1] + ['!'], german[:-1] + ['!']
    sides, kind = [english, german], chance.random()
    heading = 0.25 if len(english) <= 3 else 0.02
    if kind < 0.05:
        sides[source] = lower(sides[source], source == 0)
    elif kind < 0.075:
        sides[source] = [token.lower() for token in sides[source]]
    elif kind < 0.085:
        first = sides[source][0]
        sides[source] = [first[0].lower() + first[1:]] + sides[source][1:]
    elif kind < 0.085 + heading and english[-1] not in ENDS:
        sides = [[token[0].upper() + token[1:] for token in english],
                 [german[0][0].upper() + german[0][1:]] + german[1:]]
    if chance.random() < 0.04:
        sides[source] = misspell(chance, sides[source])
    if chance.random() < 0.05:
        sides = mark(chance, sides, source)
    return sides[0], sides[1]


def join_numbers(tokens):
    """Make 17:45 and 1/9 one token each: Moses cuts them, and would not join them in an answer."""
    joined = []
    for token in tokens:
        if len(joined) > 1 and joined[-1] in ':/' and token.isdigit() and joined[-2][-1].isdigit():
            mark = joined.pop()
            joined[-1] += mark + token
        else:
            joined.append(token)
    return joined


class Corpus:
    """Training pairs of tokens: an epoch has all of ``whole``, and a part of ``short``."""

    def __init__(self, whole, short, part, vocabulary, source, names=0.4):
        self.whole, self.short, self.part, self.names = whole, short, part, names
        self.vocabulary, self.source = vocabulary, source
        self.sentences = [pair for pair in whole
                          if pair[0][-1] in ENDS and pair[1][-1] in ENDS and len(pair[0]) < 25]

    def __len__(self):
        return len(self.whole) + int(self.part * len(self.short))

    def encode(self, pair):
        """Ids of source and target."""
        encode = self.vocabulary.encode
        return encode(pair[self.source]), encode(join_numbers(pair[1 - self.source]))

    def epoch(self, seed):
        """Yield pairs of ids in a random order, each in a variation of its own."""
        chance = random.Random(seed)
        count = int(self.part * len(self.short))
        rows = list(range(len(self.whole)))
        rows += [len(self.whole) + i for i in chance.sample(range(len(self.short)), count)]
        chance.shuffle(rows)
        for row in rows:
            pair = self.whole[row] if row < len(self.whole) else self.short[row - len(self.whole)]
            yield self.encode(vary(chance, pair, self.sentences, self.source, self.names))
