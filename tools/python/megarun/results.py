"""The results of models.  Every class is a named tuple, so that it also unpacks."""
from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]


class Label(NamedTuple):
    """A class of a classifier and its probability."""

    label: str  # its name, or its number if the model has no names
    score: float
    index: int  # type: ignore[assignment]  # which hides tuple.index


class Window(NamedTuple):
    """What a classifier hears in a part of a recording; times are in seconds."""

    start: float
    end: float
    labels: list[Label]  # the most probable one first


class Hypothesis(NamedTuple):
    """A translation that the beam search found."""

    text: str
    score: float  # of the whole: the sum of token_scores, divided by the length
    tokens: Ids  # [length], with the final </s>
    token_scores: Floats  # [length] log-probabilities
    attention: Floats | None  # [length, source length] of the last layer, if it was asked for


class Generation(NamedTuple):
    """A text that a language model made, without its prompt."""

    text: str
    tokens: Ids  # [count], with the final </s>
    finish: str  # "end", "stop" or "length"


class Score(NamedTuple):
    """How probable a text is."""

    logprob: float  # the natural logarithm of the probability
    tokens: Ids  # [count]
    logprobs: Floats  # [count], one for each token
    characters: int
    bytes: int

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-probability of a token."""
        return math.exp(-self.logprob / len(self.tokens)) if len(self.tokens) else math.nan

    @property
    def bits_per_character(self) -> float:
        """The negative log-probability in bits, divided by the number of characters."""
        return -self.logprob / math.log(2) / self.characters if self.characters else math.nan


class Filling(NamedTuple):
    """A token in place of a mask."""

    score: float  # its probability among all tokens
    token: int
    token_str: str
    sequence: str  # the whole text with the token in place of the mask


class Tag(NamedTuple):
    """The label of a token, or of a group of tokens; places are code points of the text."""

    entity: str
    score: float
    index: int  # type: ignore[assignment]  # position of the (first) token
    word: str
    start: int
    end: int


class Answer(NamedTuple):
    """A part of a text that answers a question; places are code points of the text."""

    score: float
    start: int
    end: int
    answer: str


class Choice(NamedTuple):
    """One of the texts that may go with a prompt."""

    index: int  # type: ignore[assignment]  # which hides tuple.index
    score: float  # all scores add up to 1
    choice: str


def array_of(ffi: Any, pointer: Any, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
    """Copies a C array."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if not size:
        return np.zeros(shape, dtype)
    return np.frombuffer(ffi.buffer(pointer, size), dtype).reshape(shape).copy()
