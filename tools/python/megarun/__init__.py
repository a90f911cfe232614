"""Runs MEGA, Transformer and S4 sequence models on ordinary processors.

    import megarun

    model = megarun.load("speech-commands.mega")
    model.classify("yes.wav")[0].label           # 'yes'
    model.classify(samples, rate=44100)          # an array of sound

    model = megarun.load("everyday-en-de.mega")
    model.translate("Two dogs are playing in the snow.")

    model = megarun.load("shakespeare-lm.mega")
    for piece in model.generate("ROMEO:", stream=True):
        print(piece, end="", flush=True)

    megarun.convert("mega-base-wikitext", "wikitext.mega")    # a folder of the Hugging Face hub
    megarun.pipeline("fill-mask", "wikitext.mega")("Paris is the <mask> of France.")

A model is a .mega file.  `load` opens one, `convert` makes one of a checkpoint, and `pipeline`
gives it the interface of transformers' pipelines.  Arrays are numpy's.  One model serves any
number of threads at once, and calls let other threads of Python run.

Whatever goes wrong is a MegaError whose text is one sentence; its subclasses tell a file that
cannot be read (FileError, FormatError) from an input that the model cannot take (InputError) and
from a call that makes no sense (ArgumentError).
"""
from __future__ import annotations

import os

from megarun.converting import convert
from megarun.errors import ArgumentError, ConvertError, FileError, ForkError, FormatError, \
    InputError, LimitError, MegaError, MegaWarning, ModelError, OutOfMemoryError, UnsupportedError
from megarun.library import lib as _lib
from megarun.library import text_of as _text_of
from megarun.model import Model
from megarun.pipelines import Pipeline, pipeline
from megarun.results import Answer, Choice, Filling, Generation, Hypothesis, Label, Score, Tag, \
    Window
from megarun.tokenizer import Tokenizer

__all__ = [
    'load', 'convert', 'pipeline', 'Model', 'Tokenizer', 'Pipeline', 'Label', 'Window',
    'Hypothesis', 'Generation', 'Score', 'Filling', 'Tag', 'Answer', 'Choice', 'MegaError',
    'FileError', 'FormatError', 'UnsupportedError', 'ModelError', 'InputError', 'LimitError',
    'OutOfMemoryError', 'ArgumentError', 'ForkError', 'ConvertError', 'MegaWarning']
__version__ = _text_of(_lib.mega_version())


def load(path: str | os.PathLike[str], *, threads: int = 0, cpu: str | None = None,
         max_memory: int = 0) -> Model:
    """Opens a model file.

    path        a .mega file
    threads     worker threads of each call; 0: as many as the process may use.  Results do not
                depend on it.
    cpu         kernels, such as "generic", "avx2" or "avx512"; None: the best of this machine
    max_memory  a limit on the bytes of the model and of all that is made with it; 0: a limit that
                only a hostile file exceeds

    Raises FileError if the file cannot be read, FormatError if it is damaged, ModelError if its
    parts do not fit each other, and LimitError if it needs more than max_memory.
    """
    return Model(path, threads, cpu, max_memory)
