"""Every method returns what its command prints with --json."""
from __future__ import annotations

import os
import pathlib
import subprocess
import wave

import megarun
import numpy as np
import pytest
from conftest import FIXTURES, LANGUAGE, MODELS, PICTURES, SPEECH, TRANSLATOR, YES, close, mega_run
from PIL import Image

LINES = ['Two dogs are playing in the snow.', '', 'A man in a red shirt sleeps.', 'Ein Café 😀.']


def samples_of(path: pathlib.Path) -> tuple[np.ndarray, int]:
    with wave.open(str(path)) as sound:
        return (np.frombuffer(sound.readframes(sound.getnframes()), '<i2').reshape(
            -1, sound.getnchannels()), sound.getframerate())


def as_command(labels: list[megarun.Label]) -> list[dict]:
    return [{'label': x.label, 'index': x.index, 'probability': x.score} for x in labels]


def test_files_of_sound(load) -> None:
    for path in sorted(YES.parent.glob('*.wav')):
        expected = mega_run('classify', '-m', SPEECH, '--top', 100, path)['top']
        assert close(as_command(load(SPEECH).classify(path)), expected, 1e-6)
        assert close(as_command(load(SPEECH).classify(str(path), top=3)), expected[:3], 1e-6)


def test_samples_are_heard_as_their_file(load) -> None:
    model, (samples, rate) = load(SPEECH), samples_of(YES)
    expected = model.classify(YES)
    assert model.rate == rate == 16000
    assert model.classify(samples) == model.classify(samples[:, 0]) == expected
    assert model.classify(samples.astype(np.float32) / 32768, rate=rate) == expected
    assert model.classify(samples.astype(np.float64) / 32768, rate=rate) == expected
    assert model.classify(samples.astype(np.int32) << 16, rate=rate) == expected
    assert model.classify(samples.astype('>i2')) == expected
    assert model.classify(samples[::-1][::-1]) == expected  # not contiguous


def test_another_rate_and_two_channels(load, tmp_path) -> None:
    rng = np.random.default_rng(1)
    sound = (8000 * np.sin(np.arange(40000) * 0.05)[:, None] * [1, 0.3]
             + rng.integers(-900, 900, (40000, 2))).astype('<i2')
    with wave.open(str(tmp_path / 'other.wav'), 'wb') as file:
        file.setparams((2, 2, 44100, 0, 'NONE', ''))
        file.writeframes(sound.tobytes())
    expected = mega_run('classify', '-m', SPEECH, '--top', 100, tmp_path / 'other.wav')['top']
    assert close(as_command(load(SPEECH).classify(sound, rate=44100)), expected, 1e-6)


def test_windows_of_a_recording(load, tmp_path) -> None:
    samples = np.concatenate([samples_of(YES)[0]] * 3)
    with wave.open(str(tmp_path / 'long.wav'), 'wb') as file:
        file.setparams((1, 2, 16000, 0, 'NONE', ''))
        file.writeframes(samples.tobytes())
    expected = mega_run('classify', '-m', SPEECH, '--window', 1, '--hop', 0.5,
                        tmp_path / 'long.wav')
    for given in (tmp_path / 'long.wav', samples):
        heard = list(load(SPEECH).windows(given, 1, 0.5, top=1))
        assert len(heard) == len(expected) > 2
        for window, line in zip(heard, expected):
            assert (window.start, window.end) == (line['start'], line['end'])
            assert window.labels[0].label == line['label']
            assert window.labels[0].score == pytest.approx(line['probability'], abs=1e-7)
    with pytest.warns(megarun.MegaWarning, match='only its beginning was classified'):
        load(SPEECH).classify(samples)


def test_pictures(load) -> None:
    model = load(PICTURES)
    for path in sorted((MODELS / 'cifar10').glob('*.png')):
        expected = mega_run('classify', '-m', PICTURES, '--top', 100, path)['top']
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert('RGB'))
            for given in (path, str(path), picture, pixels, pixels[::-1][::-1]):
                assert close(as_command(model.classify(given)), expected, 1e-6)


