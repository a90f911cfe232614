"""Models, which turn sound, pictures and texts into labels, texts, scores and vectors."""
from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from megarun import streaming
from megarun.errors import ArgumentError, MegaWarning
from megarun.forward import forward
from megarun.inputs import Input, Raw, c_string, is_picture, pixels_of
from megarun.library import check, ffi, lib, text_of
from megarun.results import Answer, Choice, Filling, Floats, Generation, Hypothesis, Label, \
    Score, Tag, Window, array_of
from megarun.sessions import Pipeline, Pool, error
from megarun.tokenizer import Tokenizer

TASKS = ('classify', 'translate', 'generate', 'fill', 'tag', 'answer', 'choose', 'embed')
_FINISH = ('end', 'stop', 'length', 'stop')  # MegaFinish
_GROUPS = ('none', 'simple', 'first', 'average', 'max')  # MegaGrouping


def _text(text: Any) -> str:
    """Returns a MegaText as a string."""
    return bytes(ffi.buffer(text.data, text.size)).decode('utf-8', 'replace') if text.data else ''


class Model:
    """A model file, ready for any number of threads; `megarun.load` makes it.

    The weights are read once and shared.  Every call that runs at the same time as another one has
    working memory and worker threads of its own.  A `with` statement closes the model; otherwise it
    is freed with its last reference.

    After os.fork, and so in processes of multiprocessing, the child may go on using a model, unless
    it was in use at that moment: then its methods raise ForkError.  A pickled model is loaded again
    where it is unpickled, so its file must be there under the same path.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 0, cpu: str | None = None,
                 max_memory: int = 0) -> None:
        self._pool = Pool(os.fspath(path), threads, cpu, max_memory)
        self.path = os.fspath(path)
        self.tokenizer = Tokenizer(self._pool)
        model = self._pool.model
        #: What the model does: "classify", "translate", "generate", "fill", "tag", "answer",
        #: "choose" or "embed".
        self.task = TASKS[lib.mega_model_task(model)]
        #: The names of its classes, in order; a class without a name has its number.
        self.labels = [text_of(name) if (name := lib.mega_model_label(model, i)) else str(i)
                       for i in range(lib.mega_model_class_count(model))
                       ] if self.task in ('classify', 'tag') else []
        #: How many inputs it takes: 2 if it compares two.
        self.input_count: int = lib.mega_model_input_count(model)
        self._takes_text = lib.mega_model_input_kind(model) == lib.MEGA_INPUT_TOKENS

    def __repr__(self) -> str:
        return f'megarun.Model({self.path!r}, task={self.task!r})'

    def __reduce__(self) -> tuple[Any, ...]:
        pool = self._pool
        return Model, (os.path.abspath(self.path), pool.threads, pool.cpu, pool.max_memory)

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the model as soon as no other thread uses it.  Later calls raise ArgumentError."""
        self._pool.close()

    @property
    def rate(self) -> int:
        """The rate in Hz of the samples that the model takes, or 0 if it does not take sound."""
        with self._pool.borrow() as pipeline:
            return int(lib.mega_pipeline_rate(pipeline.handle))

    # ---- Inputs ---------------------------------------------------------------------------------

    def _set_input(self, raw: Raw, index: int, value: Input, rate: int | None,
                   pipeline: Pipeline) -> None:
        if isinstance(value, os.PathLike):
            raw.set_path(index, value)
        elif isinstance(value, str):
            (raw.set_text if self._takes_text else raw.set_path)(index, value)
        elif is_picture(value):
            raw.set_pixels(index, pixels_of(value))
        else:
            array = np.asarray(value)
            own = lib.mega_pipeline_rate(pipeline.handle)
            if array.dtype == np.uint8 and not own:
                raw.set_pixels(index, array)
            else:
                raw.set_sound(index, array, (own or 1000) if rate is None else rate)

    def _inputs(self, value: Input, pair: Input | None, rate: int | None,
                pipeline: Pipeline) -> tuple[Raw, int]:
        count = 1 if pair is None else 2
        raw = Raw(count)
        self._set_input(raw, 0, value, rate, pipeline)
        if pair is not None:
            self._set_input(raw, 1, pair, rate, pipeline)
        return raw, count

    def _labels(self, found: Any, top: int | None) -> list[Label]:
        best = ffi.unpack(found.order, found.count)[:top]
        return [Label(self.labels[i], float(found.probabilities[i]), i) for i in best]

    # ---- Labels ---------------------------------------------------------------------------------

    def classify(self, input: Input, *, pair: Input | None = None, rate: int | None = None,
                 top: int | None = None) -> list[Label]:
        """Returns the classes of an input, the most probable one first.

        input  a text, for a model that reads texts; for others the path of a recording or picture.
               A pathlib.Path always is a file.  Also sound, an array [frames] or
               [frames, channels] of int16, int32 or floats in [-1, 1]; pixels, an array
               [height, width] or [height, width, 3] of uint8; or an image of Pillow.
        pair   the second input of a model that compares two, or the second text of a pair
        rate   samples per second of an array of sound; None: the model's
        top    how many classes; None: all

        Of a recording longer than the model's clips only the first clip is classified, with a
        MegaWarning; `windows` classifies all of it.  Raises InputError if the model cannot take the
        input, FileError or FormatError if a file cannot be read, and ArgumentError if the model is
        no classifier.
        """
        found = ffi.new('MegaClassification *')
        _check_top(top)
        with self._pool.borrow() as pipeline:
            raw, count = self._inputs(input, pair, rate, pipeline)
            pipeline.call(lib.mega_pipeline_classify, raw.items, count, found)
            try:
                if found.is_cut:
                    warnings.warn(
                        f'the recording is longer than {found.end - found.start:g} s, the clip of '
                        'the model, and only its beginning was classified; windows() hears all of '
                        'it', MegaWarning, stacklevel=2)
                return self._labels(found, top)
            finally:
                lib.mega_classification_free(found)
                lib.mega_pipeline_end(pipeline.handle)  # which closes the file

    def windows(self, input: Input, window: float, hop: float = 0, *, rate: int | None = None,
                top: int | None = None) -> Iterator[Window]:
        """Classifies a recording in windows of `window` seconds, `hop` seconds apart (0: windows do
        not overlap), and gives each result as soon as it is there.

        Takes the inputs of `classify` and raises what it raises.
        """
        _check_top(top)
        with self._pool.borrow() as owner:  # the model counts as used until the end
            pipeline = Pipeline(self._pool, window, hop)
            raw, count = self._inputs(input, None, rate, owner)
            pipeline.call(lib.mega_pipeline_begin, raw.items, count)
            found = ffi.new('MegaClassification *')
            while pipeline.call(lib.mega_pipeline_next, found) == 1:
                try:
                    heard = Window(found.start, found.end, self._labels(found, top))
                finally:
                    lib.mega_classification_free(found)
                yield heard

    # ---- Translations ---------------------------------------------------------------------------

    @overload
    def translate(self, text: str, **options: Any) -> str: ...
    @overload
    def translate(self, text: Sequence[str], **options: Any) -> list[str]: ...

    def translate(self, text: str | Sequence[str], **options: Any) -> str | list[str]:
        """Translates a text, or a list of texts together; each gets the result it would get alone.
        If one of a list cannot be translated, the exception names it, "text 2: ...".

        The options are those of `hypotheses`.  Raises InputError if a text cannot be translated,
        and ArgumentError if the model is not a translator.
        """
        if isinstance(text, str):
            return self._best(self._translate([text], options)[0])
        return [self._best(found) for found in self._translate(text, options)]

    def hypotheses(self, text: str, **options: Any) -> list[Hypothesis]:
        """Returns the translations that the beam search found for a text, the best one first.

        beam             how many hypotheses the search keeps (5)
        length_penalty   the score is the sum divided by the length to this power (1)
        max_len_a, max_len_b   at most max_len_a * source length + max_len_b tokens (0 and 200)
        min_len          at least so many tokens (1)
        no_repeat_ngram  no n-gram of this length, 2 or more, appears twice (0: off)
        unk_penalty      what an unknown token costs (0)
        temperature      logits are divided by it (1)
        unnormalized     the score is the sum (False)
        attention        keep the attention [length, source length] (False)

        An empty text has no hypothesis.  Raises what `translate` raises.
        """
        return self._translate([text], options)[0]

    @staticmethod
    def _best(found: list[Hypothesis]) -> str:
        return found[0].text if found else ''

    def _translate(self, texts: Sequence[str], options: dict[str, Any]) -> list[list[Hypothesis]]:
        count = len(texts)
        search = ffi.new('MegaSearchOptions *', lib.mega_search_defaults())
        search.alignments = bool(options.pop('attention', False))
        _set_options(search, options, ('beam', 'length_penalty', 'max_len_a', 'max_len_b',
                                       'min_len', 'no_repeat_ngram', 'unk_penalty', 'temperature',
                                       'unnormalized'))
        if not count:
            return []
        raw, out = Raw(count), ffi.new('MegaTranslation[]', count)
        errors = ffi.new('MegaError[]', count)
        for i, text in enumerate(texts):
            raw.set_text(i, text)
        with self._pool.borrow() as pipeline:
            try:
                with pipeline.warned():
                    code = lib.mega_pipeline_translate(pipeline.handle, raw.items, count, search,
                                                       out, errors)
                    for i in range(count):
                        check(errors[i].code, errors[i], f'text {i + 1}: ' if count > 1 else '')
                    check(code, errors[0])
                return [[_hypothesis(out[i], rank) for rank in range(out[i].count)]
                        for i in range(count)]
            finally:
                for i in range(count):
                    lib.mega_translation_free(out + i)

    # ---- Texts ----------------------------------------------------------------------------------

    @overload
    def generate(self, prompt: str = ..., *, stream: Literal[False] = ...,
                 **options: Any) -> str: ...
    @overload
    def generate(self, prompt: str = ..., *, stream: Literal[True],
                 **options: Any) -> Iterator[str]: ...

    def generate(self, prompt: str = '', *, stream: bool = False,
                 **options: Any) -> str | Iterator[str]:
        """Continues a text and returns what was added to the prompt; without a prompt it begins a
        line.

        With stream=True it returns an iterator over pieces of the text, each of which comes as soon
        as it is made.  Closing or dropping the iterator ends the work.

        max_tokens   at most so many tokens (256)
        greedy       take the most probable token and draw nothing (False)
        temperature  logits are divided by it (1)
        top_k, top_p draw from the k most probable tokens (0: off), or from the most probable ones
                     that together have the probability top_p (1: off)
        repetition_penalty   (1: off)
        presence_penalty, frequency_penalty   taken from the logits of tokens that were drawn, once
                     and for each time (0: off)
        seed         the same seed gives the same text (0)
        ignore_eos   do not end at </s> (False)
        stop         a text, or a list of texts, before which the result ends

        Raises InputError if the prompt cannot be read, and ArgumentError if the model is no
        language model.
        """
        if stream:
            how, kept = _generate_options(dict(options, samples=1))
            return streaming.stream(self._pool, prompt, how, kept)
        return self.generations(prompt, 1, **options)[0].text

    def generations(self, prompt: str = '', samples: int = 1, **options: Any) -> list[Generation]:
        """Continues a text `samples` times side by side; sample i is drawn with seed + i.

        Options and errors are those of `generate`.
        """
        how, kept = _generate_options(dict(options, samples=samples))
        raw, out = Raw(1), ffi.new('MegaGeneration[]', max(samples, 1))
        raw.set_text(0, prompt)
        with self._pool.borrow() as pipeline:
            pipeline.call(lib.mega_pipeline_generate, raw.items, how, out)
            del kept
            try:
                return [Generation(_text(made.text), array_of(ffi, made.tokens, (made.count,),
                                                              np.int32), _FINISH[made.finish])
                        for made in out[0:samples]]
            finally:
                for i in range(samples):
                    lib.mega_generation_free(out + i)

    def score(self, text: str, target: str | None = None, *, eos: bool = False,
              tokens_per_sample: int = 0, context_window: int = 0) -> Score:
        """Returns how probable a text is for a language model, or how probable it is for a
        translator that `text` becomes `target`.

        eos                also score </s> at the end
        tokens_per_sample  read the text in pieces of so many tokens (0: in one), each of which
                           repeats context_window tokens of the one before without scoring them

        Raises InputError if a text cannot be read, and ArgumentError if the model makes no text.
        """
        if target is not None:
            text = f'{text}\t{target}'
        raw, options, out = Raw(1), ffi.new('MegaScoreOptions *'), ffi.new('MegaScore *')
        raw.set_text(0, text)
        options.eos = eos
        options.tokens_per_sample, options.context_window = tokens_per_sample, context_window
        with self._pool.borrow() as pipeline:
            pipeline.call(lib.mega_pipeline_score, raw.items, options, out)
            try:
                return Score(out.logprob, array_of(ffi, out.tokens, (out.count,), np.int32),
                             array_of(ffi, out.logprobs, (out.count,), np.float32),
                             out.characters, out.bytes)
            finally:
                lib.mega_score_free(out)

    # ---- Vectors --------------------------------------------------------------------------------

    def embed(self, input: Input, *, rate: int | None = None, mean: bool = False) -> Floats:
        """Returns the vector [width] that the model makes of an input of `classify`.

        It is what a classifier's head sees, the pooled vector of a model that only embeds, and
        otherwise, or with mean=True, the mean of the last layer's states.  Raises what `classify`
        raises.
        """
        if self.task == 'embed' and not mean:
            return self._states(input)[1]
        kind = lib.MEGA_VECTOR_MEAN if mean else lib.MEGA_VECTOR_OWN
        out = ffi.new('MegaEmbedding *')
        with self._pool.borrow() as pipeline:
            raw, _ = self._inputs(input, None, rate, pipeline)
            pipeline.call(lib.mega_pipeline_embed, raw.items, kind, out)
            try:
                return array_of(ffi, out.values, (out.width,), np.float32)
            finally:
                lib.mega_embedding_free(out)

    def states(self, text: Input) -> Floats:
        """Returns the states [tokens, width] of a text, for a model that only embeds.

        Raises ArgumentError for other models: their states are stages of `forward`.
        """
        return self._states(text)[0]

    def _states(self, text: Input) -> tuple[Floats, Floats]:
        out = ffi.new('MegaStates *')
        with self._pool.borrow() as pipeline:
            raw, _ = self._inputs(text, None, None, pipeline)
            pipeline.call(lib.mega_pipeline_states, raw.items, out)
            try:
                return (array_of(ffi, out.values, (out.rows, out.width), np.float32),
                        array_of(ffi, out.pooled, (out.width,), np.float32))
            finally:
                lib.mega_states_free(out)

    @overload
    def forward(self, array: npt.ArrayLike | tuple[npt.ArrayLike, npt.ArrayLike], *,
                stages: None = ..., target: npt.ArrayLike | None = ...,
                types: npt.ArrayLike | None = ..., input: int = ...,
                truncate: bool | None = ..., pieces: int = ...,
                chunk: int | None = ...) -> Floats: ...
    @overload
    def forward(self, array: npt.ArrayLike | tuple[npt.ArrayLike, npt.ArrayLike], *,
                stages: Sequence[str], target: npt.ArrayLike | None = ...,
                types: npt.ArrayLike | None = ..., input: int = ...,
                truncate: bool | None = ..., pieces: int = ...,
                chunk: int | None = ...) -> dict[str, Floats]: ...

    def forward(self, array: npt.ArrayLike | tuple[npt.ArrayLike, npt.ArrayLike], *,
                stages: Sequence[str] | None = None, target: npt.ArrayLike | None = None,
                types: npt.ArrayLike | None = None, input: int = 0,
                truncate: bool | None = None, pieces: int = 0,
                chunk: int | None = None) -> Floats | dict[str, Floats]:
        """Runs arrays that are prepared for the model, and returns its logits, or the stages.

        array    integers [length] are token ids, used as they are; reals are samples [length],
                 positions [length, values] or an image [channels, height, width], normalised
                 already.  A model that compares two inputs takes a tuple of two arrays.
        stages   the names of stages, such as "embed", "layer.0", "layer.0.ema", "final", "pooled",
                 "encoder", "decoder.layer.0" or "logits"; the result then is a dict of them.
                 None: the logits alone.  The stages of layers are [length, columns].
        target   of a translator: the token ids that its decoder reads, </s> first
        types    token types [length], of a model that has them
        input    of a model that compares two: the stages of which one, 0 or 1
        truncate whether a decoder truncates its moving average; None: as the original's full pass
        pieces   a classifier takes the input in pieces of so many positions, for less memory;
                 0: at once.  Its layers must have chunks, or be of S4 and not look ahead.
        chunk    another chunk of a decoder with rotary bias; 0: none, None: the model's

        Logits are [classes] of a classifier, [length, labels] of a model that labels positions,
        and [length, vocabulary] of a decoder: log-probabilities with an adaptive softmax.  Raises
        ArgumentError if the model has no such stage or takes no such arrays.
        """
        wanted = ['logits'] if stages is None else list(stages)
        arrays = array if isinstance(array, tuple) else (array,)
        with self._pool.borrow() as pipeline:
            found = forward(self._pool.model, pipeline.handle, self.task, arrays, wanted, target,
                            types, input, truncate, pieces, chunk)
        return found['logits'] if stages is None else found

    # ---- Models of the Hugging Face hub ---------------------------------------------------------

    def fill(self, text: str, *, top: int = 5,
             targets: str | Sequence[str] = ()) -> list[list[Filling]]:
        """Fills each <mask> of a text on its own: for each the `top` best tokens, or those of the
        texts `targets` (or one text) only, the best one first.

        Raises InputError if the text has no mask, and ArgumentError if the model fills none.
        """
        raw, options, out = Raw(1), ffi.new('MegaFillOptions *'), ffi.new('MegaFillings *')
        raw.set_text(0, text)
        if isinstance(targets, str):
            targets = [targets]
        kept = [c_string(target, 'a target') for target in targets]
        options.top, options.target_count = top, len(kept)
        options.targets = pointers = ffi.new('char const *[]', kept)
        with self._pool.borrow() as pipeline:
            pipeline.call(lib.mega_pipeline_fill, raw.items, options, out)
            del pointers
            try:
                found = [Filling(item.score, item.token, _text(item.text), _text(item.sequence))
                         for item in out.items[0:out.masks * out.count]]
                return [found[i * out.count:(i + 1) * out.count] for i in range(out.masks)]
            finally:
                lib.mega_fillings_free(out)

    def tag(self, text: str, *, group: str = 'none', keep_outside: bool = False) -> list[Tag]:
        """Tags the tokens of a text.

        group         "none": a tag for each token; "simple": neighbours with the same label are
                      one; "first", "average" or "max": whole words are, with the scores of their
                      first token, the mean, or those of their surest token
        keep_outside  also give the tags named "O"

        Raises InputError if the text cannot be read, and ArgumentError if the model does not tag.
        """
        if group not in _GROUPS:
            raise ArgumentError(f"there is no group '{group}'; there are {', '.join(_GROUPS)}")
        raw, options, out = Raw(1), ffi.new('MegaTagOptions *'), ffi.new('MegaTags *')
        raw.set_text(0, text)
        options.grouping, options.keep_outside = _GROUPS.index(group), keep_outside
        with self._pool.borrow() as pipeline:
            pipeline.call(lib.mega_pipeline_tag, raw.items, options, out)
            try:
                return [Tag(text_of(item.name), item.score, item.index, _text(item.word),
                            item.start, item.end) for item in out.items[0:out.count]]
            finally:
                lib.mega_tags_free(out)

    def answer(self, question: str, context: str, **options: Any) -> list[Answer]:
        """Finds the parts of a context that answer a question, the best one first.

        top         how many answers (1)
        max_answer  tokens of an answer at most (15)
        window, stride   tokens of a window and of the overlap of two (384 and 128 at most)
        allow_none  no answer, which is an empty text, may be an answer (False)
        align       an answer consists of whole words (True)

        Raises InputError if a text cannot be read or a question does not fit into the window, and
        ArgumentError if the model does not answer.
        """
        raw, out = Raw(2), ffi.new('MegaAnswers *')
        how = ffi.new('MegaAnswerOptions *', lib.mega_answer_defaults())
        _set_options(how, options, ('top', 'max_answer', 'window', 'stride', 'allow_none', 'align'))
        raw.set_text(0, question)
        raw.set_text(1, context)
        with self._pool.borrow() as pipeline:
            pipeline.call(lib.mega_pipeline_answer, raw.items, raw.items + 1, how, out)
            try:
                return [Answer(item.score, item.start, item.end, _text(item.text))
                        for item in out.items[0:out.count]]
            finally:
                lib.mega_answers_free(out)

    def choose(self, prompt: str, choices: Sequence[str]) -> list[Choice]:
        """Returns the choices with the probability that each goes with the prompt, the best first.

        Raises InputError if a text cannot be read, and ArgumentError if the model does not choose.
        """
        if isinstance(choices, str):
            raise ArgumentError('choices are a list of texts, not one text')
        raw, scores = Raw(1 + len(choices)), ffi.new('float[]', len(choices))
        for i, text in enumerate([prompt, *choices]):
            raw.set_text(i, text)
        with self._pool.borrow() as pipeline:
            pipeline.call(lib.mega_pipeline_choose, raw.items, raw.items + 1, len(choices), scores)
        found = [Choice(i, scores[i], text) for i, text in enumerate(choices)]
        return sorted(found, key=lambda choice: -choice.score)


