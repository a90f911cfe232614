#!/usr/bin/env python3
"""Measures how many requests mega-run serve answers and how fast: tools/bench/serve.py [BUILD]

Clients are threads that keep their connection and ask again as soon as they have an answer. The
table has requests a second for each number of clients, and the times within which half and 99 % of
them were answered: translations with batches and without, classifications and completions.
--memory N sends N requests of all kinds instead, and prints the resident memory on the way, which
must not grow. It needs nothing but Python.
"""
import argparse
import http.client
import json
import pathlib
import re
import signal
import subprocess
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
SPEECH = TOP / 'models/speech-commands/yes.wav'
SENTENCES = ['Two dogs are playing in the snow.', 'A man rides a bicycle.',
             'A woman in a red dress is cooking in a kitchen.', 'Children play football.',
             'A group of people stands in front of an old building.']
JSON = {'Content-Type': 'application/json'}


def translation(i):
    return '/v1/translate', json.dumps({'q': SENTENCES[i % len(SENTENCES)]}), JSON


def classification(_):
    return '/v1/classify', SPEECH.read_bytes(), {'Content-Type': 'audio/wav'}


def completion(i):
    return '/v1/completions', json.dumps({'prompt': 'ROMEO:', 'max_tokens': 16, 'seed': i}), JSON


def mixed(i):
    """The i-th of requests of all kinds, of which one in ten keeps a model busy for long."""
    slow = (translation, classification, completion)
    quick = (lambda i: ('/v1/tokenize', json.dumps({'text': SENTENCES[i % 5]}), JSON),
             lambda _: ('/v1/embeddings', json.dumps({'input': 'a b', 'model': 'shakespeare-lm'}), JSON),
             lambda i: ('/v1/completions', json.dumps({'prompt': 'A', 'max_tokens': 1 + i % 3}), JSON),
             lambda _: ('/v1/translate', '{"q": ', JSON), lambda _: ('/none', b'x', {}),
             lambda i: ('/v1/classify', b'x' * (i % 10000), {'Content-Type': 'audio/wav'}))
    return slow[i // 10 % 3](i) if i % 10 == 0 else quick[i % 6](i)


class Server:
    def __init__(self, build, *options):
        self.process = subprocess.Popen(
            [str(build / 'mega-run'), 'serve', '--port', '0', '--queue', '4096', *options],
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.port = int(re.search(rb':(\d+)$', self.process.stderr.readline().strip()).group(1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=120)

    def megabytes(self):
        text = pathlib.Path(f'/proc/{self.process.pid}/status').read_text()
        return int(re.search(r'VmRSS:\s+(\d+)', text).group(1)) * 1024 / 1e6


def ask_for(server, make, seconds, first, step, times, faults):
    """Send requests over one connection until the time is over."""
    connection = http.client.HTTPConnection('127.0.0.1', server.port, timeout=120)
    end, i = time.monotonic() + seconds, first
    while time.monotonic() < end:
        path, body, headers = make(i)
        begun = time.monotonic()
        connection.request('POST', path, body, headers)
        response = connection.getresponse()
        response.read()
        times.append(time.monotonic() - begun)
        if response.status != 200:
            faults.append(response.status)
        i += step
    connection.close()


def measure(server, make, clients, seconds):
    """(requests a second, seconds within which half and 99 % of them were answered)"""
    times, faults = [], []
    threads = [threading.Thread(target=ask_for,
                                args=(server, make, seconds, n, clients, times, faults))
               for n in range(clients)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.monotonic() - begun
    if faults:
        raise SystemExit(f'{len(faults)} requests failed, with {set(faults)}')
    times.sort()
    return len(times) / taken, times[len(times) // 2], times[min(len(times) - 1,
                                                                 len(times) * 99 // 100)]


def table(build, counts, seconds):
    kinds = (('translate, batches of up to 16 lines', translation, ()),
             ('translate, one by one', translation, ('--batch', '1')),
             ('classify 1 s of speech', classification, ()),
             ('16 characters of a completion', completion, ()))
    print('| request | clients | requests/s | half within | 99 % within |')
    print('|---|---:|---:|---:|---:|')
    for name, make, options in kinds:
        with Server(build, *options) as server:
            measure(server, make, 2, 1)  # lets the server prepare the model
            for clients in counts:
                rate, half, most = measure(server, make, clients, seconds)
                print(f'| {name} | {clients} | {rate:.1f} | {1e3 * half:.0f} ms | '
                      f'{1e3 * most:.0f} ms |', flush=True)


def memory(build, requests, clients=8):
    """Print the resident memory while the server answers requests of all kinds."""
    done = [0] * clients

    def ask(n):
        connection = http.client.HTTPConnection('127.0.0.1', server.port, timeout=120)
        for i in range(n, requests, clients):
            connection.request('POST', *mixed(i))
            connection.getresponse().read()
            done[n] += 1

    with Server(build) as server:
        threads = [threading.Thread(target=ask, args=(n,)) for n in range(clients)]
        for thread in threads:
            thread.start()
        step, told = requests / 20, 0
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.2)
            if sum(done) >= told:
                print(f'{sum(done)} requests: {server.megabytes():.1f} MB', flush=True)
                told += step
        print(f'{sum(done)} requests: {server.megabytes():.1f} MB')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('build', nargs='?', default=TOP / 'build', type=pathlib.Path)
    parser.add_argument('--clients', default='1,8,64', help='numbers of clients (1,8,64)')
    parser.add_argument('--seconds', type=float, default=20, help='of each row of the table (20)')
    parser.add_argument('--memory', type=int, metavar='N',
                        help='send N requests and print the resident memory')
    given = parser.parse_args()
    if given.memory:
        memory(given.build, given.memory)
    else:
        table(given.build, [int(count) for count in given.clients.split(',')], given.seconds)


if __name__ == '__main__':
    main()
