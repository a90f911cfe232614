"""On a terminal commands show progress and warnings, and escape names that would control it."""
import os
import pty
import subprocess

from common import BUILD, FIXTURES, MODELS, SANITIZED, SPEECH, expect, run, small_models


def through_terminal(stream, command, **options):
    """The output of a command to a terminal, which is its standard output or error."""
    master, slave = pty.openpty()
    shown = b''
    process = subprocess.Popen(command, **{stream: slave}, **options)
    os.close(slave)
    while True:
        try:
            got = os.read(master, 4096)
        except OSError: # the last one has closed it
            break
        if not got:
            break
        shown += got
    os.close(master)
    expect(process.wait() == 0, ' '.join(command), 'status', process.returncode, shown[-200:])
    return shown


def on_terminal(command, **environment):
    """The messages of a command to a terminal, with results elsewhere."""
    return through_terminal('stderr', command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            env={**os.environ, **environment}).decode()


def shown_on_terminal(command, **options):
    """The results of a command on a terminal."""
    return through_terminal('stdout', command, **options).replace(b'\r\n', b'\n')


def unsure_translations_are_named():
    """Only on a terminal there is a message about a translation that the model is unsure of."""
    command = ['mega-run', 'translate', '-m', 'everyday-en-de', 'kjw qjx wqjh xzz']
    for more, named in ([], True), (['-q'], False), (['--json'], False):
        read, write = os.pipe()
        shown_on_terminal(command + more, stderr=write)
        os.close(write)
        with os.fdopen(read, 'rb') as pipe:
            heard = pipe.read()
        expect((b'unsure' in heard) == named, *more, 'says', heard)
    quiet = subprocess.run(command, capture_output=True, check=True)
    expect(quiet.stderr == b'', 'into a pipe says', quiet.stderr)


def terminals_are_not_steered():
    """Control characters in labels, paths and metadata are escaped on a terminal and printed
    elsewhere; letters of all scripts stay."""
    labels = ['\x1b[31mred', 'a\u009b2Jb', 'a\u202eb', 'zur\u00fcck', '\u65e5\u672c', '\U0001f600',
              'DEL\x7f', 'bell\x07', 'c', 'd']
    with open('labels', 'w', encoding='utf-8') as out:
        out.write('\n'.join(labels) + '\n')
    folder = f'{FIXTURES}/unit_statedict'
    status, _, messages = run(['mega-convert', '-q', '-o', 'm.mega', '--config', f'{folder}/meta.json',
                               '--dict', f'{folder}/dict.txt', '--labels', 'labels',
                               f'{folder}/model_state.pt'])
    expect(status == 0, messages)
    path = 'a\x1b]0;title\x07.txt'
    with open(f'{folder}/in.2.txt', 'rb') as file, open(path, 'wb') as out:
        out.write(file.read())
    with open(b'\x9b\xe9.txt', 'wb') as out:
        out.write(open(path, 'rb').read())
    command = ['mega-run', 'classify', '-m', 'm.mega', '--top', '10', path,
               os.fsdecode(b'\x9b\xe9.txt')]
    plain = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    expect(path.encode() in plain and b'\x9b\xe9.txt' in plain, repr(plain))
    for label in labels:
        expect(label.encode() in plain, repr(label), repr(plain))
    shown = shown_on_terminal(command)
    expected = (plain.replace(b'\x9b\xe9', b'\\x9b\xe9').replace(b'\x1b', b'\\x1b')
                .replace(b'\x07', b'\\x07').replace(b'\x7f', b'\\x7f')
                .replace('\u009b'.encode(), b'\\u009b').replace('\u202e'.encode(), b'\\u202e'))
    expect(shown == expected, repr(shown), 'instead of', repr(expected))
    for command in ['mega-run', 'inspect', 'm.mega'], ['mega-run', 'inspect', '--json', 'm.mega']:
        shown = shown_on_terminal(command).decode()
        expect('zur\u00fcck' in shown, repr(shown))
        for character in '\x1b\x07\x7f\u009b\u202e':
            expect(character not in shown, repr(character), 'in', repr(shown))
    # If a text comes in pieces of bytes, characters are not torn.
    text = shown_on_terminal(['mega-run', 'generate', '-m', f'{MODELS}/shakespeare-lm/shakespeare-lm.mega',
                              '--greedy', '--max-tokens', '20', 'ROMEO:'])
    status, plain, _ = run(['mega-run', 'generate', '-m', f'{MODELS}/shakespeare-lm/shakespeare-lm.mega',
                            '--greedy', '--max-tokens', '20', 'ROMEO:'])
    expect(text.decode() == plain, repr(text), repr(plain))
    # messages, terminal or not
    _, _, messages = run(['mega-run', 'classify', '-m', 'm.mega', 'x\x1b\u009b\u202e.txt'])
    expect('x???.txt' in messages, repr(messages))
    with open('x\x1b;y.txt', 'w', encoding='utf-8') as out:
        out.write('A text.\n')
    os.rename('m.mega', 'x\x1b;y.mega')
    for path, word in (('./x\x1b;y.txt', 'translate FILE\n'), ('./x\x1b;y.mega', 'inspect FILE'),
                       ('x\x1b;y', "no command 'x?;y'")):
        _, _, messages = run(['mega-run', path])
        expect(word in messages and '\x1b' not in messages, repr(messages))


# How much work is enough for a bar: with sanitizers, a sixteenth takes as long.
SCALES = (1, 4, 16) if SANITIZED else (16, 64, 256)