@pytest.mark.parametrize('mode', ['L', 'RGB', 'RGBA', 'LA', 'P', '1', 'I;16'])
def test_pictures_of_other_kinds(load, tmp_path, mode) -> None:
    """An image of Pillow gives the results of the file that it was saved to."""
    rng = np.random.default_rng(2)
    picture = Image.fromarray(rng.integers(0, 256, (40, 48, 4), np.uint8), 'RGBA')
    if mode == 'I;16':
        picture = Image.fromarray(rng.integers(0, 65536, (40, 48)).astype(np.uint16))
    elif mode != 'RGBA':
        picture = picture.convert('RGB').convert(mode) if mode in '1P' else picture.convert(mode)
    picture.save(tmp_path / 'it.png')
    for given in (picture, Image.open(tmp_path / 'it.png')):
        found = load(PICTURES).classify(given)
        expected = load(PICTURES).classify(tmp_path / 'it.png')
        assert close(sorted(found, key=lambda label: label.index),
                     sorted(expected, key=lambda label: label.index), 1e-6)


def test_orientation(load, tmp_path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    Image.open(MODELS / 'cifar10/ship.png').convert('RGB').save(tmp_path / 'turned.png', exif=exif)
    assert load(PICTURES).classify(Image.open(tmp_path / 'turned.png')) == \
        load(PICTURES).classify(tmp_path / 'turned.png')


def test_translations(load, tmp_path) -> None:
    model = load(TRANSLATOR)
    (tmp_path / 'lines').write_text('\n'.join(LINES) + '\n')
    expected = mega_run('translate', '-m', TRANSLATOR, '--nbest', 5, '--alignments',
                        tmp_path / 'lines')
    best = [line['hypotheses'][0]['text'] if line['hypotheses'] else '' for line in expected]
    assert model.translate(LINES) == best
    assert [model.translate(line) for line in LINES] == best
    assert model.translate([]) == []
    for line, text in zip(expected, LINES):
        found = model.hypotheses(text, attention=True)
        assert [x.text for x in found] == [x['text'] for x in line['hypotheses']]
        for one, other in zip(found, line['hypotheses']):
            assert one.tokens.tolist() == other['ids']
            assert one.score == pytest.approx(other['score'], abs=1e-6)
            assert one.token_scores.tolist() == pytest.approx(other['token_scores'], abs=1e-6)
            assert one.attention.argmax(1).tolist() == other['alignment']
    greedy = mega_run('translate', '-m', TRANSLATOR, '--beam', 1, '--text', LINES[0])
    assert model.translate(LINES[0], beam=1) == greedy['hypotheses'][0]['text']


def test_generated_texts(load) -> None:
    model = load(LANGUAGE)
    for flags, options in (
            (['--greedy'], {'greedy': True}),
            (['--seed', 3, '--temperature', 0.7], {'seed': 3, 'temperature': 0.7}),
            (['--seed', 4, '--top-k', 5, '--stop', 'e'], {'seed': 4, 'top_k': 5, 'stop': 'e'}),
            (['--seed', 5, '--top-p', 0.5, '--stop', 'xq', '--stop', 't'],
             {'seed': 5, 'top_p': 0.5, 'stop': ['xq', 't']})):
        expected = mega_run('generate', '-m', LANGUAGE, '-n', 40, *flags, '--text', 'ROMEO:')
        made = model.generations('ROMEO:', max_tokens=40, **options)[0]
        assert (made.text, made.finish) == (expected['text'], expected['finish'])
        assert made.tokens.tolist() == expected['ids']
        assert model.generate('ROMEO:', max_tokens=40, **options) == expected['text']
        pieces = list(model.generate('ROMEO:', stream=True, max_tokens=40, **options))
        assert ''.join(pieces) == expected['text'] and len(pieces) > 1
    several = mega_run('generate', '-m', LANGUAGE, '-n', 9, '--seed', 7, '--n', 3, '--text', 'To')
    assert [x.text for x in model.generations('To', 3, max_tokens=9, seed=7)] == \
        [x['text'] for x in several]


def test_a_stream_that_is_left(load) -> None:
    model = load(LANGUAGE)
    stream = model.generate('ROMEO:', stream=True, max_tokens=100000000, ignore_eos=True)
    assert next(stream)
    stream.close()  # ends the work, or this test would
    assert model.generate('A', max_tokens=3, greedy=True)
    with pytest.raises(megarun.ArgumentError, match='cannot'):
        list(load(SPEECH).generate('x', stream=True))


def test_scores(load) -> None:
    for text in ('To be, or not to be', 'x', 'é'):
        expected = mega_run('score', '-m', LANGUAGE, '--per-token', '--text', text)
        found = load(LANGUAGE).score(text)
        assert found.logprob == pytest.approx(expected['logprob'], abs=1e-4)
        assert found.perplexity == pytest.approx(expected['perplexity'], rel=1e-5)
        assert found.bits_per_character == pytest.approx(expected['bits_per_character'], rel=1e-5)
        assert found.tokens.tolist() == [x['id'] for x in expected['token_scores']]
    pair = mega_run('score', '-m', TRANSLATOR, '--text', 'A dog.\tEin Hund.')
    assert load(TRANSLATOR).score('A dog.', 'Ein Hund.').logprob == \
        pytest.approx(pair['logprob'], abs=1e-4)


@pytest.mark.parametrize('which', [LANGUAGE, TRANSLATOR, 'hf_tag', 'hf_classify_types', 'hf_lm'])
def test_tokens(load, converted, which) -> None:
    path = converted(which) if isinstance(which, str) else which
    for text in ('A dog runs.', 'naïve 😀 café'):
        found = load(which).tokenizer(text)
        if found['offset_mapping'] is not None:
            found['offset_mapping'] = [list(place) for place in found['offset_mapping']]
        assert found == mega_run('tokenize', '-m', path, '--text', text)
    if which == 'hf_classify_types':
        pair = load(which).tokenizer('A dog', 'runs.')
        expected = mega_run('tokenize', '-m', path, '--text', 'A dog', '--pair', 'runs.')
        assert pair['input_ids'] == expected['input_ids']
        assert pair['token_type_ids'] == expected['token_type_ids']
    tokenizer = load(which).tokenizer
    ids = tokenizer.encode('A dog runs.', 'output')
    assert ids.dtype == np.int32 and 'dog' in tokenizer.decode(ids)
    assert tokenizer.symbol(int(ids[1])) and tokenizer.symbol(10**8) is None


def test_vectors(load, converted) -> None:
    text = 'the sweet music of the night'
    for which in ('hf_tag', 'hf_lm'):
        expected = mega_run('embed', '-m', converted(which), '--text', text)
        assert load(which).embed(text).tolist() == pytest.approx(expected, abs=1e-6)
    path = converted('hf_model')
    assert load('hf_model').embed(text).tolist() == \
        pytest.approx(mega_run('embed', '-m', path, '--pooled', '--text', text), abs=1e-6)
    states = mega_run('embed', '-m', path, '--text', text)[0]
    assert np.allclose(load('hf_model').states(text), states, atol=1e-6)
    assert load(SPEECH).embed(YES).shape == load(SPEECH).embed(YES, mean=True).shape


def stage_of(model: pathlib.Path, out: pathlib.Path, stage: str, *inputs) -> np.ndarray:
    subprocess.run([os.environ['MEGA_BUILD'] + '/mega-run', 'forward', '-m', model, *inputs,
                    '--stage', stage, '-o', out], check=True)
    return np.load(out)


@pytest.mark.parametrize('which, names, stages', [
    ('unit_statedict', ['in.3.tokens'], ['embed', 'layer.0', 'layer.0.ema', 'pooled', 'logits']),
    ('unit_syncbatchnorm_image', ['in.0.values'], ['layer.0', 'pooled', 'logits']),
    ('xfm_lra_aan', ['in.0.a.tokens', 'in.0.b.tokens'], ['layer.0', 'logits']),
    ('hf_fill_two_tables', ['in.0.ids'], ['embed', 'layer.1', 'logits']),
    ('hf_model', ['in.0.ids'], ['embed', 'layer.1']),
    ('hf_lm', ['in.0.ids'], ['decoder.layer.0', 'logits']),
    ('lm_adaptive_small', ['L16.input'], ['target', 'decoder.layer.0', 'logits']),
    ('mt_small_chunk16', ['in.1.src', 'in.1.prev'],
     ['encoder', 'layer.0', 'decoder.layer.0', 'logits'])])
def test_stages(load, converted, tmp_path, which, names, stages) -> None:
    files = [FIXTURES / which / f'{name}.npy' for name in names]
    if not all(file.exists() for file in files):  # a pair model names its inputs as it likes
        files = sorted((FIXTURES / which).glob('in.0.*.npy'))[:len(names)]
    arrays, target = [np.load(file) for file in files], None
    flags = [flag for file in files for flag in ('--in', file)]
    if which.startswith('mt_'):
        target, flags = arrays.pop(), ['--in', files[0], '--target', files[1]]
    given = arrays[0] if len(arrays) == 1 else tuple(arrays)
    found = load(which).forward(given, stages=stages, target=target)
    assert list(found) == stages
    for stage, array in found.items():
        only = ['--in', files[0]] if stage == 'encoder' else flags
        expected = stage_of(converted(which), tmp_path / 'out.npy', stage, *only)
        assert array.dtype == np.float32 and array.shape == expected.shape
        assert np.array_equal(array, expected)
    if 'logits' in found:
        assert np.array_equal(load(which).forward(given, target=target), found['logits'])


@pytest.mark.parametrize('which, name, stages', [
    ('unit_rotary_chunk', 'in.3.tokens', ['layer.0', 'pooled', 'logits']),
    ('s4_example_dplr', 'in.0.values', ['layer.1', 'logits'])])
def test_stages_in_pieces(load, converted, tmp_path, which, name, stages) -> None:
    file = FIXTURES / which / f'{name}.npy'
    for pieces in (7, 1000):
        found = load(which).forward(np.load(file), stages=stages, pieces=pieces)
        for stage, array in found.items():
            expected = stage_of(converted(which), tmp_path / 'out.npy', stage, '--pieces',
                                str(pieces), '--in', file)
            assert array.shape == expected.shape and np.allclose(array, expected, atol=1e-6)


def test_other_chunks(load, converted, tmp_path) -> None:
    which, file = 'lm_adaptive_small', FIXTURES / 'lm_adaptive_small/L40.input.npy'
    found = {chunk: load(which).forward(np.load(file), chunk=chunk) for chunk in (None, 0, 8)}
    for chunk, logits in found.items():
        flags = [] if chunk is None else ['--chunk', str(chunk)]
        assert np.array_equal(logits, stage_of(converted(which), tmp_path / 'out.npy', 'logits',
                                               *flags, '--in', file))
    assert not np.array_equal(found[0], found[8])


@pytest.mark.parametrize('which, options', [
    ('unit_rotary_chunk', {'chunk': 8}), ('unit_rotary_chunk', {'pieces': -1}),
    ('lm_adaptive_small', {'pieces': 8}), ('lm_adaptive_small', {'chunk': -1})])
def test_no_such_pieces(load, which, options) -> None:
    with pytest.raises(megarun.ArgumentError):
        load(which).forward(np.arange(4, 12), **options)


def test_models_of_the_hub(load, converted) -> None:
    text = 'Paris is the <mask> of France.'
    fill = mega_run('fill', '-m', converted('hf_fill_two_tables'), '--text', text)
    assert close([x._asdict() for x in load('hf_fill_two_tables').fill(text)[0]], fill, 1e-7)
    chosen = mega_run('fill', '-m', converted('hf_fill_two_tables'), '--top', 2, '--targets',
                      ' king, you', '--text', text)
    assert close([x._asdict() for x in load('hf_fill_two_tables').fill(
        text, top=2, targets=[' king', ' you'])[0]], chosen, 1e-7)
    text = 'John lives in New York.'
    tags = mega_run('tag', '-m', converted('hf_tag'), '--all', '--text', text)
    assert close([x._asdict() for x in load('hf_tag').tag(text, keep_outside=True)], tags, 1e-7)
    answers = mega_run('answer', '-m', converted('hf_answer'), '--question', 'Where?', '--top', 3,
                       '--text', text)
    assert close([x._asdict() for x in load('hf_answer').answer('Where?', text, top=3)], answers,
                 1e-7)
    choices = mega_run('choose', '-m', converted('hf_choice'), 'The king said', 'so.', 'banana')
    chosen = load('hf_choice').choose('The king said', ['so.', 'banana'])
    assert close([x._asdict() for x in chosen], choices, 1e-7)
