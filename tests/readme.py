#!/usr/bin/env python3
"""Runs every command of README.md and every example of the manual pages:
tests/readme.py [PROGRAM-FOLDER]   (by `make readme`)

Commands are the lines of indented or ```sh blocks, and texts in `backticks` that begin with a
program. Each is run as it stands, by bash, in a scratch folder of its block that holds what a reader
would bring (STAND_INS), and must exit with 0. `mega-run NAME` alone only mentions a command, which
must exist. A block after a paragraph that ends in "prints" has the output of the command that the
paragraph names last, or that ran last: these lines in this order, maybe with others between them.
In a manual page, the lines that begin with .Dl are commands.

A command that cannot be run here is listed in NOT_RUN with the reason. All others are run, so that
a new one with a file of a new name fails until STAND_INS has that file; an entry of NOT_RUN that no
document has fails, too.
"""
import io
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import wave
import zipfile

TOP = pathlib.Path(__file__).resolve().parent.parent
FIXTURES, DATA, MODELS = TOP / 'tests/fixtures', TOP / 'tests/data', TOP / 'models'
HUB_MODELS = {  # fixtures by the names that README.md gives to models of the Hugging Face hub
    'wikitext.mega': 'hf_fill_two_tables', 'nli.mega': 'hf_classify_types', 'ner.mega': 'hf_tag',
    'qa.mega': 'hf_answer', 'swag.mega': 'hf_choice', 'bare.mega': 'hf_model',
    'flu.mega': 'hf_classify_chunk'}
CLASSIFIER, TRANSLATOR = FIXTURES / 'unit_statedict', FIXTURES / 'mt_small_chunk16'
SPEECH = MODELS / 'speech-commands/yes.wav'

NOT_RUN = {
    'make test': 'runs this test',
    'make WITH_OPENBLAS=0 WITH_FFTW=0 WITH_SERVER=0 WITH_LIBDEFLATE=0':
        'would replace the build that is tested; .ci/run has one',
    'make web-test': 'runs a browser',
    'make web': 'needs clang for WebAssembly; `make web-test` runs it',
    'python3 -m http.server -d build/web': 'serves until it is stopped; `make web-test` has a server of its own',
    'make wheel': 'needs tools from PyPI; `make wheel-test` runs it',
    'python3 -m venv venv && . venv/bin/activate': '`make wheel-test` has an environment of its own',
    'pip install build/wheel/megarun-*.whl': '`make wheel-test` installs it',
    'python3 -c \'import megarun; print(megarun.load("models/cifar10/cifar10.mega")'
    '.classify("models/cifar10/ship.png")[0].label)\'':
        'needs the wheel; `make wheel-test` runs it',
    'python3 -c \'import megarun; print(megarun.pipeline("translation", '
    '"models/everyday-de-en/everyday-de-en.mega")("Ein Hund."))\'':
        'needs the wheel; `make wheel-test` runs it',
    'tools/bench/compare.py build --compile': 'needs PyTorch, and takes minutes',
    'tools/bench/paper.py build --plot systems.svg': 'needs PyTorch, and takes minutes',
    'mega-convert trained_FluAdaX_G -o flu.mega --vocab vocab.txt --tokenizer characters --upper \\\n'
    '    --special "cls=<s>,sep=<sep>,unk=<unk>,pad=<pad>,mask=<mask>" --template "cls A sep" \\\n'
    '    --labels Human,Avian,Swine,Canine,Equine': 'needs the published model',
}
# what README.md says in capitals
SERVER = re.compile(r'mega-run serve\b')  # runs while the commands after it send requests
SERVER_PORT = ':8080'
PLACEHOLDERS = {'COMMAND': 'classify', 'MODEL': 'model.mega'}
OUTPUT_FOLLOWS = re.compile(r'\bprints:?$')
TIMEOUT = 600


# ---- What a reader brings: name -> bytes, file, folder {name: ...} or function of the folder -----

def converted(fixture, *options):
    def make(path):
        checkpoint = next(f for f in fixture.iterdir() if f.suffix in ('.pt', '.pth'))
        subprocess.run(['mega-convert', '-q', '--config', fixture / 'meta.json', *options, '-o',
                        path, checkpoint], check=True)
    return make


def hub_folder(fixture):
    return {f.name: f for f in (FIXTURES / fixture).iterdir() if 'npy' not in f.suffix}


