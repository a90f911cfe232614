"""Measures what each engine costs and prints the table of README.md:
costs.py [ROUNDS [RECORDINGS LINES]]

`tools/cluster/test BUILD FOLDER --costs` runs this.  The runs of a round follow each other, and the
fastest of all rounds counts.  Engines are started and have loaded the model before the clock
starts; the time of a command includes loading it.
"""
from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from conftest import BEAM, MEGA_RUN, MODELS, SPEECH, TOP, TRANSLATOR, start_ray, start_spark
from inputs import make_lines, make_recordings

SHARD = TOP / 'tools/cluster/shard'
SHARDS = 8
Runs = Iterator[tuple[str, Callable[[], object]]]


def command(words: list[str], folder: pathlib.Path) -> Runs:
    """Runs of the command with one thread, and of its shards."""
    environment = dict(os.environ, MEGA_RUN=MEGA_RUN)

    def run(line: list[str]) -> Callable[[], object]:
        return lambda: subprocess.run(line, env=environment, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL, check=False)

    def shards(workers: int) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as results:
            run(['parallel', '-j', str(workers), str(SHARD), f'{{}}/{SHARDS}', results, *words,
                 ':::', *map(str, range(1, SHARDS + 1))])()

    yield 'the command, one thread', run([MEGA_RUN, *words, '-t', '1'])
    for workers in (1, 2):
        yield f'GNU parallel, {workers}', lambda: shards(workers)


def spark(job: str, path: pathlib.Path) -> Runs:
    import on_spark
    for workers in (1, 2):
        session = start_spark(workers, '256')
        frame = on_spark.numbered(session, str(path), SHARDS).cache()
        run = on_spark.classify(frame, SPEECH) if job == 'classify' else \
            on_spark.translate(frame, TRANSLATOR, BEAM)
        run.limit(8).collect()
        frame.count()
        yield f'Spark, {workers}', run.collect
        session.stop()


def ray(job: str, path: pathlib.Path) -> Runs:
    import on_ray
    for workers in (1, 2):
        engine = start_ray(workers)
        worker, arguments = (on_ray.Classifier, {'model': SPEECH}) if job == 'classify' else \
            (on_ray.Translator, {'model': TRANSLATOR, 'beam': BEAM})
        yield f'Ray, {workers}', lambda: on_ray.run(on_ray.numbered(str(path)), worker, workers,
                                                    **arguments).take_all()
        engine.shutdown()


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:]]
    rounds, recordings, lines = numbers + [3, 2000, 5000][len(numbers):]
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        inputs = {'classify': make_recordings(MODELS, folder / 'recordings', recordings),
                  'translate': make_lines(lines)}
        best: dict[tuple[str, str], float] = {}
        for job, given in inputs.items():
            path = folder / f'{job}.txt'
            path.write_text(''.join(f'{text}\n' for text in given), encoding='utf-8')
            words = ['classify', '-q', '-m', SPEECH, '--files-from', str(path)] \
                if job == 'classify' else ['translate', '-q', '-m', TRANSLATOR, '--beam', str(BEAM),
                                           str(path)]
            for _ in range(rounds):
                for runs in (command(words, folder), spark(job, path), ray(job, path)):
                    for name, run in runs:
                        begun = time.monotonic()
                        run()
                        seconds = time.monotonic() - begun
                        best[job, name] = min(seconds, best.get((job, name), seconds))
        print('| engine, workers | recordings/s | cost | lines/s | cost |')
        print('|---|---:|---:|---:|---:|')
        for name in dict.fromkeys(name for _, name in best):
            workers = int(name[-1]) if name[-1].isdigit() else 1
            cells = ''
            for job, given in inputs.items():
                plain, seconds = best[job, 'the command, one thread'], best[job, name]
                cost = 100 * (workers * seconds / plain - 1)
                cells += f' {len(given) / seconds:.0f} | {cost:+.0f} % |'
            print(f'| {name} |{cells}')


if __name__ == '__main__':
    main()
