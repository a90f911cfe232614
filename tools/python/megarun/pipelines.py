"""`megarun.pipeline(task, path)`: calls and results are those of transformers' pipelines."""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from megarun.errors import ArgumentError
from megarun.model import Model

Result = Any  # dicts, or lists of them, as the pipeline of that name returns


def _each(one: Callable[[Any], Result], inputs: Any) -> Result:
    """Calls `one` for an input, or for each input of a list."""
    return [one(item) for item in inputs] if isinstance(inputs, list) else one(inputs)


class Pipeline:
    """A model with the interface of one of transformers' pipelines."""

    def __init__(self, task: str, model: Model, options: Mapping[str, Any]) -> None:
        self.task, self.model = task, model
        self._run = _TASKS[task]
        self._options = dict(options)

    def __call__(self, *inputs: Any, **options: Any) -> Result:
        return self._run(self.model, *inputs, **{**self._options, **options})

    def __repr__(self) -> str:
        return f'megarun.pipeline({self.task!r}, {self.model.path!r})'


def _labels(model: Model, value: Any, top_k: int | None, **how: Any) -> list[dict[str, Any]]:
    return [{'score': label.score, 'label': label.label}
            for label in model.classify(value, top=top_k, **how)]


def _audio(model: Model, inputs: Any, top_k: int | None = 5) -> Result:
    def one(value: Any) -> Result:
        if isinstance(value, Mapping):
            samples = value['raw'] if 'raw' in value else value['array']
            return _labels(model, np.asarray(samples), top_k, rate=value['sampling_rate'])
        return _labels(model, value, top_k)
    return _each(one, inputs)


def _image(model: Model, images: Any, top_k: int | None = 5) -> Result:
    return _each(lambda image: _labels(model, image, top_k), images)


def _text(model: Model, inputs: Any, top_k: Any = '', **pair: Any) -> Result:
    whole = top_k != ''  # not given: transformers then returns the best label alone

    def one(value: Any) -> Result:
        given = {**value, **pair} if isinstance(value, Mapping) else {'text': value, **pair}
        found = _labels(model, given['text'], top_k if whole else 1, pair=given.get('text_pair'))
        return found if whole else found[0]
    found = _each(one, inputs)
    return [found] if isinstance(inputs, str) and not whole else found


def _fill(model: Model, inputs: Any, top_k: int = 5, targets: Any = None) -> Result:
    chosen = [targets] if isinstance(targets, str) else list(targets or ())

    def one(text: str) -> Result:
        top = min(top_k, len(chosen)) if chosen else top_k
        masks = [[filling._asdict() for filling in mask]
                 for mask in model.fill(text, top=top, targets=chosen)]
        return masks[0] if len(masks) == 1 else masks
    found = _each(one, inputs)
    return found[0] if isinstance(inputs, list) and len(inputs) == 1 else found


def _tag(model: Model, inputs: Any, aggregation_strategy: str = 'none',
         ignore_labels: Sequence[str] = ('O',)) -> Result:
    grouped = aggregation_strategy != 'none'

    def one(text: str) -> Result:
        found = [tag._asdict() for tag in model.tag(text, group=aggregation_strategy,
                                                    keep_outside=True)
                 if tag.entity not in ignore_labels]
        for tag in found if grouped else ():
            tag['entity_group'] = tag.pop('entity')
            del tag['index']
        return found
    return _each(one, inputs)


def _answer(model: Model, inputs: Any = None, *, question: Any = None, context: Any = None,
            top_k: int = 1, max_answer_len: int = 15, max_seq_len: int = 0, doc_stride: int = 0,
            handle_impossible_answer: bool = False, align_to_words: bool = True) -> Result:
    def one(value: Mapping[str, str]) -> Result:
        found = [answer._asdict() for answer in model.answer(
            value['question'], value['context'], top=top_k, max_answer=max_answer_len,
            window=max_seq_len, stride=doc_stride, allow_none=handle_impossible_answer,
            align=align_to_words)]
        return found[0] if len(found) == 1 else found
    if inputs is None:
        many = isinstance(question, list)
        contexts = context if isinstance(context, list) else [context] * (
            len(question) if many else 1)
        pairs = zip(question if many else [question], contexts)
        inputs = [{'question': q, 'context': c} for q, c in pairs]
    elif isinstance(inputs, Mapping):
        inputs = [inputs]
    found = [one(value) for value in inputs]
    return found[0] if len(found) == 1 else found


