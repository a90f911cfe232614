"""A process gets descriptors and processors from its parent, in any number."""
import os

from common import FIXTURES, MODELS, PATIENCE, SPEECH, expect, run, small_models


def with_closed(closed, command, source=None):
    """Runs a command with some descriptors of 0 to 2 closed; returns status, output, messages."""
    closing = ''.join(f' {fd}{"<" if fd == 0 else ">"}&-' for fd in closed)
    with open(source or os.devnull, 'rb') as given:
        return run(['sh', '-c', f'exec "$@"{closing}', 'sh', 'timeout', str(PATIENCE), *command],
                   stdin=given)


def closed_descriptors():
    """An opened file never becomes standard input, output or error: a command that reads or prints
    says that it cannot, others work, and written files are as ever."""
    small_models()
    text = 'A dog runs.'
    with open('line.txt', 'w', encoding='utf-8') as out:
        out.write(text + '\n')
    with open('list.txt', 'w', encoding='utf-8') as out:
        out.write(f'{SPEECH}/yes.wav\n')
    lm = f'{MODELS}/shakespeare-lm/shakespeare-lm.mega'
    fixture = os.path.join(FIXTURES, 'unit_statedict')
    convert = ['mega-convert', '-q', '-o', 'new.mega', '--force', '--config',
               f'{fixture}/meta.json', '--dict', f'{fixture}/dict.txt',
               f'{fixture}/model_state.pt']
    classify = ['mega-run', 'classify', f'{SPEECH}/yes.wav']
    reading = ((['mega-run', 'translate'], 'line.txt'), (['mega-run', 'score', '-'], 'line.txt'),
               (['mega-run', 'generate', '--seed', '1', '--max-tokens', '3', '-'], 'line.txt'),
               (['mega-run', 'eval', '-m', lm, '-'], 'line.txt'),
               (['mega-run', 'classify', '-'], f'{SPEECH}/yes.wav'),
               (['mega-run', 'classify', '--files-from', '-'], 'list.txt'))
    expected = run(classify)[1]
    run(convert)
    with open('new.mega', 'rb') as file:
        model = file.read()
    for bits in range(8):
        closed = [fd for fd in range(3) if bits >> fd & 1]
        status, text, _ = with_closed(closed, classify)
        expect(status == (1 if 1 in closed else 0), 'classify with', closed, 'closed: status', status)
        expect(1 in closed or text == expected, 'another output:', text)
        status, _, messages = with_closed(closed, convert)
        expect(status == 0 and messages == '', 'convert with', closed, 'closed:', status, messages)
        with open('new.mega', 'rb') as file:
            expect(file.read() == model, 'another model with', closed, 'closed')
        status, _, messages = with_closed(closed, ['mega-run', 'plot', 'new.mega', '-o', 'p.svg'])
        expect(status == (1 if 1 in closed else 0) or status == 0, 'plot:', status, messages)
        with open('p.svg', 'rb') as file:
            expect(file.read().rstrip().endswith(b'</svg>'), 'half a picture')
        for command, source in reading:
            status, text, messages = with_closed(closed, command, source)
            what = f'{" ".join(command)} with {closed} closed: status {status}: {messages}'
            expect(status == (1 if bits & 3 else 0), what)
            expect(2 not in closed or messages == '', what)
            expect(bits != 1 or 'standard input' in messages, what)
            expect(bits & 3 or text != '', what)


def group_of_processors(quota):
    """A control group with this quota of processors, as the file to join it by; None where that
    cannot be made."""
    for folder, name, text in (
            ('/sys/fs/cgroup/cpu', 'cpu.cfs_quota_us', str(int(quota * 100000))),
            ('/sys/fs/cgroup', 'cpu.max', f'{int(quota * 100000)} 100000')):
        group = os.path.join(folder, f'mega-test-{os.getpid()}')
        try:
            os.mkdir(group)
        except OSError:
            continue
        try:
            with open(os.path.join(group, name), 'w', encoding='ascii') as out:
                out.write(text)
            return group
        except OSError:
            os.rmdir(group)
    return None


def quotas_of_processors():
    """There are as many threads as the quota of the control group allows, also in nested groups."""
    command = ['mega-run', 'classify', '-v', f'{SPEECH}/yes.wav']
    processors = len(os.sched_getaffinity(0))
    for quota in 0.5, 1, 1.5, 2:
        group = group_of_processors(quota)
        if not group:
            print('shell: quotas_of_processors: skipped: no control group can be made here')
            return
        inner = os.path.join(group, 'inner')
        os.mkdir(inner)
        try:
            status, _, messages = run(['sh', '-c', 'echo $$ >"$0"/cgroup.procs && exec "$@"', inner,
                                       *command])
        finally:
            os.rmdir(inner)
            os.rmdir(group)
        threads = max(1, min(processors, int(quota)))
        expect(status == 0 and f' {threads} thread' in messages, 'with a quota of', quota, messages)


CASES = [closed_descriptors, quotas_of_processors]
