"""Iterators over texts while they are made.

The library hands out a text by calling a function, but a program asks for the next piece.  So a
thread makes the text, and waits at each piece until it is asked for.
"""
from __future__ import annotations

import atexit
import queue
import threading
from collections.abc import Iterator
from typing import Any

from megarun.inputs import Raw
from megarun.library import ffi, lib
from megarun.sessions import Pool

_streams: set[tuple[threading.Event, threading.Thread]] = set()  # streams that are being read


@atexit.register
def _end_streams() -> None:
    """Ends the threads while they still can: since Python 3.13, one that asks for the interpreter
    after its end waits forever, and so would whoever waits for that thread."""
    streams = list(_streams)
    for left, _ in streams:
        left.set()
    for _, thread in streams:
        thread.join()


def stream(pool: Pool, prompt: str, how: Any, kept: list[Any]) -> Iterator[str]:
    """Gives the pieces of a text.  `how` is a MegaGenerateOptions, `kept` the memory that it
    points to."""
    raw = Raw(1)
    raw.set_text(0, prompt)
    pieces: queue.Queue[str | BaseException | None] = queue.Queue(maxsize=1)
    left = threading.Event()  # is set when nobody reads any more

    def put(piece: str | BaseException | None) -> bool:
        while not left.is_set():
            try:
                pieces.put(piece, timeout=0.1)
                return True
            except queue.Full:
                pass
        return False

    @ffi.callback('MegaTextSink')  # type: ignore[untyped-decorator]
    def sink(_: Any, sample: int, token: int, data: Any, size: int) -> bool:
        text = bytes(ffi.buffer(data, size)).decode('utf-8', 'replace') if size else ''
        return put(text) if text else not left.is_set()

    how.sink = sink

    def work() -> None:
        try:
            with pool.borrow() as pipeline:
                pipeline.call(lib.mega_pipeline_generate, raw.items, how, ffi.NULL)
        except BaseException as err:  # the reader raises it
            put(err)
        put(None)

    thread = threading.Thread(target=work, name='megarun stream', daemon=True)
    try:
        thread.start()
        _streams.add((left, thread))
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        left.set()
        thread.join()
        _streams.discard((left, thread))
        del kept