def slow_commands(scale):
    """Commands that take more than the sixth of a second after which a bar appears, on a machine
    for which this scale is enough."""
    text = 'A man in a red shirt is playing with two dogs in the snow.\n'
    with open('lines.txt', 'w', encoding='utf-8') as out:
        out.write(text * 4 * scale)
    with open('pairs.tsv', 'w', encoding='utf-8') as out:
        out.write((text.strip() + '\tEin Mann.\n') * 4 * scale)
    with open('text.txt', 'w', encoding='utf-8') as out:
        out.write(text * 16 * scale)
    with open('list.tsv', 'w', encoding='utf-8') as out:
        out.write('path\tlabel\n' + f'{SPEECH}/yes.wav\tyes\n' * 20 * scale)

    def model(name):
        return ['-m', f'{MODELS}/{name}/{name}.mega']
    return [
        ['mega-run', 'translate', 'lines.txt'],
        ['mega-run', 'score', 'lines.txt'],
        ['mega-run', 'score', '--document', 'text.txt'],
        ['mega-run', 'eval', *model('speech-commands'), 'list.tsv'],
        ['mega-run', 'eval', *model('shakespeare-lm'), 'text.txt'],
        ['mega-run', 'eval', *model('everyday-en-de'), '--predictions', 'out.txt', 'pairs.tsv'],
        ['mega-run', 'bench', *model('speech-commands'), '--length', '160000', '--repeats',
         str(2 * scale)],
    ]


def expect_bar(shown, command):
    expect('/s' in shown and ':' in shown and ' left' in shown, ' '.join(command), 'shows',
           repr(shown[:300]))
    expect(shown.endswith('\r\033[K'), 'the bar stays:', repr(shown[-100:]))


def a_terminal_is_waited_for():
    """A command that reads from a terminal says so, once; from a pipe or a file it does not."""
    for command in ('translate', 'translate - -', 'score', 'score --document', 'classify -',
                    'generate --max-tokens 1 -', 'explain -o x.svg -'):
        master, slave = pty.openpty()
        process = subprocess.Popen(['mega-run', *command.split()], stdin=slave,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        os.close(slave)
        first = process.stderr.readline() # before anything is typed
        os.write(master, b'A dog.\n' + b'\4' * 8) # each ends the input for one read
        rest = process.stderr.read()
        process.wait()
        os.close(master)
        expect(first.startswith(b'mega-run: reading from the terminal'), command, first)
        expect(b'terminal' not in rest, command, rest)
    status, _, messages = run(['mega-run', 'translate'], stdin=subprocess.DEVNULL)
    expect(status == 0 and not messages, messages)


def progress_is_for_terminals():
    """translate, score, eval and bench show rate and time left on a terminal; nothing with --quiet,
    and nothing elsewhere."""
    for i in range(len(slow_commands(SCALES[0]))):
        for scale in SCALES:
            command = slow_commands(scale)[i]
            shown = on_terminal(command)
            if shown:
                break
        expect_bar(shown, command)
        expect(on_terminal([*command, '-q']) == '', ' '.join(command), '-q shows something')
        if command[1] == 'score':
            status, _, messages = run(command)
            expect(status == 0 and messages == '', 'without a terminal:', repr(messages[:300]))


def progress_of_a_conversion():
    """mega-convert shows its progress, too; its writes are made slow here."""
    preload = os.path.join(BUILD, 'faults', 'preload.so')
    if SANITIZED or not os.path.exists(preload):
        print('shell: progress_of_a_conversion: skipped: no preload.so')
        return
    fixture = os.path.join(FIXTURES, 'unit_statedict')
    command = ['mega-convert', '--force', '-o', 'new.mega', '--config', f'{fixture}/meta.json',
               '--dict', f'{fixture}/dict.txt', f'{fixture}/model_state.pt']
    slow = {'LD_PRELOAD': preload, 'FAULT_SLOW': '20'}
    expect_bar(on_terminal(command, **slow), command)
    expect(on_terminal([*command, '-q'], **slow) == '', '-q shows something')
    status, _, messages = run(command, env={**os.environ, **slow})
    expect(status == 0 and messages == '', 'without a terminal:', repr(messages[:300]))


def verbose_says_how():
    """Standard error has model, kernels, threads, time and memory, and the results are the same."""
    small_models()
    with open('line.txt', 'w', encoding='utf-8') as out:
        out.write('A dog runs.\n')
    with open('list.tsv', 'w', encoding='utf-8') as out:
        out.write(f'path\tlabel\n{SPEECH}/yes.wav\tyes\n')
    for command in (['classify', f'{SPEECH}/yes.wav'], ['translate', 'line.txt'],
                    ['score', 'line.txt'], ['generate', '--seed', '1', '--max-tokens', '5', 'A'],
                    ['eval', '-m', f'{SPEECH}/speech-commands.mega', 'list.tsv'],
                    ['forward', '-m', 'unit_statedict.mega', '--in',
                     f'{FIXTURES}/unit_statedict/in.0.tokens.npy', '-o', 'out.npy']):
        plain = run(['mega-run', *command])
        verbose = run(['mega-run', *command, '--verbose'])
        expect(plain[0] == verbose[0] == 0 and plain[2] == '', command, plain, verbose)
        expect(plain[1] == verbose[1] or command[0] == 'eval', 'other results:', verbose[1])
        for part in 'parameters, loaded in', 'kernels ', ' thread', 'a second', 'peak memory':
            expect(part in verbose[2], f"{command}: no '{part}' in", verbose[2])


CASES = [unsure_translations_are_named, terminals_are_not_steered, a_terminal_is_waited_for,
         progress_is_for_terminals, progress_of_a_conversion, verbose_says_how]
