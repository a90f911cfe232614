"""A server keeps neither files of answered requests nor models that were replaced open."""
import http.client
import json
import os
import pathlib
import shutil
import signal
import tempfile
import threading

from support import MODELS, SPEECH, Server, equal, model_file, wait_until

LONG = {'prompt': 'ROMEO:', 'max_tokens': 1 << 20, 'ignore_eos': True, 'seed': 1}


def open_files(server):
    """The targets of a server's descriptors."""
    found = []
    for link in pathlib.Path(f'/proc/{server.process.pid}/fd').iterdir():
        try:
            found.append(os.readlink(link))
        except FileNotFoundError:
            pass  # it was closed meanwhile
    return found


def test_open_files(_):
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder, 'en-de.mega')
        shutil.copy(model_file(MODELS / 'everyday-en-de'), copy)
        with Server('--parallel', '1', models=[copy, MODELS / 'shakespeare-lm',
                                               MODELS / 'speech-commands']) as server:
            server.get('/v1/classify', SPEECH.read_bytes(), {'Content-Type': 'audio/wav'})
            server.get('/v1/classify?window=0.5', SPEECH.read_bytes(), {'Content-Type': 'audio/wav'})
            wait_until(lambda: not any('memfd' in name for name in open_files(server)),
                       'the files of requests are closed')
            # The only worker is busy, so that a request waits while its model is replaced.
            busy = http.client.HTTPConnection('127.0.0.1', server.port)
            busy.request('POST', '/v1/completions', json.dumps(LONG),
                         {'Content-Type': 'application/json'})
            wait_until(lambda: server.metric('mega_running_requests') == 1, 'the worker is busy')
            answers = []
            waiting = threading.Thread(target=lambda: answers.append(server.ask(
                '/v1/tokenize', {'text': 'A dog.', 'model': 'en-de'})[0]))
            waiting.start()
            wait_until(lambda: server.metric('mega_queue_requests') == 1, 'a request waits')
            shutil.copy(copy, copy.with_suffix('.new'))
            copy.with_suffix('.new').rename(copy)
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: server.metric('mega_model_reloads_total') == 1, 'the model is replaced')
            busy.close()
            waiting.join()
            equal(answers, [200], 'the request that waited')
            wait_until(lambda: not any('(deleted)' in name for name in open_files(server)),
                       'the model that was replaced is closed')