def _generate(model: Model, inputs: Any, max_new_tokens: int = 256, do_sample: bool = False,
              temperature: float = 1, top_k: int = 50, top_p: float = 1,
              repetition_penalty: float = 1, num_return_sequences: int = 1,
              return_full_text: bool = True, seed: int = 0) -> Result:
    drawn = {'temperature': temperature, 'top_k': top_k, 'top_p': top_p, 'seed': seed}

    def one(prompt: str) -> Result:
        made = model.generations(prompt, num_return_sequences, max_tokens=max_new_tokens,
                                 greedy=not do_sample, repetition_penalty=repetition_penalty,
                                 **(drawn if do_sample else {}))
        return [{'generated_text': (prompt if return_full_text else '') + text.text}
                for text in made]
    return _each(one, inputs)


def _translate(model: Model, *inputs: Any, num_beams: int = 5, max_length: int = 200,
               length_penalty: float = 1, no_repeat_ngram_size: int = 0) -> Result:
    texts: list[str] = []
    for value in inputs:
        texts += value if isinstance(value, list) else [value]
    found = model.translate(texts, beam=num_beams, max_len_b=max_length,
                            length_penalty=length_penalty, no_repeat_ngram=no_repeat_ngram_size)
    return [{'translation_text': text} for text in found]


def _features(model: Model, inputs: Any, return_tensors: bool = False) -> Result:
    def one(text: str) -> Result:
        states = model.states(text)[np.newaxis]
        return states if return_tensors else states.tolist()
    return _each(one, inputs)


_TASKS: dict[str, Callable[..., Result]] = {
    'audio-classification': _audio, 'image-classification': _image, 'text-classification': _text,
    'sentiment-analysis': _text, 'fill-mask': _fill, 'token-classification': _tag, 'ner': _tag,
    'question-answering': _answer, 'text-generation': _generate, 'translation': _translate,
    'feature-extraction': _features}


def pipeline(task: str, model: str | os.PathLike[str] | Model, **options: Any) -> Pipeline:
    """Returns an object that is called like transformers' pipeline of that name, and returns what
    that returns.

    task     "audio-classification", "image-classification", "text-classification" (or
             "sentiment-analysis"), "fill-mask", "token-classification" (or "ner"),
             "question-answering", "text-generation", "translation" or "feature-extraction"
    model    the path of a .mega file, or a Model
    options  options of every call, such as top_k=3 or aggregation_strategy="simple"

    Results are dicts and lists of dicts:

        audio-, image-, text-classification   [{"score", "label"}]
        fill-mask             [{"score", "token", "token_str", "sequence"}], nested if there are
                              several masks
        token-classification  [{"entity", "score", "index", "word", "start", "end"}], or
                              [{"entity_group", "score", "word", "start", "end"}]
        question-answering    {"score", "start", "end", "answer"}, a list of them with top_k
        text-generation       [{"generated_text"}] with the prompt; drawn only with do_sample=True,
                              and at most max_new_tokens=256 long
        translation           [{"translation_text"}]
        feature-extraction    nested lists [1][tokens][width]

    Raises ArgumentError if there is no such task, and what loading a model and its calls raise.

        >>> hear = megarun.pipeline("audio-classification", "speech-commands.mega")
        >>> hear("yes.wav")[0]["label"]
        'yes'
    """
    if task not in _TASKS:
        raise ArgumentError(f"there is no pipeline '{task}'; there are {', '.join(_TASKS)}")
    return Pipeline(task, model if isinstance(model, Model) else Model(model), options)