def _check_top(top: int | None) -> None:
    if top is not None and top < 0:
        raise ArgumentError(f'top is 0 or more, or None for all classes, not {top}')


def _hypothesis(translation: Any, rank: int) -> Hypothesis:
    found = translation.hypotheses[rank]
    shape = (found.length, translation.source_length)
    text = bytes(ffi.buffer(found.text, found.text_size)) if found.text else b''
    return Hypothesis(text.decode('utf-8', 'replace'), found.score,
                      array_of(ffi, found.tokens, shape[:1], np.int32),
                      array_of(ffi, found.scores, shape[:1], np.float32),
                      array_of(ffi, found.attention, shape, np.float32) if found.attention
                      else None)


def _set_options(struct: Any, options: dict[str, Any], names: Sequence[str]) -> None:
    """Sets fields of a struct to the options of these names, and refuses others."""
    for name, value in options.items():
        if name not in names:
            raise TypeError(f"there is no option '{name}'; there are {', '.join(names)}")
        setattr(struct, name, value)


def _generate_options(options: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Makes a MegaGenerateOptions and the memory that it points to."""
    how = ffi.new('MegaGenerateOptions *', lib.mega_generate_defaults())
    stop = options.pop('stop', ())
    stops = [stop] if isinstance(stop, str) else stop
    kept = [c_string(text, 'a stop') for text in stops]
    pointers = ffi.new('char const *[]', kept)
    how.stops, how.stop_count = pointers, len(kept)
    sampling = ('greedy', 'temperature', 'top_k', 'top_p', 'repetition_penalty',
                'presence_penalty', 'frequency_penalty', 'seed')
    others = ('max_tokens', 'samples', 'ignore_eos')
    for name in options:
        if name not in sampling + others:
            raise TypeError(f"there is no option '{name}'; there are "
                            f"{', '.join(sampling + others[:1] + others[2:])} and stop")
    if options['samples'] < 1:
        raise ArgumentError(f"samples is 1 or more, not {options['samples']}")
    _set_options(how.sampling, {k: v for k, v in options.items() if k in sampling}, sampling)
    _set_options(how, {k: v for k, v in options.items() if k in others}, others)
    return how, [kept, pointers]
