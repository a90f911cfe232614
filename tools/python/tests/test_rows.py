"""Rows of lists of inputs: each input has one, in order, and it is the one that it has alone."""
from __future__ import annotations

import pathlib
from typing import Any

import pytest
from conftest import FIXTURES, MODELS, SPEECH, TRANSLATOR, YES, mega_run
from megarun import FileError, FormatError
from megarun.rows import classify_rows, loaded, translate_rows


def test_recordings(tmp_path: pathlib.Path) -> None:
    empty = tmp_path / 'empty.wav'
    empty.write_bytes(b'')
    inputs = [str(YES), 'nothing.wav', str(MODELS / 'speech-commands/stop.wav'), str(empty), str(YES)]
    rows = classify_rows(str(SPEECH), inputs)
    assert [row['input'] for row in rows] == inputs
    assert [row['label'] for row in rows] == ['yes', None, 'stop', None, 'yes']
    found = mega_run('classify', '-m', SPEECH, YES)
    assert abs(rows[0]['score'] - found['probability']) < 1e-6 and rows[0] == rows[4]
    for row in (rows[1], rows[3]):
        assert row['score'] is None and row['input'] in row['error']
    assert rows == [row for given in inputs for row in classify_rows(str(SPEECH), [given])]
    assert classify_rows(str(SPEECH), []) == []


def test_texts(converted: Any) -> None:
    model = str(converted('unit_statedict'))
    texts = [(FIXTURES / 'unit_statedict' / f'in.{i}.txt').read_text() for i in (2, 3)]
    found = [loaded(model).classify(text)[0] for text in texts]
    assert [(row['label'], row['score']) for row in classify_rows(model, texts)] == \
        [(best.label, best.score) for best in found]


def test_lines() -> None:
    lines = ['A dog runs.', '', 'Two women are sitting on a bench.'] * 7
    rows = translate_rows(str(TRANSLATOR), lines, beam=2)
    assert [row['output'] for row in rows] == \
        loaded(str(TRANSLATOR)).translate(lines, beam=2)
    assert all(row['error'] is None for row in rows) and rows[1]['output'] == ''
    assert rows[:3] == [row for line in lines[:3]
                        for row in translate_rows(str(TRANSLATOR), [line], beam=2)]


def test_a_line_that_fails(converted: Any) -> None:
    """If a line is too long for the model, the others of its batch have their translations."""
    model = str(converted('xfm_mt_learned_mixed'))
    lines = ['x', 'x ' * 5000, 'y']
    rows = translate_rows(model, lines, beam=1)
    assert [row['error'] is None for row in rows] == [True, False, True]
    assert rows[1]['output'] is None and rows[::2] == translate_rows(model, lines[::2], beam=1)


def test_a_model_that_cannot_be_loaded(tmp_path: pathlib.Path) -> None:
    """This is not an error of an input, so the job must end."""
    with pytest.raises(FileError):
        classify_rows(str(tmp_path / 'none.mega'), [str(YES)])
    with pytest.raises(FormatError):
        classify_rows(str(YES), [str(YES)])
    assert loaded(str(SPEECH)) is loaded(str(SPEECH))
