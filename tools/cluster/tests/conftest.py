"""The tests share inputs, the results of one process for them, and clusters of two workers.

MEGA_BUILD is the folder of mega-run and MEGA_TOP that of the source tree; `make cluster-test` sets
both.
"""
from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from inputs import make_lines, make_recordings
from megarun.rows import classify_rows, translate_rows

TOP = pathlib.Path(os.environ['MEGA_TOP'])
MEGA_RUN = os.environ['MEGA_BUILD'] + '/mega-run'
MODELS = TOP / 'models'
SPEECH = str(MODELS / 'speech-commands/speech-commands.mega')
TRANSLATOR = str(MODELS / 'everyday-en-de/everyday-en-de.mega')
RECORDINGS, LINES, BEAM = 2000, 5000, 1
WORKERS = 2


class Job:
    """Inputs, a file that has them line by line, and the rows that one process makes of them."""

    def __init__(self, folder: pathlib.Path, name: str, inputs: list[str], rows: list[Any]) -> None:
        self.inputs, self.rows = inputs, rows
        self.list = folder / name
        self.list.write_text(''.join(f'{text}\n' for text in inputs), encoding='utf-8')


def text_of(rows: list[Any]) -> str:
    """Returns rows as lines.  Numbers are written with all of their digits."""
    return ''.join('\t'.join(f'{name}={row[name]!r}' for name in row) + '\n' for row in rows)


def plain(rows: Any) -> list[dict[str, Any]]:
    """Returns the rows of a table in their order, as `megarun.rows` makes them; the table must have
    each number once."""
    found = sorted(rows, key=lambda row: row['number'])
    assert [row['number'] for row in found] == list(range(len(found)))
    return [{name: None if value is None or value != value else value
             for name, value in row.items() if name != 'number'} for row in found]


def mega_run(*arguments: Any, stdin: str = '') -> subprocess.CompletedProcess[str]:
    return subprocess.run([MEGA_RUN, *map(str, arguments)], input=stdin, capture_output=True,
                          text=True, check=False)


@pytest.fixture(scope='session')
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp('cluster')


@pytest.fixture(scope='session')
def recordings(folder: pathlib.Path) -> Job:
    paths = make_recordings(MODELS, folder / 'recordings', RECORDINGS)
    return Job(folder, 'recordings.txt', paths, classify_rows(SPEECH, paths))


@pytest.fixture(scope='session')
def lines(folder: pathlib.Path) -> Job:
    texts = make_lines(LINES)
    return Job(folder, 'lines.txt', texts, translate_rows(TRANSLATOR, texts, beam=BEAM))


def start_spark(workers: int, batch: str) -> Any:
    """Starts a cluster of Spark on this machine: a driver, and an executor for each worker."""
    from pyspark.sql import SparkSession
    builder = SparkSession.builder.master(f'local-cluster[{workers},1,1024]').appName('mega')
    for name, value in {'spark.ui.enabled': 'false', 'spark.driver.host': '127.0.0.1',
                        'spark.driver.bindAddress': '127.0.0.1', 'spark.executor.memory': '768m',
                        'spark.executorEnv.PYTHONPATH': os.environ['PYTHONPATH'],
                        'spark.sql.execution.arrow.maxRecordsPerBatch': batch}.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel('OFF')
    return session


def start_ray(workers: int) -> Any:
    import ray
    import ray.data
    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level='ERROR',
             object_store_memory=200 << 20)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray


@pytest.fixture(scope='session')
def spark() -> Iterator[Any]:
    session = start_spark(WORKERS, '50')
    yield session
    session.stop()


@pytest.fixture(scope='session')
def ray() -> Iterator[Any]:
    engine = start_ray(WORKERS)
    yield engine
    engine.shutdown()
