"""Each error raises the exception of its class, with the sentence that the command prints."""
from __future__ import annotations

import os
import pathlib
import subprocess
import warnings

import megarun
import numpy as np
import pytest
from conftest import FIXTURES, LANGUAGE, PICTURES, SPEECH, TRANSLATOR, YES


def said_by_command(*arguments) -> str:
    done = subprocess.run([os.environ['MEGA_BUILD'] + '/mega-run', *map(str, arguments)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return done.stderr.strip()


def test_files(tmp_path, load) -> None:
    missing, broken = tmp_path / 'missing.mega', tmp_path / 'broken.mega'
    with pytest.raises(megarun.FileError) as raised:
        megarun.load(missing)
    assert isinstance(raised.value, OSError) and isinstance(raised.value, megarun.MegaError)
    assert str(raised.value) in said_by_command('inspect', missing)
    broken.write_bytes(SPEECH.read_bytes()[:100000])
    with pytest.raises(megarun.FormatError) as raised:
        megarun.load(broken)
    assert str(raised.value) in said_by_command('inspect', broken)
    with pytest.raises(megarun.FileError, match='cannot open .*missing.wav'):
        load(SPEECH).classify(tmp_path / 'missing.wav')
    with pytest.raises(megarun.ArgumentError, match='NUL'):
        load(SPEECH).classify('a\0b')
    with pytest.raises(megarun.LimitError):
        megarun.load(SPEECH, max_memory=1000)


def test_tasks_that_do_not_fit(load) -> None:
    for call in (lambda: load(SPEECH).translate('x'), lambda: load(TRANSLATOR).classify('x'),
                 lambda: load(LANGUAGE).fill('x'), lambda: load(SPEECH).tag('x'),
                 lambda: load('hf_tag').answer('x', 'y'), lambda: load('hf_lm').choose('x', ['y']),
                 lambda: load(SPEECH).generate('x'), lambda: load(SPEECH).score('x'),
                 lambda: load('hf_tag').states('x'), lambda: load(TRANSLATOR).generate('x')):
        with pytest.raises(megarun.ArgumentError, match='cannot'):
            call()


def test_one_of_many_texts(load) -> None:
    with pytest.raises(megarun.InputError, match='^text 2: the input has 100001 positions'):
        load(TRANSLATOR).translate(['A dog.', 'a ' * 100000])
    with pytest.raises(megarun.InputError, match='^the input has 100001 positions'):
        load(TRANSLATOR).translate('a ' * 100000)


def test_samples_that_are_no_numbers(load) -> None:
    for value in (np.nan, np.inf):
        with pytest.raises(megarun.FormatError, match='not a finite number'):
            load(SPEECH).classify(np.full(16000, value))


def test_inputs(load) -> None:
    sound, zeros = load(SPEECH), np.zeros
    for given, sentence in ((zeros((2, 3, 4), np.float32), 'is not sound'),
                            (zeros(9, np.complex64), 'is not sound'),
                            (np.array(['a']), 'is not sound')):
        with pytest.raises(megarun.ArgumentError, match=sentence):
            sound.classify(given)
    with pytest.raises(megarun.InputError):
        sound.classify(zeros(0, np.float32))
    with pytest.raises(megarun.MegaError):
        sound.classify(zeros(100, np.float32), rate=-1)
    with pytest.raises(megarun.MegaError):
        sound.classify(zeros((10, 10, 3), np.uint8).astype(np.float32)[..., 0], rate=10**9)
    with pytest.raises(megarun.MegaError):
        load(PICTURES).classify(zeros((4, 4, 7), np.uint8))
    with pytest.raises(megarun.MegaError):
        load(PICTURES).classify(YES)
    with pytest.raises(megarun.InputError, match='mask'):
        load('hf_fill_two_tables').fill('no mask')
    # A pipeline can be used again after an error.
    assert sound.classify(YES)[0].label == 'yes'


def test_arrays(load) -> None:
    model, ids = load('unit_statedict'), np.load(FIXTURES / 'unit_statedict/in.3.tokens.npy')
    for call, sentence in (
            (lambda: model.forward(ids, stages=['nowhere']), "gives no stage 'nowhere'.*layer.0"),
            (lambda: model.forward((ids, ids)), 'takes 1 input, not 2'),
            (lambda: model.forward(ids, input=1), 'there is no input 1'),
            (lambda: model.forward(ids[None, None]), 'is not an input'),
            (lambda: model.forward(ids, target=ids), 'for the decoder'),
            (lambda: model.forward(ids, types=ids[1:]), 'token types'),
            (lambda: model.forward(ids + 2**40), '32 bits'),
            (lambda: load('mt_small_chunk16').forward(np.array([5, 2])), 'without a target'),
            (lambda: load('hf_lm').forward(np.zeros(3)), 'token ids')):
        with pytest.raises(megarun.ArgumentError, match=sentence):
            call()
    with pytest.raises(megarun.InputError):
        model.forward(np.array([10**6]))
    assert model.forward(ids).shape == (len(model.labels),)


def test_options(load) -> None:
    with pytest.raises(TypeError, match="no option 'beams'; there are beam"):
        load(TRANSLATOR).translate('x', beams=3)
    with pytest.raises(TypeError, match="no option 'temp'"):
        load(LANGUAGE).generate('x', temp=3)
    with pytest.raises(megarun.ArgumentError, match='1 or more, not 0'):
        load(LANGUAGE).generations('x', 0)
    with pytest.raises(megarun.ArgumentError, match="no group '.*'; there are none, simple"):
        load('hf_tag').tag('x', group='all')
    with pytest.raises(megarun.ArgumentError, match="no side 'left'; it has 'input'"):
        load(LANGUAGE).tokenizer.encode('x', 'left')
    with pytest.raises(megarun.MegaError):
        load(TRANSLATOR).translate('x', beam=0)
    with pytest.raises(megarun.ArgumentError, match='negative'):
        megarun.load(SPEECH, threads=-1)


def test_conversion(tmp_path) -> None:
    (tmp_path / 'empty').mkdir()
    with pytest.raises(megarun.ConvertError) as raised:
        megarun.convert(tmp_path / 'empty', tmp_path / 'out.mega')
    assert 'empty' in str(raised.value) and not (tmp_path / 'out.mega').exists()
    with pytest.raises(megarun.ConvertError, match='nonsense'):
        megarun.convert(SPEECH, tmp_path / 'out.mega', nonsense=True)
    small = megarun.convert(SPEECH, tmp_path / 'small.mega', dtype='int8')
    assert isinstance(small, pathlib.Path) and small.stat().st_size < SPEECH.stat().st_size
    assert megarun.load(small).labels == megarun.load(SPEECH).labels
    case = FIXTURES / 'unit_statedict'
    named = megarun.convert(case / 'model_state.pt', tmp_path / 'named.mega',
                            dict=case / 'dict.txt', config=case / 'meta.json',
                            labels=list('abcdefghij'), force=True)
    assert megarun.load(named).labels == list('abcdefghij')


def test_closed_models(load) -> None:
    with megarun.load(SPEECH) as model:
        assert model.classify(YES)[0].label == 'yes'
    with pytest.raises(megarun.ArgumentError, match='was closed'):
        model.classify(YES)
    model.close()


def test_warnings(load) -> None:
    with pytest.warns(megarun.MegaWarning, match='does not know'):
        load(LANGUAGE).generate('中文字', max_tokens=1)


def test_warnings_belong_to_their_call(load) -> None:
    """A warning comes from the call that caused it and names the line of the program, and what a
    call that fails had to say is not left for the next one."""
    unknown = '\u2603 \u2603\u2603'
    for call in (lambda: load(TRANSLATOR).translate(unknown),
                 lambda: load(LANGUAGE).generate(unknown, max_tokens=1),
                 lambda: load(LANGUAGE).score(unknown)):
        with pytest.warns(megarun.MegaWarning, match='does not know') as told:
            call()
        assert [warning.filename for warning in told] == [__file__]
    with pytest.raises(megarun.ArgumentError):
        load(TRANSLATOR).translate(unknown, beam=0)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        load(TRANSLATOR).tokenizer.encode('A dog.')


def test_strings_with_nul(load) -> None:
    with pytest.raises(megarun.ArgumentError, match='a stop cannot hold a NUL'):
        load(LANGUAGE).generate('ROMEO:', stop='e\0x')
    with pytest.raises(megarun.ArgumentError, match='a target cannot hold a NUL'):
        load('hf_fill_two_tables').fill('a <mask>', targets=['a\0b'])


def test_numbers_that_would_become_others(load) -> None:
    tokenizer = load(TRANSLATOR).tokenizer
    for ids in (np.array([2**32 + 5]), [2**40], [-2**31 - 1]):
        with pytest.raises(megarun.ArgumentError, match='a token id does not fit into 32 bits'):
            tokenizer.decode(ids)
    with pytest.raises(megarun.ArgumentError, match='a token id is a whole number, not float64'):
        tokenizer.decode([5.7])
    with pytest.raises(megarun.ArgumentError, match='2 dimensions'):
        tokenizer.decode([[5, 6]])
    assert tokenizer.decode([]) == ''
    with pytest.raises(megarun.ArgumentError, match='a token type is a whole number'):
        load('hf_classify_types').forward([0, 5, 2], types=[0, 0.9, 1])
    with pytest.raises(megarun.ArgumentError, match='a token type does not fit'):
        load('hf_classify_types').forward([0, 5, 2], types=np.array([0, 2**32, 1]))
    with pytest.raises(megarun.ArgumentError, match='sampling rate of 0 Hz'):
        load(SPEECH).classify(np.zeros(100, np.float32), rate=0)
    with pytest.raises(megarun.ArgumentError, match='None for all classes, not -1'):
        load(SPEECH).classify(np.zeros(100, np.float32), top=-1)
    with pytest.raises(megarun.ArgumentError, match='not one text'):
        load('hf_choice').choose('a', 'bc')
    one = load('hf_fill_two_tables').fill('a <mask>', targets='the')
    assert one == load('hf_fill_two_tables').fill('a <mask>', targets=['the'])