def converted_folder(fixture):
    def make(path):
        subprocess.run(['mega-convert', '-q', '-o', path, FIXTURES / fixture], check=True)
    return make


def speech_checkpoint(path):
    """Writes a classifier of real numbers whose arguments are changed from pictures to sound."""
    with zipfile.ZipFile(FIXTURES / 'unit_syncbatchnorm_image/checkpoint.pt') as old, \
            zipfile.ZipFile(path, 'w') as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry).replace(b'image', b'audio'))


def recording(seconds, rate=44100, channels=2):
    """A WAV file that repeats the shipped word, at another rate, in stereo."""
    with wave.open(str(SPEECH)) as source:
        step, frames = source.getframerate() / rate, source.readframes(source.getnframes())
    count = len(frames) // 2
    out = io.BytesIO()
    with wave.open(out, 'wb') as target:
        target.setparams((channels, 2, rate, 0, 'NONE', ''))
        at = [int(i * step) % count * 2 for i in range(int(seconds * rate))]
        target.writeframes(b''.join(frames[i:i + 2] * channels for i in at))
    return out.getvalue()


def arguments(path):
    path.write_text(json.dumps(json.loads((CLASSIFIER / 'meta.json').read_text())['args']))


# FLAC and Ogg files cannot be made by Python alone; the content decides, not the name.
STAND_INS = {
    'speech.wav': SPEECH,
    'recording.flac': recording(1),
    'meeting.ogg': recording(2.5),
    'pictures': {f.name: f for f in sorted((MODELS / 'cifar10').glob('*.png'))[:3]},
    'input.txt': b'Two dogs are playing in the snow.\nA man rides a bicycle.\n',
    'review.txt': MODELS / 'reviews-en/bad.txt',
    'play.txt': b'ROMEO:\nBut, soft! what light through yonder window breaks?\n' * 4,
    'test.tsv': b'path\tlabel\na.txt\t1\nb.txt\t0\n',
    'x.npy': CLASSIFIER / 'in.3.tokens.npy',
    'model.mega': converted(CLASSIFIER, '--dict', CLASSIFIER / 'dict.txt'),
    'checkpoint.pt': FIXTURES / 'unit_cls/checkpoint.pt',
    'listops.pt': FIXTURES / 'unit_cls/checkpoint.pt',
    'dict.txt': FIXTURES / 'unit_cls/dict.txt',
    'sc.pt': speech_checkpoint,
    'words.txt': b''.join(b'word-%d\n' % i for i in range(2)),
    'state.pt': CLASSIFIER / 'model_state.pt',
    'args.json': arguments,
    'mt.pt': TRANSLATOR / 'checkpoint.pt',
    'dict.en.txt': TRANSLATOR / 'dict.en.txt',
    'dict.de.txt': TRANSLATOR / 'dict.de.txt',
    'codes': DATA / 'bpe/codes',
    'lm.pt': FIXTURES / 'lm_adaptive_small/checkpoint.pt',
    'folder': {name: FIXTURES / 'hf_tokenizer' / name for name in ('vocab.json', 'merges.txt')},
    'yes.wav': SPEECH,
    'recordings': {f.name: f for f in sorted(SPEECH.parent.glob('*.wav'))},
    'meeting.flac': recording(2.5),
    'lm.mega': converted(FIXTURES / 'lm_adaptive_small', '--dict',
                         FIXTURES / 'lm_adaptive_small/dict.txt'),
    'book.txt': b'It was the best of times, it was the worst of times.\n',
    'tokens.npy': CLASSIFIER / 'in.3.tokens.npy',
    'mega-base-wikitext': hub_folder('hf_fill_two_tables'),
    **{name: converted_folder(fixture) for name, fixture in HUB_MODELS.items()},
    'context.txt': b'John lives in Paris, and he was tired.\n',
    'genome.txt': b'ACGTACGT<sep>ACGT\n',
    'last.ckpt': FIXTURES / 's4_diag_bilinear/checkpoint.ckpt',
    'vocab.json': FIXTURES / 's4_diag_bilinear/vocab.json',
    'program.c': TOP / 'tools/examples/pipeline.c',
}
# Files for commands with such a word: ones that the command does not name, or others than above.
ALONG = {
    'test.tsv': {'a.txt': CLASSIFIER / 'in.2.txt', 'b.txt': CLASSIFIER / 'in.3.txt'},
    '--audio-mean': {'checkpoint.pt': speech_checkpoint},
    '--source-dict': {'checkpoint.pt': TRANSLATOR / 'checkpoint.pt'},
    'lm.pt': {'dict.txt': FIXTURES / 'lm_adaptive_small/dict.txt'},
}
# Programs that the reader has: a microphone.
STUBS = {'arecord': f'#!/bin/sh\nexec cat "{SPEECH}"\n'}


