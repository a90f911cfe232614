"""However the work is divided, the results are those of one process, and if a worker is killed,
nothing is lost or doubled."""
from __future__ import annotations

import functools
import os
import pathlib
import signal
import subprocess
import time
from typing import Any

import numpy as np
import pytest
from conftest import BEAM, LINES, MEGA_RUN, RECORDINGS, SPEECH, TOP, TRANSLATOR, WORKERS, Job, \
    mega_run, plain, text_of
from megarun.rows import loaded

SHARD = TOP / 'tools/cluster/shard'


# ---- One process ------------------------------------------------------------------------------


def test_recordings_are_those_of_the_command(recordings: Job) -> None:
    done = mega_run('classify', '-m', SPEECH, '--files-from', recordings.list)
    rows = [row for row in recordings.rows if row['error'] is None]
    assert done.stdout == ''.join(f"{row['input']}\t{row['label']}\t{row['score']:.4f}\n"
                                  for row in rows)
    failed = [row['error'] for row in recordings.rows if row['error']]
    assert len(recordings.rows) == RECORDINGS and len(failed) == RECORDINGS // 100
    assert done.stderr == ''.join(f'mega-run: {error}\n' for error in failed)
    assert {'yes', 'left', 'stop'} <= {row['label'] for row in rows}


def test_lines_are_those_of_the_command(lines: Job) -> None:
    done = mega_run('translate', '-q', '-m', TRANSLATOR, '--beam', BEAM, lines.list)
    assert done.returncode == 0 and len(lines.rows) == LINES
    assert done.stdout == ''.join(f"{row['output']}\n" for row in lines.rows)


# ---- Spark ------------------------------------------------------------------------------------


def test_spark_classifies(spark: Any, recordings: Job) -> None:
    import on_spark
    frame = on_spark.classify(on_spark.numbered(spark, str(recordings.list), 8), SPEECH)
    rows = plain(row.asDict() for row in frame.collect())
    assert text_of(rows) == text_of(recordings.rows)


def test_spark_translates(spark: Any, lines: Job) -> None:
    import on_spark
    frame = on_spark.translate(on_spark.numbered(spark, str(lines.list), 8), TRANSLATOR, BEAM)
    rows = plain(row.asDict() for row in frame.collect())
    assert text_of(rows) == text_of(lines.rows)


def test_spark_survives_an_executor(spark: Any, recordings: Job, tmp_path: pathlib.Path) -> None:
    """The rows are written as a table, in which a task that ran twice must not have its rows twice.
    """
    import on_spark
    import sabotage
    marker = tmp_path / 'killed'
    make_rows = functools.partial(sabotage.rows_of_a_dying_executor, str(marker), SPEECH)
    frame = on_spark.numbered(spark, str(recordings.list), 4)
    on_spark.by_batch(frame, make_rows, on_spark.LABELS).write.parquet(str(tmp_path / 'out'))
    assert marker.exists()
    rows = plain(row.asDict() for row in spark.read.parquet(str(tmp_path / 'out')).collect())
    assert text_of(rows) == text_of(recordings.rows)


def test_spark_predicts_arrays(spark: Any) -> None:
    import on_spark
    from pyspark.sql.types import ArrayType, FloatType, LongType, StructField, StructType
    sound = np.random.default_rng(3).normal(0, 0.1, (40, 16000)).astype(np.float32)
    sound[7, 5] = np.nan
    schema = StructType([StructField('number', LongType()),
                         StructField('samples', ArrayType(FloatType()))])
    frame = spark.createDataFrame([(i, row.tolist()) for i, row in enumerate(sound)], schema)
    found = frame.repartition(2).select(
        'number', on_spark.probabilities(frame['samples'], SPEECH, 16000, 16000).alias('p'))
    model = loaded(SPEECH)
    for row in found.collect():
        values = np.array(row['p'], np.float32)
        assert np.isnan(values).all() == (row['number'] == 7)
        for label in model.classify(sound[row['number']], rate=16000) if row['number'] != 7 else []:
            assert values[label.index] == np.float32(label.score)


# ---- Ray --------------------------------------------------------------------------------------


def test_ray_classifies(ray: Any, recordings: Job) -> None:
    import on_ray
    found = on_ray.run(on_ray.numbered(str(recordings.list)), on_ray.Classifier, WORKERS,
                       model=SPEECH).take_all()
    assert [row['number'] for row in found] == list(range(RECORDINGS))  # Ray keeps the order
    assert text_of(plain(found)) == text_of(recordings.rows)


