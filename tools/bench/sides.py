"""The sides of a race, mega-run and its peers, and how tables are printed."""

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


# ---- Tables -------------------------------------------------------------------------------------

def say(text):
    print(text, file=sys.stderr, flush=True)


def table(title, heads, rows):
    print(f'\n### {title}\n')
    print('| ' + ' | '.join(heads) + ' |')
    print('|---' + '|---:' * (len(heads) - 1) + '|')
    for row in rows:
        print('| ' + ' | '.join(row) + ' |')
    sys.stdout.flush()


def milliseconds(value):
    return 'n/a' if value is None else f'{value:.1f} ms' if value < 1000 else f'{value:,.0f} ms'


def times(ours, theirs):
    return 'n/a' if ours is None or theirs is None else f'{theirs / ours:.1f} x'


def limit_cells(ours):
    """Cells of a row: the limit, our time, time over limit, and % of peak."""
    ms, limit = ours.ms, ours.result['limit_ms']
    return [milliseconds(limit), milliseconds(ms), f'{ms / limit:.2f} x',
            f'{100 * limit / ms:.0f} %']


# ---- Sides --------------------------------------------------------------------------------------

class Ours:
    """A side that runs mega-run bench with some options."""

    def __init__(self, compare, model, **options):
        self.name = 'mega-run'
        self.command = [compare.build / 'mega-run', 'bench', '-m', model, '--format', 'json']
        for option, value in options.items():
            self.command += [f'--{option}', str(value)]
        self.result = None

    def start(self):
        pass

    def close(self):
        pass

    def measure(self):
        output = subprocess.run(self.command, stdout=subprocess.PIPE, check=True).stdout
        found = json.loads(output)
        found['limit_ms'] = found['mean_ms'] * found['of_limit']
        if self.result is None:
            self.result = found
            return
        best = self.result
        if found['mean_ms'] < best['mean_ms']:
            best.update(mean_ms=found['mean_ms'], per_second=found['per_second'])
        if found.get('read_ms', 0) < best.get('read_ms', 0):
            best['read_ms'] = found['read_ms']
            best['read_of_limit'] = found['read_of_limit']
        best['limit_ms'] = min(best['limit_ms'], found['limit_ms'])
        best['peak_mb'] = max(best['peak_mb'], found['peak_mb'])
        for speed in ('gflops', 'int8_gops', 'gb_per_second'):
            best[speed] = max(best[speed], found[speed])

    @property
    def ms(self):
        return self.result and self.result['mean_ms']


class Peer:
    """A side that is a process of peers.py. If it fails, `error` says why, and it is left out."""

    def __init__(self, compare, name, environment=None, **job):
        self.name, self.error, self.process = name, None, None
        self.job = dict(job, folder=str(compare.folder))
        self.job.setdefault('peer', name)
        self.job.setdefault('threads', sorted({1, compare.threads}))
        self.environment = {**compare.environment, **(environment or {})}
        self.by_threads, self.peak = {}, None
        self.log = compare.folder / f'{self.job["peer"]}.log'

    def start(self):
        say(f'    {self.name} starts')
        with open(self.log, 'w') as log:
            self.process = subprocess.Popen(
                [sys.executable, HERE / 'peers.py', json.dumps(self.job)], env=self.environment,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        self._receive()

    def _receive(self):
        line = self.process.stdout.readline()
        last = self.log.read_text(errors='replace').strip().rpartition('\n')[2][:300]
        answer = json.loads(line) if line else {'error': f'the process ended: {last}'}
        if 'error' in answer:
            self.close()
            self.error = answer['error']
            say(f'    {self.name}: {self.error}')
        return answer

    def measure(self):
        if self.error:
            return
        try:
            self.process.stdin.write('run\n')
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self._receive()
        for threads, ms in answer.get('ms', {}).items():
            self.by_threads[threads] = min(ms, self.by_threads.get(threads, ms))
        self.peak = answer.get('peak_mb', self.peak)

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.terminate()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    @property
    def ms(self):
        return min(self.by_threads.values()) if self.by_threads and not self.error else None

    @property
    def result(self):
        return {'ms_by_threads': self.by_threads, 'peak_mb': self.peak, 'error': self.error,
                'job': self.job}


class Fastest:
    """A side that is the fastest of several peers: all run once, then only that one goes on."""

    def __init__(self, name, peers):
        self.name, self.peers, self.best = name, peers, None

    def start(self):
        for peer in self.peers:
            peer.start()
            peer.measure()
            peer.close()
        able = [peer for peer in self.peers if peer.ms is not None]
        if able:
            self.best = min(able, key=lambda peer: peer.ms)
            self.best.start()

    def measure(self):
        if self.best:
            self.best.measure()

    def close(self):
        if self.best:
            self.best.close()

    @property
    def ms(self):
        return self.best and self.best.ms

    @property
    def result(self):
        return {'best': self.best and self.best.name,
                'all': {peer.name: peer.result for peer in self.peers}}