def put(path, what):
    if isinstance(what, dict):
        for name, inner in what.items():
            put(path / name, inner)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if callable(what):
        what(path)
    elif isinstance(what, bytes):
        path.write_bytes(what)
    else:
        shutil.copyfile(what, path)


def bring(folder, command):
    """Puts the files that the command reads into its folder, unless a command made them there."""
    words = [word.rstrip('/').removeprefix('./').removeprefix('file=@')
             for word in shlex.split(command, comments=True)]
    outputs = {after for word, after in zip(words, words[1:]) if word in ('-o', '>', '--output')}
    outputs |= {word[1:] for word in words if word.startswith('>')}
    for name in words:
        if name in STAND_INS and name not in outputs and not (folder / name).exists():
            put(folder / name, STAND_INS[name])
    for name in words:
        for other, what in ALONG.get(name, {}).items():
            put(folder / other, what)


# ---- README.md -----------------------------------------------------------------------------------

def blocks(text):
    """Yields (paragraph before, lines of code) for blocks, and (paragraph, None) for paragraphs."""
    paragraph, code, fence = [], [], None
    before = ''
    for line in text.splitlines() + ['']:
        if fence is not None:
            if line.startswith('```'):
                yield before, code
                code, fence = [], None
            else:
                code.append(line)
            continue
        if line.startswith('    ') and not paragraph:
            code.append(line[4:])
            continue
        if not line and code:
            code.append('')
            continue
        if code:
            yield before, code
            code = []
        if line.startswith('```'):
            fence = line
        if line and fence is None:
            paragraph.append(line)
        elif paragraph:
            before, paragraph = ' '.join(paragraph), []
            yield before, None
    if code:
        yield before, code


def join_lines(lines):
    """The commands of a block; a line that ends in a backslash or a bar continues on the next."""
    whole = ''
    for line in lines:
        whole += line
        if line.endswith(('\\', '|')):
            whole += '\n'
            continue
        if whole.strip():
            yield whole
        whole = ''


def is_command(text):
    """Whether a text is a program with arguments, or a program of the source tree."""
    word = (text.split() or [''])[0]
    file = TOP / word
    return ' ' in text and (word in ('make', 'mega-run', 'mega-convert', 'cc') or file.is_file()) \
        or '/' in word and file.is_file() and os.access(file, os.X_OK)


def commands(text):
    """Yields ('run', block number, command) and ('expect', command or None, lines) in order."""
    seen, named = set(), None
    for number, (paragraph, code) in enumerate(blocks(text)):
        if code is None:
            named = None
            for span in filter(is_command, re.findall(r'`([^`]+)`', paragraph)):
                named = span
                if span not in seen:
                    yield 'run', number, span
                seen.add(span)
        elif OUTPUT_FOLLOWS.search(paragraph):
            yield 'expect', named, [line for line in code if line]
        else:
            for command in join_lines(code):
                bare = re.sub(r'\s+#.*', '', command)
                seen.add(bare)
                yield 'run', number, bare


def examples(page):
    """Yields the commands of a manual page, in the form of `commands`."""
    for number, line in enumerate(page.splitlines()):
        if line.startswith('.Dl '):
            yield 'run', f'line-{number}', line[4:].replace('\\(dq', '"').replace('\\e', '\\')


# ---- Running -------------------------------------------------------------------------------------

