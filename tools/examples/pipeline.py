"""The C interface from Python, with ctypes and nothing else.

    pipeline.py speech.mega yes.wav translator.mega 'Two dogs are playing in the snow.'

Prints the label and probability of every class, the most probable one first, or the translation.
A .wav file of 16 bits is read by Python itself, so that libmega is enough: it takes samples of any
rate and number of channels. MEGA_LIBRARY may name the library.
"""
import ctypes
import os
import sys
import wave
from ctypes import POINTER, Structure, byref, c_bool, c_char, c_char_p, c_double, c_float, \
    c_int, c_int32, c_size_t, c_void_p

RAW_TEXT, RAW_PCM = 0, 1  # MegaRawKind
PCM_S16LE = 1             # MegaPcmFormat
TRANSLATE = 1             # MegaTask


class Error(Structure):
    _fields_ = [('code', c_int), ('text', c_char * 512)]


class Raw(Structure):
    _fields_ = [('kind', c_int), ('data', c_char_p), ('size', c_size_t), ('format', c_int),
                ('rate', c_int), ('channels', c_int), ('width', c_int), ('height', c_int),
                ('image_channels', c_int), ('name', c_char_p)]


class Classification(Structure):
    _fields_ = [('probabilities', POINTER(c_float)), ('order', POINTER(c_int)), ('count', c_int),
                ('start', c_double), ('end', c_double), ('is_cut', c_bool), ('is_scanned', c_bool),
                ('reading', c_double), ('running', c_double)]


class Hypothesis(Structure):
    _fields_ = [('tokens', POINTER(c_int32)), ('scores', POINTER(c_float)),
                ('attention', POINTER(c_float)), ('length', c_size_t), ('score', c_double),
                ('text', c_char_p), ('text_size', c_size_t)]


class Translation(Structure):
    _fields_ = [('hypotheses', POINTER(Hypothesis)), ('count', c_int),
                ('source_length', c_size_t), ('source', POINTER(c_int32))]


lib = ctypes.CDLL(os.environ.get('MEGA_LIBRARY', 'libmega.so.0'))
lib.mega_model_label.restype = c_char_p
for function, arguments in {
        'mega_model_open': [POINTER(c_void_p), c_char_p, POINTER(Error)],
        'mega_model_free': [c_void_p], 'mega_model_task': [c_void_p],
        'mega_model_label': [c_void_p, c_int],
        'mega_pipeline_new': [POINTER(c_void_p), c_void_p, c_void_p, POINTER(Error)],
        'mega_pipeline_free': [c_void_p],
        'mega_pipeline_classify': [c_void_p, POINTER(Raw), c_int, POINTER(Classification),
                                   POINTER(Error)],
        'mega_classification_free': [POINTER(Classification)],
        'mega_pipeline_translate': [c_void_p, POINTER(Raw), c_int, c_void_p, POINTER(Translation),
                                    POINTER(Error)],
        'mega_translation_free': [POINTER(Translation)]}.items():
    getattr(lib, function).argtypes = arguments


class MegaError(Exception):
    """What the library says went wrong."""


def check(function, *arguments):
    err = Error()
    if function(*arguments, byref(err)) != 0:
        raise MegaError(err.text.decode('utf-8', 'replace'))


class Pipeline:
    """A model and a pipeline of it; use one per thread, in a with statement."""

    def __init__(self, path):
        self.model, self.pipeline = c_void_p(), c_void_p()
        check(lib.mega_model_open, byref(self.model), os.fsencode(path))
        try:
            check(lib.mega_pipeline_new, byref(self.pipeline), self.model, None)
        except MegaError:
            self.close()
            raise

    def close(self):
        lib.mega_pipeline_free(self.pipeline)
        lib.mega_model_free(self.model)
        self.model, self.pipeline = c_void_p(), c_void_p()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def translates(self):
        return lib.mega_model_task(self.model) == TRANSLATE

    def classify(self, samples, rate, channels):
        """[(label, probability), ...], the most probable first; samples are bytes of 16-bit PCM."""
        raw = Raw(kind=RAW_PCM, data=samples, size=len(samples), format=PCM_S16LE, rate=rate,
                  channels=channels)
        found = Classification()
        check(lib.mega_pipeline_classify, self.pipeline, byref(raw), 1, byref(found))
        try:
            best = found.order[:found.count]
            labels = [lib.mega_model_label(self.model, index) for index in best]
            return [(label.decode() if label else '?', found.probabilities[index])
                    for label, index in zip(labels, best)]
        finally:
            lib.mega_classification_free(byref(found))

    def translate(self, text):
        data = text.encode()
        found = Translation()
        check(lib.mega_pipeline_translate, self.pipeline,
              byref(Raw(kind=RAW_TEXT, data=data, size=len(data))), 1, None, byref(found))
        try:
            return found.hypotheses[0].text.decode() if found.count else ''
        finally:
            lib.mega_translation_free(byref(found))


def main():
    if len(sys.argv) < 3 or len(sys.argv) % 2 == 0:
        sys.exit('Usage: pipeline.py MODEL INPUT ...')
    try:
        for path, given in zip(sys.argv[1::2], sys.argv[2::2]):
            with Pipeline(path) as pipeline:
                if pipeline.translates():
                    print(pipeline.translate(given))
                    continue
                with wave.open(given) as sound:
                    samples = sound.readframes(sound.getnframes())
                    found = pipeline.classify(samples, sound.getframerate(), sound.getnchannels())
                for label, probability in found:
                    print(f'{label}\t{probability:.4f}')
    except MegaError as err:
        sys.exit(f'pipeline.py: {err}')


if __name__ == '__main__':
    main()
