"""Runs one peer on one job, in a process of its own, for compare.py.

Usage: peers.py JSON, where JSON names peer, job and threads (compare.py makes it). The process
builds the model, compares its results with the reference's, warms up and prints {"ready": ...} or
{"error": ...}; then it answers each line on standard input with the milliseconds of a run by number
of threads.
"""

import json
import os
import pathlib
import sys
import time

import numpy
import torch

import decoding
import shapes
import systems
import transformer

TOLERANCE = 1e-4  # of the largest value


def log(text):
    print(text, file=sys.stderr, flush=True)


def compare(name, found, expected):
    difference = numpy.abs(numpy.asarray(found) - expected).max() / numpy.abs(expected).max()
    if not difference <= TOLERANCE:
        raise RuntimeError(f'{name} differs from the reference by {difference:.1e}')


def expected_states(job):
    return numpy.load(pathlib.Path(job['folder']) / f'{job["shape"]}.expected.npy')


# ---- PyTorch ------------------------------------------------------------------------------------

def torch_encode(job, peer):
    shape = shapes.ENCODERS[job['shape']]
    model, _ = shapes.classifier(shape)
    if peer != 'eager':
        shapes.keep_averages(model, shape.length)
    states, x = shapes.WithStates(model), shapes.classifier_input(shape)
    compare(peer, states(x)[1][0], expected_states(job))
    run = torch.compile(model, dynamic=False) if peer == 'compiled' else model
    return lambda threads: run(x)


def torch_system(job, peer):
    """A text classifier of systems.py.

    "eager" runs as the original does. "kept" has PyTorch's own attention, and has computed in
    advance what is the same for every input; "compiled" adds torch.compile.
    """
    model, x = systems.build(job['system']), systems.make_input(job['length'])
    if peer != 'eager':
        systems.prepare(model, job['length'])
    run = torch.compile(model, dynamic=False) if peer == 'compiled' else model
    return lambda threads: run(x)


def check_decoding(small, whole):
    for difference in (small, whole):
        if not difference <= TOLERANCE:
            raise RuntimeError(f'step by step differs from the full pass by {difference:.1e}')
    log(f'step by step against the full pass: {small:.1e} (small model), {whole:.1e}')


def torch_translate(job, peer):
    compiled = peer == 'compiled'
    small, _ = shapes.translator(d=64, h=128, ffn=128, z=32, layers=2, vocabulary=100)
    model, _ = shapes.translator()
    check_decoding(decoding.check(small, 100, 12, 7, compiled),
                   decoding.check(model, shapes.VOCABULARY, 12, 7))
    if peer != 'eager':
        shapes.keep_averages(model, job['source'])
    translator = decoding.Translator(model, job['batch'], job['beam'], job['tokens'], compiled)
    sources = torch.randint(shapes.FIRST_ID, shapes.VOCABULARY, (job['batch'], job['source']))
    return lambda threads: translator.translate(sources)


def torch_generate(job, peer):
    compiled = peer == 'compiled'
    build, vocabulary, few = {
        'language': (shapes.language_model, shapes.CHARACTERS, {'vocabulary': 100}),
        'adaptive': (shapes.adaptive_language_model, shapes.WORDS, {'ends': (20, 50, 100)}),
    }[job['shape']]
    small, _ = build(d=64, h=128, ffn=128, z=32, layers=2, chunk=16, **few)
    model, _ = build()
    check_decoding(decoding.check(small, 100, 48, compiled=compiled),
                   decoding.check(model, vocabulary, 12))
    decoder = decoding.IncrementalDecoder(model.decoder, 1, 0, compiled)
    ids = torch.randint(shapes.FIRST_ID, vocabulary, (job['tokens'], 1))
    def run(threads):
        decoder.pretend_to_have_read(job['read'])
        begun = time.monotonic()
        for token in ids:
            decoder.step(token)
        return time.monotonic() - begun
    return run


def torch_job(job, peer):
    if peer == 'compiled':
        import torch._inductor.config as inductor
        inductor.freezing = True  # weights become constants, which are packed for the products
    return {'encode': torch_encode, 'translate': torch_translate,
            'generate': torch_generate, 'system': torch_system}[job['kind']](job, peer)


