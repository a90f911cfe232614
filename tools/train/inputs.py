"""Reads a user's own data for a classifier: sound, pictures or texts, as mega-run reads them.

A manifest is tab-separated, and its first line names the columns: ``path`` and ``label``, and maybe
``split`` (train, valid, test). Paths are relative to its folder. A folder in the place of a
manifest has a folder for each class, or folders of that kind named after the splits. The kind of
the files is told from their first bytes.
"""

import collections
import gzip
import hashlib
import io
import json
import pathlib
import re
import zlib

import numpy as np
import torch

PARTS = {'train': 'train', 'valid': 'valid', 'validation': 'valid', 'val': 'valid', 'dev': 'valid',
         'test': 'test'}
HELD_OUT, MOST_HELD_OUT = 10, 2000  # every tenth file is held out, and at most 2,000 are
PICTURES = (b'\x89PNG', b'\xff\xd8\xff', b'BM')
SOUNDS = (b'RIFF', b'RF64', b'fLaC', b'OggS', b'FORM', b'ID3', b'.snd', b'\xff\xfb', b'\xff\xf3',
          b'caff')


class Problem(ValueError):
    """Data cannot be used; the text says which and why."""


# ---- Lists of files ----

def read_utf8(path, newline=None):
    """Read a text, which may be gzipped; ``newline`` is that of open(): None makes all ends \\n."""
    opener = gzip.open if path.suffix == '.gz' else open
    try:
        with opener(path, 'rt', encoding='utf-8-sig', newline=newline) as file:
            return file.read()
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise Problem(f'{path} is not text in UTF-8: the byte 0x{byte:02x} is invalid') from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise Problem(f'{path} is not a gzipped file, or is damaged: {error}') from error


def read_manifest(path):
    """[(path, label, split or '')]"""
    lines = read_utf8(path).split('\n')
    names = [name.strip() for name in lines[0].split('\t')] if lines else []
    if not {'path', 'label'} <= set(names):
        raise Problem(f'{path}: the first line must name tab-separated columns, among them "path" '
                      'and "label"')
    rows = []
    for number, line in enumerate(lines[1:], 2):
        fields = line.split('\t')
        if not line:
            continue
        if len(fields) < len(names):
            raise Problem(f'{path}: line {number} has {len(fields)} columns instead of '
                          f'{len(names)}')
        row = dict(zip(names, fields))
        split = row.get('split', '').strip()
        if split and split not in PARTS:
            raise Problem(f'{path}: line {number}: the split "{split}" is none of '
                          f'{", ".join(PARTS)}')
        rows.append((path.parent / row['path'], row['label'].strip(), PARTS.get(split, '')))
    return rows


def folders_of(path):
    return [folder for folder in sorted(path.iterdir())
            if folder.is_dir() and folder.name[0] != '.']


def read_folder(path):
    """List a folder as read_manifest does: it has a folder a class, or such folders a split."""
    folders = folders_of(path)
    if folders and all(folder.name in PARTS and folders_of(folder) for folder in folders):
        return [(file, label, PARTS[folder.name]) for folder in folders
                for file, label, _ in read_classes(folder)]
    return read_classes(path)


def read_classes(path):
    return [(file, folder.name, '') for folder in folders_of(path)
            for file in sorted(folder.rglob('*')) if file.is_file() and file.name[0] != '.']


def write_manifest(parts, path):
    """Write the list of the files by split, for mega-run, without names that break a line."""
    lines = ['path\tlabel\tsplit']
    for part, rows in parts.items():
        lines += [f'{name}\t{label}\t{part}' for name, label in
                  ((str(file.resolve()), label) for file, label in rows)
                  if not re.search('[\t\r\n\ud800-\udfff]', name + label)]
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')


