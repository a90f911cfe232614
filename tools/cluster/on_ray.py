"""Classifies recordings or translates lines with Ray Data.

    python on_ray.py classify speech-commands.mega list.txt results --workers 2
    python on_ray.py translate everyday-en-de.mega lines.txt results --workers 2

Each worker is an actor that loads the model once.  An actor that dies is started again, and so is
the batch that it worked on.  `results` becomes a folder of Parquet files, whose column `number` is
the place of an input in the list.
"""
from __future__ import annotations

import argparse
from typing import Any

import pandas
import ray
import ray.data
from megarun.rows import LabelRow, TextRow, classify_rows, loaded, translate_rows


class Classifier:
    """An actor that classifies the inputs of a batch."""

    def __init__(self, model: str) -> None:
        self.model = model
        loaded(model)

    def __call__(self, batch: pandas.DataFrame) -> pandas.DataFrame:
        return with_numbers(batch, classify_rows(self.model, list(batch['input'])),
                            LabelRow.__annotations__)


class Translator:
    """An actor that translates the inputs of a batch."""

    def __init__(self, model: str, beam: int = 5) -> None:
        self.model, self.beam = model, beam
        loaded(model)

    def __call__(self, batch: pandas.DataFrame) -> pandas.DataFrame:
        rows = translate_rows(self.model, list(batch['input']), beam=self.beam)
        return with_numbers(batch, rows, TextRow.__annotations__)


def with_numbers(batch: pandas.DataFrame, rows: list[Any], columns: Any) -> pandas.DataFrame:
    out = pandas.DataFrame(rows, columns=list(columns))
    out.insert(0, 'number', batch['number'].to_numpy())
    return out


def numbered(path: str, block: int = 256) -> ray.data.Dataset:
    """Reads a list, one input a line, into columns `number` and `input`, in blocks of so many rows.

    The blocks are made here and not by a `repartition`, whose tasks would wait for a processor for
    ever if the actors have all of them."""
    with open(path, encoding='utf-8', newline='\n') as lines:
        inputs = [line.rstrip('\n') for line in lines]
    # before the data set is made, which keeps the options of that moment
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    whole = pandas.DataFrame({'number': range(len(inputs)), 'input': inputs})
    return ray.data.from_pandas([whole[first:first + block]
                                 for first in range(0, max(len(whole), 1), block)])


def run(inputs: ray.data.Dataset, worker: type, workers: int, **arguments: Any) -> ray.data.Dataset:
    """Returns the row of each input, in the order of the inputs."""
    return inputs.map_batches(
        worker, fn_constructor_kwargs=arguments, batch_format='pandas', batch_size=64,
        concurrency=workers, num_cpus=1)


def main() -> None:
    parser = argparse.ArgumentParser(description='Runs a model with Ray Data.')
    parser.add_argument('task', choices=['classify', 'translate'])
    parser.add_argument('model')
    parser.add_argument('list', help='paths or texts, one a line')
    parser.add_argument('results', help='a folder that is made')
    parser.add_argument('--workers', type=int, default=2)
    given = parser.parse_args()
    worker = Classifier if given.task == 'classify' else Translator
    run(numbered(given.list), worker, given.workers, model=given.model).write_parquet(given.results)


if __name__ == '__main__':
    main()