def environment(build, scratch):
    programs = scratch / 'bin'
    programs.mkdir()
    for name, content in STUBS.items():
        (programs / name).write_text(content)
        (programs / name).chmod(0o755)
    # A make that is run here must not inherit options, or a job server, from the make around it.
    env = {k: v for k, v in os.environ.items() if k not in ('MAKEFLAGS', 'MFLAGS', 'MAKELEVEL')}
    installed = scratch / 'installed'  # as whoever builds against the library has done
    subprocess.run(['make', '-s', 'install', f'BUILD={build}', f'PREFIX={installed}', 'DESTDIR='],
                   cwd=TOP, env=env, check=True, stdout=subprocess.DEVNULL)
    (scratch / '.curlrc').write_text('fail\nsilent\nshow-error\n')  # a refusal is a failure
    return dict(env, CURL_HOME=str(scratch), LC_ALL='C.UTF-8', MEGA_MODELS=str(MODELS), DESTDIR=str(scratch / 'root'),
                PATH=f'{build}:{programs}:' + env['PATH'],
                PKG_CONFIG_PATH=str(installed / 'lib/pkgconfig'))


def begin_server(command, folder, env):
    """Starts the server of a command at a free port; returns the process and the port."""
    process = subprocess.Popen(shlex.split(command) + ['--port', '0'], cwd=folder, env=env,
                               stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    found = re.search(r':(\d+)$', process.stderr.readline().decode().strip())
    return process, found and found.group(1)


def end_server(process):
    """Ends a server; returns its messages if it did not end well."""
    process.terminate()
    said = process.communicate(timeout=TIMEOUT)[1].decode()
    return said if process.returncode else ''


def run(command, folder, env, build):
    for word, value in PLACEHOLDERS.items():
        command = re.sub(rf'\b{word}\b', value, command)
    if re.fullmatch(r'mega-run \w+', command):
        command = command.replace('mega-run', 'mega-run help')
    if command.startswith('make'):  # in the source tree, into the build that is tested
        command, folder = f'{command} BUILD={shlex.quote(str(build))}', TOP
    else:
        bring(folder, command)
    return subprocess.run(['bash', '-o', 'pipefail', '-c', command], cwd=folder, env=env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)


def prints(output, expected):
    """Whether the output has the lines, in this order."""
    lines = iter(output.splitlines())
    return all(line in lines for line in expected)


def check(found, env, build, scratch):
    """(number of commands that ran, those of NOT_RUN that were found, sentences about failures)"""
    passed_over, failures, servers, port = set(), [], [], None
    outputs, last = {}, None
    for kind, where, what in found:
        if kind == 'expect':
            output = outputs.get(where or last, '')
            if not prints(output, what):
                failures.append('\n'.join(['promised is', *what, 'but printed was', output]))
            continue
        if what in NOT_RUN:
            passed_over.add(what)
            continue
        folder = scratch / f'block-{where}'
        folder.mkdir(parents=True, exist_ok=True)
        last, outputs[what] = what, ''
        if SERVER.match(what):
            bring(folder, what)
            process, port = begin_server(what, folder, env)
            servers.append((what, process))
            if not port:
                failures.append(f'{what}\nnames no port')
            continue
        try:
            done = run(what.replace(SERVER_PORT, f':{port}') if port else what, folder, env, build)
        except subprocess.TimeoutExpired:
            failures.append(f'{what}\nis not done after {TIMEOUT} s')
            continue
        outputs[what] = done.stdout.decode(errors='replace')
        if done.returncode:
            failures.append(f'{what}\nexit status {done.returncode}\n' +
                            done.stderr.decode(errors='replace')[-2000:])
    failures += [f'{what}\n{said}' for what, process in servers if (said := end_server(process))]
    return len(outputs), passed_over, failures


def main():
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else 'build').resolve()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        env = environment(build, scratch)
        os.environ['PATH'] = env['PATH']
        documents = {'README.md': commands((TOP / 'README.md').read_text())}
        for page in sorted((TOP / 'man').glob('*.1')):
            documents[page.name] = examples(page.read_text())
        unused, failed = set(NOT_RUN), False
        for name, found in documents.items():
            ran, passed_over, failures = check(found, env, build, scratch / name)
            unused -= passed_over
            failed = failed or bool(failures) or not ran
            for failure in failures:
                print(f'{name}: FAILED: {failure}')
            print(f'{name}: {ran} commands ran, {len(passed_over)} are listed as not run, '
                  f'{len(failures)} failed')
    for name in unused:
        print(f'FAILED: {name}\nis listed as not run, but no document has it')
    return 1 if failed or unused else 0


if __name__ == '__main__':
    sys.exit(main())