def divide(rows):
    """{part: [(path, label)]}: without a split of its own, a tenth is held out by a hash."""
    parts = collections.defaultdict(list)
    for path, label, split in rows:
        parts[split or 'train'].append((path, label))
    if not parts['valid']:
        def number(row):
            name = f'{row[1]}/{row[0].name}'
            return hashlib.sha256(name.encode('utf-8', 'surrogateescape')).digest()

        ordered = sorted(parts['train'], key=number)
        count = min(len(ordered) // HELD_OUT, MOST_HELD_OUT)
        parts['valid'] = ordered[:count]
        held = set(map(id, parts['valid']))
        parts['train'] = [row for row in parts['train'] if id(row) not in held]
    return parts


def kind_of(path):
    """'sound', 'picture' or 'text'"""
    with open(path, 'rb') as file:
        head = file.read(4096)
    if b'\0' not in head:
        return 'text'
    if head.startswith(PICTURES):
        return 'picture'
    if head.startswith(SOUNDS):
        return 'sound'
    raise Problem(f'{path} is not sound, a picture or text: it has NUL bytes and begins with '
                  f'{head[:4].hex(" ")}')


def list_files(path):
    """(kind of the files, labels, {part: [(path, label)]})"""
    rows = read_folder(path) if path.is_dir() else read_manifest(path)
    if not rows:
        raise Problem(f'{path} has no files; a manifest has a line for each, a folder has a folder '
                      'for each class')
    kinds = {}
    for file, _, _ in rows:
        kinds.setdefault(kind_of(file), file)
    if len(kinds) > 1:
        listed = ', '.join(f'{file} ({kind})' for kind, file in kinds.items())
        raise Problem(f'{path}: all files must be of one kind, and there are several: {listed}')
    labels = sorted({label for _, label, _ in rows},
                    key=lambda label: (not label.isdecimal(),
                                       int(label) if label.isdecimal() else 0, label))
    parts = divide(rows)
    if len(labels) < 2 or not parts['train'] or not parts['valid']:
        raise Problem(f'{path} has {len(labels)} classes, {len(parts["train"])} files to train on '
                      f'and {len(parts["valid"])} held out; two classes and ten files are the '
                      'least')
    return next(iter(kinds)), labels, parts


# ---- Texts ----

class Units:
    """The symbols of texts, words or bytes, and the ids that the architecture gives them."""

    LEAST, MOST, COVERED = 3, 20000, 0.8

    def __init__(self, unit, symbols, s4):
        self.unit, self.symbols = unit, symbols
        self.special = ['<pad>', '<unk>', '<eos>'] if s4 else ['<s>', '<pad>', '</s>', '<unk>']
        self.pad, self.eos, self.unknown = (0, 2, 1) if s4 else (1, 2, 3)
        self.numbers = {symbol: len(self.special) + i for i, symbol in enumerate(symbols)}

    def __len__(self):
        return len(self.special) + len(self.symbols)

    @classmethod
    def choose(cls, unit, texts, s4):
        """Choose words if those seen ``LEAST`` times make up most of the texts, else bytes."""
        counts = collections.Counter()
        if unit != 'byte':
            for text in texts:
                counts.update(words(text))
        common = [word for word, count in counts.most_common(cls.MOST)
                  if count >= cls.LEAST and cls.can_be_listed(word)]
        covered = sum(counts[word] for word in common) / max(1, counts.total())
        if unit == 'word' or unit is None and covered >= cls.COVERED:
            return cls('word', common, s4)
        return cls('byte', [str(value) for value in range(256)], s4)

    @staticmethod
    def can_be_listed(word):
        """Whether a dictionary's line can hold the word; a byte order mark would be dropped."""
        return len(word) < 100 and word[0] not in '<\ufeff'

    def encode(self, text, limit=None):
        """Ids of a text as in mega-run: cut to the limit, with the symbol of the end."""
        if self.unit == 'word':
            ids = [self.numbers.get(word, self.unknown) for word in words(text)]
        else:
            ids = [len(self.special) + value for value in without_line_end(text)]
        return ids[:None if limit is None else limit - 1] + [self.eos]

    def write(self, folder):
        """Write the vocabulary for mega-convert; return the options that name it."""
        if len(self.special) == 3:
            path = folder / 'vocab.json'
            path.write_text(json.dumps([*self.special, *self.symbols]), encoding='utf-8')
            return ['--vocab', path, '--tokenizer', self.unit]
        path = folder / 'dict.txt'
        path.write_text(''.join(f'{symbol} 1\n' for symbol in self.symbols), encoding='utf-8')
        return ['--dict', path, '--tokenizer', self.unit]


def words(text):
    """Words between white space; mega-run takes the same characters for white space as Python."""
    return text.decode('utf-8', 'replace').split()


def without_line_end(text):
    if text.endswith(b'\n'):
        text = text[:-2 if text.endswith(b'\r\n') and len(text) > 2 else -1]
    return text


def read_text(path):
    return path.read_bytes().removeprefix(b'\xef\xbb\xbf').replace(b'\0', '\ufffd'.encode())


# ---- Sound ----

def read_sounds(paths, most_seconds):
    """(clips as int16 arrays, rate); clips are mixed down and have the rate of most files."""
    import soundfile

    import sound
    clips, rates = [], []
    for path in paths:
        try:
            samples, rate = soundfile.read(path, dtype='float32', always_2d=True)
        except soundfile.SoundFileError as error:
            raise Problem(f'{path}: {error}') from error
        clips.append(samples[:int(most_seconds * rate)].mean(axis=1))
        rates.append(rate)
    rate = collections.Counter(rates).most_common(1)[0][0]
    clips = [np.clip(sound.resample(clip, own, rate) * 32768, -32768, 32767).astype(np.int16)
             for clip, own in zip(clips, rates)]
    return clips, rate


def fill_up(clips, length):
    """One tensor of clips, with silence after short ones."""
    filled = np.zeros((len(clips), length), np.int16)
    for row, clip in zip(filled, clips):
        row[:len(clip)] = clip[:length]
    return torch.from_numpy(filled)


# ---- Pictures ----

def read_picture(path, size, mode):
    """Pixels [size, size, channels] as in mega-run: turned upright, on white, stretched."""
    from PIL import Image, ImageOps, UnidentifiedImageError
    try:
        with Image.open(io.BytesIO(path.read_bytes())) as picture:
            picture = ImageOps.exif_transpose(picture)
            if 'A' in picture.getbands() or 'transparency' in picture.info:
                picture = picture.convert('RGBA')
                white = Image.new('RGBA', picture.size, 'white')
                picture = Image.alpha_composite(white, picture)
            picture = picture.convert('RGB').convert(mode)
            # Rows are resized first, as in mega-run; Pillow would begin with columns in tall ones.
            for width, height in ((size, picture.height), (size, size)):
                picture = picture.resize((width, height), Image.Resampling.BICUBIC)
            return np.asarray(picture).reshape(size, size, -1)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise Problem(f'{path}: {error}') from error


def read_pictures(paths, size, mode):
    """Bytes [pictures, size, size, channels]; ``mode`` is Pillow's: L for gray, or RGB."""
    return torch.from_numpy(np.stack([read_picture(path, size, mode) for path in paths]))
