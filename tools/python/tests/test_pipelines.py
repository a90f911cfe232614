"""pipeline() returns what transformers' pipelines returned for the models of the fixtures."""
from __future__ import annotations

import megarun
import numpy as np
import pytest
from conftest import LANGUAGE, MODELS, PICTURES, SPEECH, TRANSLATOR, YES, close, results


def test_fill_mask(load) -> None:
    fill = megarun.pipeline('fill-mask', load('hf_fill_two_tables'))
    cases = results('hf_fill_two_tables')
    for case in cases:
        assert close(fill(case['text'], top_k=case['top_k']), case['result'])
    texts = [case['text'] for case in cases]
    assert close(fill(texts), [case['result'] for case in cases])
    assert close(fill(texts[:1]), cases[0]['result'])
    assert [x['token_str'] for x in fill(texts[0], targets=[' king', ' you'])] == [' you', ' king']


def test_token_classification(load) -> None:
    for case in results('hf_tag'):
        tag = megarun.pipeline('token-classification', load('hf_tag'),
                               aggregation_strategy=case['aggregation_strategy'])
        found, expected = tag(case['text']), case['result']
        assert close(tag([case['text']]), [found])
        # The library damages words that hold characters of several bytes.
        if case['aggregation_strategy'] != 'none' and not case['text'].isascii():
            for one in found + expected:
                del one['word']
        assert close(found, expected)


def test_question_answering(load) -> None:
    answer = megarun.pipeline('question-answering', load('hf_answer'))
    for case in results('hf_answer'):
        expected = case['result']
        assert close(answer(question=case['question'], context=case['context'], **case['options']),
                     expected)
        assert close(answer({'question': case['question'], 'context': case['context']},
                            **case['options']), expected)
    both = results('hf_answer')[0]
    assert close(answer(question=[both['question']] * 2, context=both['context']),
                 [both['result']] * 2)


def test_text_classification(load) -> None:
    for which in ('hf_classify_types', 'hf_classify_chunk'):
        classify = megarun.pipeline('text-classification', load(which))
        for case in results(which):
            text, best = {'text': case['text']}, case['result'][0]
            if case.get('text_pair') is not None:
                text['text_pair'] = case['text_pair']
            assert close(classify(text, top_k=None), case['result'])
            assert close(classify(text), best)
            assert close(classify([text]), [best])
            if len(text) == 1:
                assert close(classify(case['text']), [best])
                assert close(classify([case['text']], top_k=None), [case['result']])


def test_text_generation(load) -> None:
    for model, prompt in ((load('hf_lm'), 'First Citizen:'), (load(LANGUAGE), 'ROMEO:')):
        generate = megarun.pipeline('text-generation', model, max_new_tokens=12)
        made = model.generate(prompt, max_tokens=12, greedy=True)
        assert generate(prompt) == [{'generated_text': prompt + made}]
        assert generate([prompt], return_full_text=False) == [[{'generated_text': made}]]
        drawn = model.generations(prompt, 2, max_tokens=12, top_k=50)
        assert generate(prompt, do_sample=True, num_return_sequences=2) == \
            [{'generated_text': prompt + text.text} for text in drawn]


def test_translation(load) -> None:
    line = 'Two dogs are playing in the snow.'
    translate = megarun.pipeline('translation', TRANSLATOR)
    assert translate(line) == [{'translation_text': 'Zwei Hunde spielen im Schnee.'}]
    assert translate([line, 'A dog.']) == [{'translation_text': load(TRANSLATOR).translate(text)}
                                           for text in (line, 'A dog.')]


def test_sound_and_pictures(load) -> None:
    hear = megarun.pipeline('audio-classification', load(SPEECH))
    found = hear(str(YES))
    assert len(found) == 5 and found[0]['label'] == 'yes' and found[0].keys() == {'score', 'label'}
    silence = {'raw': np.zeros(8000, np.float32), 'sampling_rate': 8000}
    assert hear([str(YES), silence], top_k=1) == [found[:1], hear(silence)[:1]]
    see = megarun.pipeline('image-classification', load(PICTURES), top_k=2)
    assert [x['label'] for x in see(str(MODELS / 'cifar10/ship.png'))][0] == 'ship'


def test_feature_extraction(load) -> None:
    features = megarun.pipeline('feature-extraction', load('hf_model'))('Hi there')
    assert np.allclose(features, load('hf_model').states('Hi there')[None], atol=0)


def test_no_such_pipeline() -> None:
    with pytest.raises(megarun.ArgumentError, match="there is no pipeline 'translate'; there are"):
        megarun.pipeline('translate', TRANSLATOR)
