"""The tokenizer of a model."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from megarun.errors import ArgumentError
from megarun.inputs import Raw, int32_array
from megarun.library import ffi, lib, text_of
from megarun.results import Ids, array_of
from megarun.sessions import Pool


def _side(side: str) -> int:
    if side not in ('input', 'output'):
        raise ArgumentError(f"a model has no side '{side}'; it has 'input' and 'output'")
    return int(lib.MEGA_SIDE_INPUT if side == 'input' else lib.MEGA_SIDE_OUTPUT)


class Tokenizer:
    """Turns texts into the token ids of a model, and back.  `Model.tokenizer` gives it.

    A translator has two sides: "input" is the source, "output" the target.  Other models have one.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def encode(self, text: str, side: str = 'input') -> Ids:
        """Returns the ids [length] of a text as the model reads it, with the special ones, such as
        <CLS> before a classifier's text or </s> after a translator's source.

        Raises InputError if the text cannot be read, and ArgumentError if the model takes no text.
        """
        raw, ids = Raw(1), ffi.new('MegaIds *')
        raw.set_text(0, text)
        with self._pool.borrow() as pipeline:
            pipeline.call(lib.mega_pipeline_tokenize, _side(side), raw.items, ids)
        try:
            return array_of(ffi, ids.ids, (ids.count,), np.int32)
        finally:
            lib.mega_ids_free(ids)

    def decode(self, ids: Sequence[int] | npt.NDArray[Any], side: str = 'output') -> str:
        """Returns the text of ids, without <s>, <pad> and </s>.

        Raises UnsupportedError if the model has a vocabulary but no tokenizer, and ArgumentError if
        an id is not a whole number of 32 bits.
        """
        values, text = int32_array(ids, 'a token id'), ffi.new('MegaText *')
        with self._pool.borrow() as pipeline:
            pipeline.call(lib.mega_pipeline_detokenize, _side(side),
                          ffi.from_buffer('int32_t[]', values), values.size, text)
        try:
            return bytes(ffi.buffer(text.data, text.size)).decode('utf-8', 'replace')
        finally:
            lib.mega_text_free(text)

    def symbol(self, token: int, side: str = 'input') -> str | None:
        """Returns a token as it stands in the vocabulary, or None if no token has this id."""
        with self._pool.borrow() as pipeline:
            symbol = lib.mega_pipeline_symbol(pipeline.handle, _side(side), token)
            return text_of(symbol) if symbol else None

    def __call__(self, text: str, pair: str | None = None, side: str = 'input') -> dict[str, Any]:
        """Returns the tokens of a text, or of a pair of texts, as `mega-run tokenize --json` does:

            input_ids       list of ids, with the special ones of the tokenizer
            tokens          list of symbols of the vocabulary
            offset_mapping  list of (start, end) in code points; None if the tokenizer changes texts
            token_type_ids  list of types, of a model that reads them

        Raises UnsupportedError if the model has a vocabulary but no tokenizer.
        """
        raw, places = Raw(2), ffi.new('MegaPlaces *')
        raw.set_text(0, text)
        raw.set_text(1, pair or '')
        second = raw.items + 1 if pair else ffi.NULL
        with self._pool.borrow() as pipeline:
            pipeline.call(lib.mega_pipeline_places, _side(side), raw.items, second, places)
            items = [places.items[i] for i in range(places.count)]
            symbols = [lib.mega_pipeline_symbol(pipeline.handle, _side(side), item.id)
                       for item in items]
            found = {'input_ids': [item.id for item in items],
                     'tokens': [text_of(symbol) if symbol else '' for symbol in symbols],
                     'offset_mapping': [(item.start, item.end) for item in items]
                     if places.has_places else None}
            if places.has_types:
                found['token_type_ids'] = [item.type for item in items]
        lib.mega_places_free(places)
        return found
