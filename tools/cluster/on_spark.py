"""Classifies recordings or translates lines with Spark.

    spark-submit on_spark.py classify speech-commands.mega list.txt results
    spark-submit on_spark.py translate everyday-en-de.mega lines.txt results

The model must have the same path on all machines, or is sent along (`spark-submit --files`).
`results` becomes a folder of Parquet files.  Spark keeps exactly one result of each part of the
work, even if workers die.  The column `number` is the place of an input in the list.
"""
from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas
from megarun.rows import classify_rows, loaded, translate_rows
from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql.types import ArrayType, FloatType

LABELS = 'number long, input string, label string, score double, error string'
TEXTS = 'number long, input string, output string, error string'


def numbered(spark: SparkSession, path: str, partitions: int = 0) -> DataFrame:
    """Reads a list, one input a line, into columns `number` and `input`."""
    lines = spark.sparkContext.textFile(path).zipWithIndex().map(lambda pair: (pair[1], pair[0]))
    frame = spark.createDataFrame(lines, 'number long, input string')
    return frame.repartition(partitions, 'number') if partitions else frame


def by_batch(frame: DataFrame, make_rows: Callable[[list[str]], list[Any]],
             schema: str) -> DataFrame:
    """Returns the row of each input of `frame`.  Spark calls `make_rows` with some thousand inputs
    at a time, and keeps the worker, with its model, for the next partition."""
    columns = [column.split()[0] for column in schema.split(', ')]

    def run(batches: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        for batch in batches:
            rows = pandas.DataFrame(make_rows(list(batch['input'])), columns=columns)
            rows['number'] = batch['number'].to_numpy()
            yield rows

    return frame.mapInPandas(run, schema)


def classify(frame: DataFrame, model: str) -> DataFrame:
    """Classifies each input."""
    return by_batch(frame, lambda inputs: classify_rows(model, inputs), LABELS)


def translate(frame: DataFrame, model: str, beam: int = 5) -> DataFrame:
    """Translates each input."""
    return by_batch(frame, lambda inputs: translate_rows(model, inputs, beam=beam), TEXTS)


def probabilities(samples: Column, model: str, rate: int, length: int) -> Column:
    """Returns the probabilities [classes] of the classes for a column of sounds, each an array of
    samples [length], by `predict_batch_udf`.  Sounds that cannot be classified have NaNs."""
    def make() -> Callable[[np.ndarray], np.ndarray]:
        engine = loaded(model)  # loads it once in each worker

        def predict(arrays: np.ndarray) -> np.ndarray:
            out = np.full((len(arrays), len(engine.labels)), np.nan, np.float32)
            for row, array in zip(out, arrays):
                if np.isfinite(array).all():
                    for found in engine.classify(array, rate=rate):
                        row[found.index] = found.score
            return out

        return predict

    udf = predict_batch_udf(make, return_type=ArrayType(FloatType()), batch_size=64,
                            input_tensor_shapes=[[length]])
    return udf(samples)


def main() -> None:
    parser = argparse.ArgumentParser(description='Runs a model with Spark.')
    parser.add_argument('task', choices=['classify', 'translate'])
    parser.add_argument('model')
    parser.add_argument('list', help='paths or texts, one a line')
    parser.add_argument('results', help='a folder that is made')
    given = parser.parse_args()
    spark = SparkSession.builder.appName('mega').getOrCreate()
    run = classify if given.task == 'classify' else translate
    run(numbered(spark, given.list), given.model).write.parquet(given.results)


if __name__ == '__main__':
    main()
