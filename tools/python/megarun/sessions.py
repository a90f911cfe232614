"""Shares one model between threads: each call borrows a pipeline, and forks are noticed.

A MegaModel never changes, so all threads share it.  A MegaPipeline serves one call at a time, so
every call takes an idle one, or makes one if all are busy, and gives it back.

A child process made by fork has none of its parent's threads.  Idle pipelines would still work
there, but only in the calling thread; the child drops them and makes its own, which have threads.
Those that were busy are lost in the middle of a call together with the thread that used them, and
so may be the model, which the child therefore refuses.
"""
from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

from megarun.errors import ArgumentError, ForkError, MegaWarning
from megarun.library import check, ffi, lib, media, text_of

# Guards all pools; it is held only to move a pipeline from list to list, so fork can wait for it.
_lock = threading.Lock()
_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()
    for pool in _pools:
        pool.lost = pool.lost or pool.busy > 0
        pool.busy = 0
        pool.idle.clear()


os.register_at_fork(before=lambda: _lock.acquire(), after_in_parent=lambda: _lock.release(),
                    after_in_child=_after_fork_in_child)


class Pipeline:
    """A MegaPipeline, and the warnings that it gave during a call."""

    def __init__(self, pool: Pool, window: float = 0, hop: float = 0) -> None:
        self.warnings: list[str] = []
        collected = self.warnings  # the callback must not keep the pipeline alive, in a cycle
        self._warn = ffi.callback('void(void *, char const *)',
                                  lambda _, sentence: collected.append(text_of(sentence)))
        options, out, err = ffi.new('MegaPipelineOptions *'), ffi.new('MegaPipeline **'), error()
        cpu = ffi.new('char[]', pool.cpu.encode()) if pool.cpu else ffi.NULL
        options.session.threads = pool.threads
        options.session.cpu = cpu
        options.session.max_memory = pool.max_memory
        options.media = media.mega_media()
        options.warn = self._warn
        options.window, options.hop = window, hop
        model = pool.model
        check(lib.mega_pipeline_new(out, model, options, err), err)
        # The function that frees it holds the model, which therefore lives longer.
        self.handle = ffi.gc(out[0], lambda handle, _=(model, self._warn):
                             lib.mega_pipeline_free(handle))

    def call(self, function: Any, *arguments: Any) -> int:
        """Calls a function of the library with this pipeline and a MegaError around the arguments.
        Raises the exception of its error, and gives its warnings."""
        err = error()
        with self.warned():
            code: int = function(self.handle, *arguments, err)
            check(code, err)
        return code

    @contextlib.contextmanager
    def warned(self) -> Iterator[None]:
        """Gives the warnings of a with statement's calls at its end, unless an exception ends it.
        They are never left for another call."""
        try:
            yield
        finally:
            told, self.warnings[:] = list(self.warnings), []
        for sentence in told:
            warnings.warn(sentence, MegaWarning, stacklevel=_level_of_program())


class Pool:
    """A MegaModel and the pipelines made from it."""

    def __init__(self, path: str, threads: int, cpu: str | None, max_memory: int) -> None:
        if threads < 0 or max_memory < 0:
            raise ArgumentError('threads and max_memory cannot be negative, but are '
                                f'{threads} and {max_memory}')
        self.threads, self.cpu, self.max_memory = threads, cpu, max_memory
        options, out, err = ffi.new('MegaModelOptions *'), ffi.new('MegaModel **'), error()
        options.max_memory = max_memory
        name = os.fsencode(path)
        if b'\0' in name:
            raise ArgumentError('a path cannot hold a NUL character')
        check(lib.mega_model_open_with(out, name, options, err), err)
        self._model = ffi.gc(out[0], lib.mega_model_free)
        self.idle: list[Pipeline] = []
        self.busy = 0
        self.lost = False
        with _lock:
            _pools.add(self)

    @property
    def model(self) -> Any:
        """The MegaModel.  Raises an exception if it was closed or lost by a fork."""
        if self.lost:
            raise ForkError('the model was in use when this process was forked; load it again in '
                            'the child')
        if self._model is None:
            raise ArgumentError('the model was closed')
        return self._model

    @contextlib.contextmanager
    def borrow(self) -> Iterator[Pipeline]:
        """Gives an idle pipeline for one call."""
        _ = self.model
        with _lock:
            pipeline = self.idle.pop() if self.idle else None
            self.busy += 1
        try:
            pipeline = pipeline or Pipeline(self)
            yield pipeline
        finally:
            with _lock:
                self.busy -= 1
                if pipeline and self._model is not None:
                    self.idle.append(pipeline)

    def close(self) -> None:
        """Frees the model as soon as no call uses it any more."""
        with _lock:
            idle, self.idle = self.idle, []
            self._model = None
        idle.clear()


def _level_of_program() -> int:
    """Returns the stack level of the code that uses this package, for its caller's warning."""
    own = os.path.dirname(__file__), os.path.dirname(contextlib.__file__) + os.sep + 'contextlib'
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_code.co_filename.startswith(own):
        frame, level = frame.f_back, level + 1
    return level


def error() -> Any:
    """Makes an empty MegaError."""
    return ffi.new('MegaError *')
