"""Workers of which one is killed in the middle of its work, once."""
from __future__ import annotations

import os
import pathlib
import signal
import time
from typing import Any

import pandas
from megarun.rows import classify_rows
from on_ray import Classifier

_calls = 0


def _is_the_first(marker: str) -> bool:
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False


def _executor() -> int:
    """Returns the process of Java that this worker of Python belongs to."""
    process = os.getpid()
    while True:
        status = pathlib.Path(f'/proc/{process}/status').read_text(encoding='utf-8')
        fields = dict(line.split(':\t', 1) for line in status.splitlines() if ':\t' in line)
        if fields['Name'] == 'java':
            return process
        process = int(fields['PPid'])


def _is_due(marker: str) -> bool:
    """Whether this worker has done something already and none was killed yet."""
    global _calls
    _calls += 1
    return _calls == 3 and _is_the_first(marker)


def rows_of_a_dying_executor(marker: str, model: str, inputs: list[str]) -> list[Any]:
    """Does what Spark's workers do, until the executor is killed and its results are lost."""
    rows = classify_rows(model, inputs)
    if _is_due(marker):
        os.kill(_executor(), signal.SIGKILL)
        time.sleep(3600)
    return rows


class DyingClassifier(Classifier):
    """An actor of Ray that kills itself."""

    def __init__(self, model: str, marker: str) -> None:
        super().__init__(model)
        self.marker = marker

    def __call__(self, batch: pandas.DataFrame) -> pandas.DataFrame:
        rows = super().__call__(batch)
        if _is_due(self.marker):
            os.kill(os.getpid(), signal.SIGKILL)
        return rows
