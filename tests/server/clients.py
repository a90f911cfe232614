#!/usr/bin/env python3
"""Tests mega-run serve with clients that others wrote: tests/server/clients.py

The packages `openai` and `requests` of PyPI send requests and must understand every answer. `make
test` does not run this, since it needs packages that Debian does not have; `make server-test` does.
"""
import io
import json
import pathlib
import sys
import tempfile

import openai
import requests
from support import MODELS, SPEECH, Server, check, equal, hub_models, mega_json


def completions(client):
    ask = dict(model='shakespeare-lm', prompt='ROMEO:', max_tokens=30, temperature=0)
    whole = client.completions.create(**ask)
    expected = mega_json('generate', '--json', '--greedy', '-n', '30', '--text', 'ROMEO:')[0]
    equal(whole.choices[0].text, expected['text'], 'completion')
    equal((whole.choices[0].finish_reason, whole.usage.completion_tokens), ('length', 30), 'end')
    stream = client.completions.create(**ask, stream=True, stream_options={'include_usage': True})
    parts = list(stream)
    equal(''.join(part.choices[0].text for part in parts if part.choices), expected['text'], 'stream')
    equal(parts[-1].usage, whole.usage, 'usage of a stream')
    several = client.completions.create(model='shakespeare-lm', prompt=['A', 'B'], n=2, seed=3, stop=['\n'],
                                        logprobs=2, echo=True, top_p=0.9, user='somebody')
    equal([choice.index for choice in several.choices], [0, 1, 2, 3], 'choices')
    for choice in several.choices:
        equal(len(choice.logprobs.tokens), len(choice.logprobs.token_logprobs), 'logprobs')


def embeddings(client):
    got = client.embeddings.create(model='bare', input=['some text', 'other'])  # asks for base64
    expected = mega_json('embed', '--json', '--pooled', '-m', BARE, '--text', 'some text')[0]
    equal(len(got.data), 2, 'two vectors')
    check(all(abs(a - b) < 1e-6 for a, b in zip(got.data[0].embedding, expected)), 'embedding')
    check(got.usage.prompt_tokens > 0, 'usage')


def errors(client, server):
    equal([model.id for model in client.models.list()][0] != '', True, 'models')
    equal(client.models.retrieve('shakespeare-lm').id, 'shakespeare-lm', 'one model')
    for error, ask in ((openai.NotFoundError, dict(model='none', prompt='a')),
                       (openai.BadRequestError, dict(model='cifar10', prompt='a')),
                       (openai.BadRequestError, dict(model='shakespeare-lm', prompt='a', n=0))):
        try:
            client.completions.create(**ask)
            raise AssertionError(f'{ask} was answered')
        except error as got:
            check(got.body['code'].startswith('MEGA_ERR_') and got.body['message'], str(got.body))
    try:
        openai.OpenAI(base_url=server.url('/v1'), api_key='wrong', max_retries=0).models.list()
        raise AssertionError('a wrong key was taken')
    except openai.AuthenticationError:
        pass


def by_requests(server, key):
    session = requests.Session()  # keeps its connection
    session.headers['Authorization'] = f'Bearer {key}'
    url = server.url('/v1/')
    for _ in range(3):
        with open(SPEECH, 'rb') as file:
            got = session.post(url + 'classify', files={'file': file}, data={'top': 2}).json()
        equal((got['label'], got['input'], len(got['top'])), ('yes', 'yes.wav', 2), 'multipart')
        got = session.post(url + 'classify', data=SPEECH.read_bytes()).json()
        equal(got['label'], 'yes', 'raw')
        ask = {'q': 'Two dogs are playing in the snow.', 'source': 'en', 'target': 'de'}
        got = session.post(url + 'translate', json=ask).json()
        check(got['translatedText'].startswith('Zwei Hunde'), got)
        got = session.post(url + 'translate', data=ask).json()
        check(got['translatedText'].startswith('Zwei Hunde'), got)
    samples = SPEECH.read_bytes()[44:] + bytes(32000)

    def parts():
        for at in range(0, len(samples), 3200):
            yield samples[at:at + 3200]
    got = session.post(url + 'classify?stream=true&raw=s16le:16000:1', data=parts())
    events = [line[6:] for line in got.text.split('\n\n') if line]
    equal((json.loads(events[0])['label'], events[-1]), ('yes', '[DONE]'), 'sound by chunks')
    got = session.post(url + 'classify', data=io.BytesIO(bytes(70_000_000)))
    equal((got.status_code, got.json()['error']['code']), (413, 'MEGA_ERR_LIMIT'), 'a large body')
    got = session.post(url + 'none', json={'a': 'b' * 1000000})
    equal(got.status_code, 404, 'a body that nobody reads')


def main():
    global BARE
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        BARE = hub_models(folder)['bare']
        (folder / 'keys').write_text('sesame\n')
        with Server('--api-key-file', folder / 'keys',
                    models=[*sorted(MODELS.glob('*/*.mega')), BARE]) as server:
            client = openai.OpenAI(base_url=server.url('/v1'), api_key='sesame', max_retries=0)
            completions(client)
            embeddings(client)
            errors(client, server)
            by_requests(server, 'sesame')
    print(f'openai {openai.__version__} and requests {requests.__version__} understand every answer')


if __name__ == '__main__':
    sys.exit(main())