def test_ray_translates(ray: Any, lines: Job) -> None:
    import on_ray
    found = on_ray.run(on_ray.numbered(str(lines.list)), on_ray.Translator, WORKERS,
                       model=TRANSLATOR, beam=BEAM).take_all()
    assert text_of(plain(found)) == text_of(lines.rows)


def test_ray_survives_an_actor(ray: Any, recordings: Job, tmp_path: pathlib.Path) -> None:
    import on_ray
    import sabotage
    marker = tmp_path / 'killed'
    found = on_ray.run(on_ray.numbered(str(recordings.list)), sabotage.DyingClassifier, WORKERS,
                       model=SPEECH, marker=str(marker)).take_all()
    assert marker.exists()
    assert text_of(plain(found)) == text_of(recordings.rows)


# ---- GNU parallel and Slurm -------------------------------------------------------------------


def joined(folder: pathlib.Path) -> str:
    """Returns what the files of a folder hold, as `cat results/*` does."""
    return ''.join(path.read_text(encoding='utf-8') for path in sorted(folder.glob('[!.]*')))


def environment(**more: str) -> dict[str, str]:
    return dict(os.environ, MEGA_RUN=MEGA_RUN, MEGA_MODELS=str(TOP / 'models'), **more)


def test_parallel(recordings: Job, tmp_path: pathlib.Path) -> None:
    """Shards whose files exist are not made again."""
    done = mega_run('classify', '--json', '-m', SPEECH, '--files-from', recordings.list)
    command = ['parallel', '-j', str(WORKERS), str(SHARD), '{}/7', 'results', 'classify', '--json',
               '-m', SPEECH, '--files-from', str(recordings.list), ':::', *map(str, range(1, 8))]
    subprocess.run(command, cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL, check=True)
    assert joined(tmp_path / 'results') == done.stdout
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'results').iterdir()}
    (tmp_path / 'results/0003-of-0007').unlink()
    subprocess.run(command, cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL, check=True)
    assert joined(tmp_path / 'results') == done.stdout
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / 'results').iterdir()}
    assert [path.name for path in after if after[path] != before[path]] == ['0003-of-0007']


def test_parallel_job_is_killed(lines: Job, tmp_path: pathlib.Path) -> None:
    """A job that is killed leaves no part of its results, and the others leave all of theirs."""
    results = tmp_path / 'results'
    job = [str(SHARD), '{}/4', str(results), 'translate', '-q', '-m', TRANSLATOR, '--beam',
           str(BEAM), str(lines.list)]
    first = [word.replace('{}', '1') for word in job]
    with subprocess.Popen(first, env=environment(), start_new_session=True) as running:
        while not any(path.stat().st_size for path in results.glob('.mega-*')):
            assert running.poll() is None, 'it was done before it could be killed'
            time.sleep(0.002)
        os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == -signal.SIGKILL and not list(results.glob('0*'))
    subprocess.run(['parallel', '-j', str(WORKERS), *job, ':::', '1', '2', '3', '4'],
                   env=environment(), check=True)
    assert joined(results) == ''.join(f"{row['output']}\n" for row in lines.rows)


@pytest.mark.parametrize('tasks', [[1, 2, 3, 4, 5], [2, 4]])
def test_slurm_array(recordings: Job, tmp_path: pathlib.Path, tasks: list[int]) -> None:
    """The command of sbatch --array runs in the environment that Slurm makes.  An array of some
    tasks only, whose number Slurm counts anew, still makes the shards of five."""
    script = (f"'{SHARD}' $SLURM_ARRAY_TASK_ID/5 results classify --json -m '{SPEECH}' "
              f"--files-from '{recordings.list}'")
    whole = [mega_run('classify', '--json', '-m', SPEECH, '--files-from', recordings.list,
                      '--shard', f'{i}/5').stdout for i in tasks]
    for task in reversed(tasks):
        subprocess.run(['sh', '-c', script], cwd=tmp_path, check=True, stderr=subprocess.DEVNULL,
                       env=environment(SLURM_ARRAY_TASK_ID=str(task), SLURM_CPUS_PER_TASK='2',
                                       SLURM_ARRAY_TASK_COUNT=str(len(tasks))))
    assert joined(tmp_path / 'results') == ''.join(whole)
    assert sorted(path.name for path in (tmp_path / 'results').iterdir()) == \
        [f'{task:04d}-of-0005' for task in tasks]