# ---- ONNX Runtime -------------------------------------------------------------------------------

ONNX_FORMS = {
    'blocks': shapes.KeptBlocks,
    'dft': shapes.KeptSpectrumOfTwo,
    'convolution': shapes.KeptConvolution,
}


def onnx_job(job, peer):
    """The peer names the form of the moving average: onnx-FORM."""
    import onnxruntime
    shape = shapes.ENCODERS[job['shape']]
    model, _ = shapes.classifier(shape)
    shapes.keep_averages(model, shape.length, ONNX_FORMS[peer.split('-')[1]])
    sample = shapes.classifier_input(shape)
    path = f'{job["folder"]}/{job["shape"]}-{peer}.onnx'
    torch.onnx.export(shapes.WithStates(model), (sample,), path, dynamo=True, verbose=False,
                      input_names=['x'], output_names=['logits', 'states'])
    sessions = {}
    for threads in job['threads']:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        # Threads that spin while idle would take time from the side that runs next.
        options.add_session_config_entry('session.force_spinning_stop', '1')
        sessions[threads] = onnxruntime.InferenceSession(path, options)
        compare(peer, sessions[threads].run(['states'], {'x': sample.numpy()})[0][0],
                expected_states(job))
    return lambda threads: sessions[threads].run(['logits'], {'x': sample.numpy()})


# ---- CTranslate2 --------------------------------------------------------------------------------

def ctranslate2_job(job, peer):
    """The environment, which compare.py sets, chooses the library of matrix products."""
    import ctranslate2
    folder = f'{job["folder"]}/transformer'
    if not os.path.exists(f'{folder}/model.bin'):
        transformer.write_ctranslate2(folder, transformer.BASE,
                                      transformer.weights(transformer.BASE))
    translators = {threads: ctranslate2.Translator(
        folder, 'cpu', inter_threads=1, intra_threads=threads, compute_type=job['dtype'])
        for threads in job['threads']}
    numbers = numpy.random.default_rng(2)
    length = job['source'] - 1  # </s> follows
    lines = [transformer.symbols_of(numbers.integers(
        transformer.FIRST_WORD, transformer.BASE.source_symbols, length).tolist())
        for _ in range(job['lines'])]

    def run(threads):
        results = translators[threads].translate_batch(
            lines, beam_size=job['beam'], max_batch_size=job['batch'], batch_type='examples',
            min_decoding_length=job['tokens'], max_decoding_length=job['tokens'])
        if any(len(result.hypotheses[0]) != job['tokens'] for result in results):
            raise RuntimeError(f'CTranslate2 made hypotheses of other than {job["tokens"]} tokens')
    return run


# ---- The process --------------------------------------------------------------------------------

def make(job, peer):
    if peer.startswith('onnx'):
        return onnx_job(job, peer)
    if peer.startswith('ctranslate2'):
        return ctranslate2_job(job, peer)
    return torch_job(job, peer)


def timed(run, threads):
    """Milliseconds of a run; if it returns a float, that is how many of its seconds count."""
    torch.set_num_threads(threads)
    begun = time.monotonic()
    seconds = run(threads)
    took = time.monotonic() - begun
    return 1e3 * (seconds if isinstance(seconds, float) else took)


def peak_megabytes():
    with open('/proc/self/status') as status:
        return next(int(line.split()[1]) / 1e3 for line in status if line.startswith('VmHWM'))


def main():
    job = json.loads(sys.argv[1])
    replies = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # output of libraries must not get among the replies

    def reply(answer):
        print(json.dumps(answer), file=replies, flush=True)

    try:
        with torch.inference_mode(not job['peer'].startswith('onnx')), torch.no_grad():
            run = make(job, job['peer'])
            warm = {threads: timed(run, threads) for threads in job['threads']}
            reply({'ready': True, 'ms': warm})
            for _ in sys.stdin:
                reply({'ms': {threads: timed(run, threads) for threads in job['threads']},
                       'peak_mb': peak_megabytes()})
    except Exception as error:  # compare.py notes it, and goes on without this peer
        reply({'error': f'{type(error).__name__}: {" ".join(str(error).split())[:300]}'})


if __name__ == '__main__':
    main()
