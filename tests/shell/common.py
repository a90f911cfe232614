"""The cases share this: the commands, a folder to run them in, and inputs."""
import os
import subprocess
import wave

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), '..', '..'))
BUILD = os.path.abspath(os.environ.get('MEGA_BUILD', os.path.join(ROOT, 'build')))
FIXTURES = os.path.join(ROOT, 'tests', 'fixtures')
MODELS = os.path.join(ROOT, 'models')
SPEECH = os.path.join(MODELS, 'speech-commands')
os.environ.update(PATH=BUILD + ':' + os.environ['PATH'], LC_ALL='C.UTF-8', MEGA_MODELS=MODELS)
RATE = 16000
PATIENCE = 300  # seconds for something that must happen, after which the test fails
LIVE = ['mega-run', 'classify', '--raw', 's16le:16000:1', '--window', '1', '--hop', '0.25',
        '--threshold', '0.55', '--ignore', '_silence_,_unknown_', '-']
SANITIZED = b'__asan_init' in open(os.path.join(BUILD, 'mega-run'), 'rb').read()


def expect(condition, *what):
    if not condition:
        raise AssertionError(' '.join(str(part) for part in what))


def run(command, megabytes=None, **options):
    """Runs a command; returns status, output and messages. It must not take more megabytes."""
    with open('stdout', 'w+b') as out, open('stderr', 'w+b') as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, **options)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        text, messages = out.read().decode(), err.read().decode()
    if megabytes and not SANITIZED:
        expect(usage.ru_maxrss * 1024 <= megabytes * 1e6, ' '.join(command), 'took',
               usage.ru_maxrss * 1024 / 1e6, 'MB, more than', megabytes)
    return process.returncode, text, messages


def refused(command, *says, **options):
    """Runs a command, which must end with 1 and a sentence that has these words in it."""
    status, _, messages = run(command, **options)
    expect(status == 1, ' '.join(command), 'status', status, messages)
    for word in says:
        expect(word in messages, f"no '{word}' in:", messages)
    return messages


def word(name):
    with wave.open(f'{SPEECH}/{name}.wav') as file:
        return file.readframes(file.getnframes())


def silence(seconds):
    return bytes(2 * int(RATE * seconds))


def small_models():
    """Makes a text classifier, a translator and a language model, each of a few kilobytes."""
    for name, file, *options in (
            ('unit_statedict', 'model_state.pt', '--dict', 'dict.txt'),
            ('mt_small_chunk16', 'checkpoint.pt', '--source-dict', 'dict.en.txt',
             '--target-dict', 'dict.de.txt'),
            ('lm_adaptive_small', 'checkpoint.pt', '--dict', 'dict.txt')):
        folder = os.path.join(FIXTURES, name)
        status, _, messages = run(['mega-convert', '-q', '-o', name + '.mega', '--config',
                                   f'{folder}/meta.json', f'{folder}/{file}',
                                   *(option if option.startswith('-') else f'{folder}/{option}'
                                     for option in options)])
        expect(status == 0, messages)
