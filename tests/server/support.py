"""The tests of mega-run serve share this: a server that runs, and clients of it."""
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get('MEGA_BUILD', TOP / 'build')).resolve()
MODELS, FIXTURES = TOP / 'models', TOP / 'tests/fixtures'
SPEECH = MODELS / 'speech-commands/yes.wav'
HUB = {'fill': 'hf_fill_two_tables', 'nli': 'hf_classify_types', 'tag': 'hf_tag',
       'answer': 'hf_answer', 'choice': 'hf_choice', 'bare': 'hf_model'}
PATIENCE = 300  # seconds for something that must happen, after which the test fails


class Failure(Exception):
    pass


def check(is_right, text):
    if not is_right:
        raise Failure(text)


def equal(got, expected, what=''):
    check(got == expected, f'{what}: got {str(got)[:400]}, expected {str(expected)[:400]}')


def environment():
    return dict(os.environ, PATH=f'{BUILD}:' + os.environ['PATH'], LC_ALL='C.UTF-8',
                MEGA_MODELS=str(MODELS))


def mega(*words, stdin=b''):
    """Runs a command, which must succeed; returns its standard output."""
    done = subprocess.run([str(BUILD / words[0]), *map(str, words[1:])], input=stdin,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
                          timeout=PATIENCE, check=False)
    check(done.returncode == 0, f'{words}: {done.stderr.decode()}')
    return done.stdout.decode()


def mega_json(*words, stdin=b''):
    return [json.loads(line) for line in mega('mega-run', *words, stdin=stdin).splitlines()]


def hub_models(folder):
    """Converts models of the hub; returns {name: path}."""
    made = {}
    for name, fixture in HUB.items():
        made[name] = folder / f'{name}.mega'
        if not made[name].exists():
            mega('mega-convert', '-q', '-o', made[name], FIXTURES / fixture)
    return made


def model_file(path):
    """The file of the shipped model in a folder."""
    return path / f'{path.name}.mega' if path.is_dir() else path


def wait_until(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        check(time.monotonic() < end, f'in vain: {what}')
        time.sleep(0.02)


class Server:
    """A server at a free port; `with` ends it, and it must then have ended well."""

    def __init__(self, *options, models=(), status=0):
        words = [word for model in models for word in ('-m', str(model_file(model)))]
        self.status = status
        self.process = subprocess.Popen(
            [str(BUILD / 'mega-run'), 'serve', '--port', '0', *words, *map(str, options)],
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment())
        self.said = self.process.stderr.readline().decode()
        found = re.search(r'http://(\S+):(\d+)$', self.said.strip())
        check(found, f'the server says: {self.said}')
        self.port = int(found.group(2))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:  # the test has failed, so requests need not be finished
            self.process.kill()
            self.process.communicate()
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            rest = self.process.communicate(timeout=PATIENCE)[1].decode()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise Failure('the server does not end') from None
        equal(self.process.returncode, self.status, f'status of the server, which says {rest}')

    def url(self, path):
        return f'http://127.0.0.1:{self.port}{path}'

    def connect(self):
        return socket.create_connection(('127.0.0.1', self.port), timeout=PATIENCE)

    def ask(self, path, body=None, headers=None, method=None):
        """(status, headers, bytes) of a request; a body that is not bytes is sent as JSON."""
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=PATIENCE)
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)) and not hasattr(body, '__next__'):
            body = json.dumps(body).encode()
            headers.setdefault('Content-Type', 'application/json')
        connection.request(method or ('GET' if body is None else 'POST'), path, body, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, response.headers, content

    def get(self, path, body=None, headers=None):
        """Sends a request, which must be answered with 200; returns the JSON of the answer."""
        status, _, content = self.ask(path, body, headers)
        check(status == 200, f'{path}: status {status}: {content[:400]}')
        return json.loads(content)

    def refuse(self, status, code, path, body=None, headers=None, method=None):
        """Sends a request, which must fail so; returns the headers and the sentence."""
        got, given, content = self.ask(path, body, headers, method)
        check(got == status, f'{method or ""} {path} {str(body)[:80]}: status {got}, expected {status}: '
              f'{content[:300]}')
        error = json.loads(content)['error']
        equal(error['code'], code, f'{path}: code')
        check(error['message'] and '/proc/' not in error['message'], error['message'])
        return given, error['message']

    def metric(self, name):
        status, _, content = self.ask('/metrics')
        equal(status, 200, 'metrics')
        for line in content.decode().splitlines():
            if line.startswith(name + ' '):
                return float(line.split()[-1])
        return 0.0

    def curl(self, *words, stdin=b''):
        done = subprocess.run(['curl', '-sS', '--max-time', str(PATIENCE), *map(str, words)],
                              input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              check=False)
        check(done.returncode == 0, f'curl {words}: {done.stderr.decode()}')
        return done.stdout


def events(content):
    """The objects of server-sent events, which must end in [DONE]."""
    parts = content.decode().split('\n\n')
    equal(parts[-2:], ['data: [DONE]', ''], 'end of the events')
    return [json.loads(part.removeprefix('data: ')) for part in parts[:-2]]
