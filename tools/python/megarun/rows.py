"""Turns lists of inputs into lists of rows, for engines that run a function on many machines.

    from megarun.rows import classify_rows

    classify_rows("speech-commands.mega", ["yes.wav", "nothing.wav"])
    # [{'input': 'yes.wav', 'label': 'yes', 'score': 0.94, 'error': None},
    #  {'input': 'nothing.wav', 'label': None, 'score': None, 'error': 'cannot open ...'}]

A process loads a model once, with the first call that names it.  Each input has one row, in the
order of the inputs; the row of an input that fails has its error.  A row depends on its input and
the model alone, so that it does not matter which machine makes it, or how often.
"""
from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import TypedDict

from megarun.errors import ArgumentError, MegaError, MegaWarning, OutOfMemoryError
from megarun.model import Model

_TOGETHER = 16  # at most so many lines are translated together


class LabelRow(TypedDict):
    """The most probable class of an input, or why it has none."""

    input: str
    label: str | None
    score: float | None
    error: str | None


class TextRow(TypedDict):
    """The translation of a text, or why it has none."""

    input: str
    output: str | None
    error: str | None


@functools.lru_cache(maxsize=4)
def loaded(path: str, threads: int = 1) -> Model:
    """Returns the model of this process for a path; it is loaded once.

    One thread is what engines give a worker by default.  Raises what `megarun.load` raises: a model
    that is missing fails the job, not each row.
    """
    return Model(path, threads)


def _is_about_the_input(error: MegaError) -> bool:
    """Whether an error comes from the input, so that every machine would have it."""
    return not isinstance(error, (OutOfMemoryError, ArgumentError))


def classify_rows(model: str, inputs: Sequence[str], *, threads: int = 1) -> list[LabelRow]:
    """Returns a row for each input: a path, or a text for a model that reads texts.

    Of a recording longer than the model's clips the first clip is classified.  Raises
    OutOfMemoryError and ArgumentError, which do not come from an input, and what `loaded` raises.
    """
    rows: list[LabelRow] = []
    engine = loaded(model, threads)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', MegaWarning)
        for given in inputs:
            try:
                best = engine.classify(given, top=1)[0]
                rows.append({'input': given, 'label': best.label, 'score': best.score,
                             'error': None})
            except MegaError as error:
                if not _is_about_the_input(error):
                    raise
                rows.append({'input': given, 'label': None, 'score': None, 'error': str(error)})
    return rows


def _translate_one(engine: Model, text: str, beam: int) -> TextRow:
    try:
        return {'input': text, 'output': engine.translate(text, beam=beam), 'error': None}
    except MegaError as error:
        if not _is_about_the_input(error):
            raise
        return {'input': text, 'output': None, 'error': str(error)}


def translate_rows(model: str, inputs: Sequence[str], *, beam: int = 5,
                   threads: int = 1) -> list[TextRow]:
    """Returns a row for each text, translated as `Model.translate` does; raises what
    `classify_rows` raises."""
    rows: list[TextRow] = []
    engine = loaded(model, threads)
    for first in range(0, len(inputs), _TOGETHER):
        texts = inputs[first:first + _TOGETHER]
        try:
            rows += [{'input': text, 'output': output, 'error': None}
                     for text, output in zip(texts, engine.translate(list(texts), beam=beam))]
        except MegaError as error:
            if not _is_about_the_input(error):
                raise
            # Any of them may have failed, so each is translated by itself.
            rows += [_translate_one(engine, text, beam) for text in texts]
    return rows
