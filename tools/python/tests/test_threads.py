"""One model for many threads and for the children of a fork."""
from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import megarun
import pytest
from conftest import LANGUAGE, SPEECH, TRANSLATOR, YES

TEXTS = ['A dog runs.', 'Two men sleep.', 'A woman in a red dress sings.', 'A child jumps.'] * 3


def translate(model: megarun.Model, text: str) -> str:
    return model.translate(text)


def test_threads_share_a_model() -> None:
    with megarun.load(TRANSLATOR, threads=1) as model, ThreadPoolExecutor(8) as pool:
        alone = [model.translate(text) for text in TEXTS]
        assert list(pool.map(model.translate, TEXTS)) == alone
        assert len(model._pool.idle) <= 8 and model._pool.busy == 0


def test_others_run_during_a_call() -> None:
    """A call lets other threads of Python run while it computes."""
    model, stop, ticks = megarun.load(LANGUAGE, threads=1), threading.Event(), [0]

    def tick() -> None:
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0.001)
    thread = threading.Thread(target=tick)
    thread.start()
    model.generate('x', max_tokens=1)
    before = ticks[0]
    model.generate('ROMEO:', max_tokens=400, ignore_eos=True)
    after = ticks[0]
    stop.set()
    thread.join()
    assert after - before > 1


def test_a_model_can_be_closed_during_a_call() -> None:
    model = megarun.load(LANGUAGE, threads=1)
    stream = model.generate('ROMEO:', stream=True, max_tokens=50, ignore_eos=True)
    first = next(stream)
    model.close()
    assert len(first + ''.join(stream)) >= 50


def test_a_program_may_end_within_a_stream() -> None:
    program = (f'import megarun; it = megarun.load({str(LANGUAGE)!r}).generate("x", stream=True, '
               'max_tokens=10**8, ignore_eos=True); next(it)')
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, check=False,
                          timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, b'', b'')


def in_child(work) -> str:
    """Forks, and returns what work gives in the child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = work()
        except BaseException as err:  # a child that is not ended here would run the tests again
            said = f'{type(err).__name__}: {err}'
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding='utf-8') as pipe:
        said = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return said


@pytest.mark.filterwarnings('ignore:This process:DeprecationWarning')
def test_a_forked_child_goes_on() -> None:
    for threads in (1, 2):
        model = megarun.load(TRANSLATOR, threads=threads)
        unused = megarun.load(SPEECH, threads=threads)
        here = model.translate(TEXTS[0])
        assert in_child(lambda: model.translate(TEXTS[0])) == here
        assert in_child(lambda: unused.classify(YES)[0].label) == 'yes'
        # a grandchild, and the parent afterwards
        assert in_child(lambda: in_child(lambda: model.translate(TEXTS[0]))) == here
        assert model.translate(TEXTS[0]) == here


@pytest.mark.filterwarnings('ignore:This process:DeprecationWarning')
def test_a_child_refuses_a_model_that_was_in_use() -> None:
    model, other = megarun.load(LANGUAGE, threads=1), megarun.load(SPEECH, threads=1)
    stream = model.generate('ROMEO:', stream=True, max_tokens=100000000, ignore_eos=True)
    next(stream)
    said = in_child(lambda: model.generate('A', max_tokens=1))
    assert said.startswith('ForkError: the model was in use when this process was forked')
    assert in_child(lambda: other.classify(YES)[0].label) == 'yes'
    again = in_child(lambda: megarun.load(LANGUAGE, threads=1).generate('A', max_tokens=3, seed=1))
    assert next(stream)
    stream.close()
    assert model.generate('A', max_tokens=3, seed=1) == again


@pytest.mark.filterwarnings('ignore:This process:DeprecationWarning')
@pytest.mark.parametrize('how', ['fork', 'spawn'])
def test_processes(how) -> None:
    model = megarun.load(TRANSLATOR, threads=1)
    here = [model.translate(text) for text in TEXTS[:4]]
    with multiprocessing.get_context(how).Pool(2) as pool:
        assert pool.starmap(translate, [(model, text) for text in TEXTS[:4]]) == here


def test_a_model_is_pickled_by_its_path() -> None:
    model = megarun.load(SPEECH, threads=1, cpu='generic', max_memory=10**9)
    again = pickle.loads(pickle.dumps(model))
    assert again.classify(YES) == model.classify(YES)
    assert again._pool.threads == 1 and again._pool.cpu == 'generic'
