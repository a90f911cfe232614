"""Runs prepared arrays through a model and collects its stages, as `mega-run forward` does."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from megarun.errors import ArgumentError
from megarun.inputs import model_input
from megarun.library import check, ffi, lib
from megarun.results import Floats, array_of
from megarun.sessions import error

_LABELS_POSITIONS = ('fill', 'tag', 'answer')
_ONE_ROW = ('classify', 'choose')  # their logits are a vector


class _Capture:
    """Copies the stages that are wanted.  A decoder may return a stage in several pieces."""

    def __init__(self, wanted: Sequence[str], number: int) -> None:
        self.seen: dict[str, None] = {}  # an ordered set
        self.pieces: dict[str, list[Floats]] = {name: [] for name in wanted}
        self._number = number
        self.tap = ffi.callback('MegaTap', self._take)

    def _take(self, _: Any, stage: Any, number: int, data: Any, rows: int, columns: int) -> None:
        name = ffi.string(stage).decode()
        self.seen[name] = None
        if name in self.pieces and (number == self._number or name == 'logits'):
            self.pieces[name].append(array_of(ffi, data, (rows, columns), np.float32))


def forward(model: Any, pipeline: Any, task: str, arrays: Sequence[npt.ArrayLike],
            wanted: Sequence[str], target: npt.ArrayLike | None, types: npt.ArrayLike | None,
            number: int, truncate: bool | None, pieces: int,
            chunk: int | None) -> dict[str, Floats]:
    """Returns the stages; Model.forward describes the arguments."""
    count = lib.mega_model_input_count(model)
    if len(arrays) != count or not 0 <= number < count:
        raise ArgumentError(f'the model takes {count} input{"s" if count > 1 else ""}, not '
                            f'{len(arrays)}' if len(arrays) != count else
                            f'there is no input {number}: the model takes {count}')
    if target is not None and task != 'translate':
        raise ArgumentError(f'a target is for the decoder of a translator; the task of this model '
                            f"is '{task}'")
    _check_pieces(task, types, pieces, chunk)
    views, kept = ffi.new('MegaInput[]', count), []
    for i, array in enumerate(arrays):
        view, memory = model_input(array, types if i == 0 else None)
        views[i] = view[0]
        kept += memory
    session, capture = lib.mega_pipeline_session(pipeline), _Capture(wanted, number)
    lib.mega_session_set_tap(session, capture.tap, ffi.NULL)
    try:
        logits = _run(model, session, task, views, count, target, pieces,
                      _decoder_options(model, truncate, chunk), capture, wanted)
    finally:
        lib.mega_session_set_tap(session, ffi.NULL, ffi.NULL)
    found = {name: np.concatenate(parts) for name, parts in capture.pieces.items() if parts}
    if logits is not None:
        capture.seen['logits'] = None
        found['logits'] = logits
    for name in wanted:
        if name not in found:
            needs = ' without a target' if task == 'translate' and target is None else ''
            raise ArgumentError(f"the model gives no stage '{name}'{needs}; it gives "
                                f"{', '.join(capture.seen)}")
        if name == 'pooled' or name == 'logits' and task in _ONE_ROW:
            found[name] = found[name].reshape(-1)
    return {name: found[name] for name in wanted}


def _check_pieces(task: str, types: npt.ArrayLike | None, pieces: int, chunk: int | None) -> None:
    """Refuses arguments that the C functions would misunderstand or ignore."""
    if pieces < 0:
        raise ArgumentError(f'pieces cannot have {pieces} positions; expected 1 or more, or 0 for '
                            'the whole input at once')
    if pieces and task != 'classify':
        raise ArgumentError(f"pieces are for classifiers; the task of this model is '{task}'")
    if pieces and types is not None:
        raise ArgumentError('an input with token types cannot be taken in pieces')
    if chunk is not None and chunk < 0:
        raise ArgumentError(f'a chunk cannot have {chunk} positions; expected 1 or more, or 0 for '
                            'no chunks')
    if chunk is not None and task not in ('generate', 'translate'):
        raise ArgumentError('only a decoder can have another chunk; the task of this model is '
                            f"'{task}'")


def _decoder_options(model: Any, truncate: bool | None, chunk: int | None) -> Any:
    options = ffi.new('MegaDecoderOptions *')
    options.truncate = lib.mega_model_truncates(model) if truncate is None else truncate
    options.chunk = 0 if chunk is None else chunk or -1  # in C, 0 is the model's and -1 none
    return options


def _run(model: Any, session: Any, task: str, views: Any, count: int,
         target: npt.ArrayLike | None, pieces: int, options: Any, capture: _Capture,
         wanted: Sequence[str]) -> Floats | None:
    """Runs the model.  Returns the logits of a decoder, which the tap of stages does not give."""
    err = error()
    if task == 'generate':
        return _decode(model, session, None, views, options, wanted)
    if task == 'translate':
        encoded = ffi.new('MegaEncoded **')
        check(lib.mega_session_encode(session, views, encoded, err), err)
        try:
            shape = (lib.mega_encoded_length(encoded[0]), lib.mega_model_width(model))
            capture.seen['encoder'] = None
            if 'encoder' in capture.pieces:
                capture.pieces['encoder'].append(
                    array_of(ffi, lib.mega_encoded_states(encoded[0]), shape, np.float32))
            if target is None:
                return None
            view, kept = model_input(target)
            logits = _decode(model, session, encoded[0], view, options, wanted)
            del kept
            return logits
        finally:
            lib.mega_encoded_free(encoded[0])
    if task in _LABELS_POSITIONS:
        classes = lib.mega_model_class_count(model)
        length = views[0].length if 'logits' in wanted else 0
        none = ffi.new('size_t *')
        logits = np.empty((length, classes), np.float32)
        check(lib.mega_session_label(session, views, ffi.NULL if length else none, length,
                                     ffi.from_buffer('float[]', logits), err), err)
        return None
    width = lib.mega_model_width(model) if task == 'embed' else lib.mega_model_class_count(model)
    logits = ffi.new('float[]', width)
    if pieces:
        check(lib.mega_session_classify_pieces(session, views, pieces, logits, err), err)
    else:
        check(lib.mega_session_classify(session, views, count, logits, err), err)
    return None


def _decode(model: Any, session: Any, encoded: Any, view: Any, options: Any,
            wanted: Sequence[str]) -> Floats | None:
    """Runs a decoder on all tokens at once."""
    decoder, err = ffi.new('MegaDecoder **'), error()
    length, vocabulary = view[0].length, lib.mega_model_vocab_size(model)
    if view[0].kind != lib.MEGA_INPUT_TOKENS or not length:
        raise ArgumentError('a decoder takes an array of token ids, at least one')
    sources = ffi.new('MegaEncoded const *[]', [encoded]) if encoded else ffi.NULL
    logits = np.empty((length, vocabulary), np.float32) if 'logits' in wanted else None
    check(lib.mega_decoder_new(decoder, session, options, err), err)
    try:
        check(lib.mega_decoder_begin(decoder[0], sources, 1, err), err)
        check(lib.mega_decoder_feed(
            decoder[0], view[0].tokens, length,
            ffi.NULL if logits is None else ffi.from_buffer('float[]', logits), err), err)
    finally:
        lib.mega_decoder_free(decoder[0])
    return logits
