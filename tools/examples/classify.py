"""The C interface from Python, with ctypes and nothing else: classify.py MODEL.mega < NUMBERS

The numbers, separated by white space, are what the model is fed: token ids, or samples or pixels
(channels x height x width), normalised.
Prints the label and probability of every class, the best first. MEGA_LIBRARY may name the library.
"""
import ctypes
import os
import sys

TOKENS = 1  # MEGA_INPUT_TOKENS


class Error(ctypes.Structure):
    _fields_ = [('code', ctypes.c_int), ('text', ctypes.c_char * 512)]


class Input(ctypes.Structure):
    _fields_ = [('kind', ctypes.c_int), ('tokens', ctypes.POINTER(ctypes.c_int32)),
                ('values', ctypes.POINTER(ctypes.c_float)), ('length', ctypes.c_size_t),
                ('channels', ctypes.c_int), ('height', ctypes.c_int), ('width', ctypes.c_int)]


lib = ctypes.CDLL(os.environ.get('MEGA_LIBRARY', 'libmega.so.0'))
pointer, error = ctypes.c_void_p, ctypes.POINTER(Error)
lib.mega_model_open.argtypes = [ctypes.POINTER(pointer), ctypes.c_char_p, error]
lib.mega_model_free.argtypes = [pointer]
lib.mega_model_free.restype = None
lib.mega_model_task.argtypes = lib.mega_model_input_kind.argtypes = [pointer]
lib.mega_model_class_count.argtypes = [pointer]
lib.mega_model_label.argtypes = [pointer, ctypes.c_int]
lib.mega_model_label.restype = ctypes.c_char_p
lib.mega_session_new.argtypes = [ctypes.POINTER(pointer), pointer, pointer, error]
lib.mega_session_free.argtypes = [pointer]
lib.mega_session_free.restype = None
lib.mega_session_classify.argtypes = [pointer, ctypes.POINTER(Input), ctypes.c_int,
                                      ctypes.POINTER(ctypes.c_float), error]
lib.mega_softmax.argtypes = [ctypes.POINTER(ctypes.c_float), ctypes.c_int,
                             ctypes.POINTER(ctypes.c_float)]
lib.mega_softmax.restype = None


class MegaError(Exception):
    """What the library says went wrong."""


def check(function, *arguments):
    err = Error()
    if function(*arguments, ctypes.byref(err)) != 0:
        raise MegaError(err.text.decode('utf-8', 'replace'))


class Classifier:
    """A model and a session; use one per thread, in a with statement."""

    def __init__(self, path):
        self.model, self.session = pointer(), pointer()
        check(lib.mega_model_open, ctypes.byref(self.model), os.fsencode(path))
        if lib.mega_model_task(self.model) != 0:
            self.close()
            raise MegaError(f'{path} is no classifier')
        check(lib.mega_session_new, ctypes.byref(self.session), self.model, None)

    def close(self):
        lib.mega_session_free(self.session)
        lib.mega_model_free(self.model)
        self.model, self.session = pointer(), pointer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def probabilities(self, numbers):
        """[(label, probability), ...], the best first."""
        classes = lib.mega_model_class_count(self.model)
        kind = lib.mega_model_input_kind(self.model)
        given = Input(kind=kind, length=len(numbers))
        if kind == TOKENS:
            given.tokens = (ctypes.c_int32 * len(numbers))(*map(int, numbers))
        else:
            # an image's shape is the model's, since none is given
            given.values = (ctypes.c_float * len(numbers))(*numbers)
        logits = (ctypes.c_float * classes)()
        check(lib.mega_session_classify, self.session, ctypes.byref(given), 1, logits)
        lib.mega_softmax(logits, classes, logits)
        labels = [lib.mega_model_label(self.model, i) for i in range(classes)]
        named = [(label.decode() if label else str(i), logits[i])
                 for i, label in enumerate(labels)]
        return sorted(named, key=lambda pair: -pair[1])


def main():
    if len(sys.argv) != 2:
        sys.exit('Usage: classify.py MODEL.mega < NUMBERS')
    try:
        with Classifier(sys.argv[1]) as classifier:
            for label, probability in classifier.probabilities(
                    [float(word) for word in sys.stdin.read().split()]):
                print(f'{label}\t{probability:.4f}')
    except MegaError as err:
        sys.exit(f'classify.py: {err}')


if __name__ == '__main__':
    main()
