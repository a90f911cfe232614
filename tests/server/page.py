#!/usr/bin/env python3
"""Tests the page of mega-run serve in headless Chromium: tests/server/page.py [PICTURE-FOLDER]

Chooses each shipped model, uses it as a visitor does (with a file, the microphone, a text), and
compares the page with the output of the commands. `make test` does not run this, since it needs
Debian's chromium and chromium-driver; `make server-test` does. In the folder, if there is one, it
keeps a picture of the page for each model.
"""
import base64
import json
import pathlib
import sys

from support import MODELS, SPEECH, Server, check, equal, mega_json

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / 'tools/web'))
from browser import Browser  # noqa: E402

ANSWER = "return document.getElementById('answer').textContent.replace('…', '').trim()"


def choose(browser, model):
    browser.until('return document.querySelectorAll("#model option").length > 0')
    browser.run('const list = document.getElementById("model"); list.value = arguments[0]; '
                'list.dispatchEvent(new Event("change"))', model)


def best(text):
    """The label and the percentage of the first bar."""
    return text.split(' %')[0]


def files(browser):
    for model, path in (('speech-commands', SPEECH), ('cifar10', MODELS / 'cifar10/ship.png')):
        choose(browser, model)
        browser.type('#form input[type=file]', path)
        shown = browser.until(ANSWER)
        expected = mega_json('classify', '--json', path)[0]
        equal(best(shown), f"{expected['label']}{100 * expected['probability']:.1f}", model)
        yield model


def texts(browser):
    choose(browser, 'everyday-en-de')
    browser.type('#text', 'A dog runs through the snow.\nTwo men are talking.')
    browser.click('#form button')
    lines = ('A dog runs through the snow.', 'Two men are talking.')
    expected = [line['hypotheses'][0]['text'] for text in lines for line in
                mega_json('translate', '--json', '-m', 'everyday-en-de', '--text', text)]
    equal(browser.until(ANSWER).splitlines(), expected, 'translation')
    yield 'everyday-en-de'
    choose(browser, 'shakespeare-lm')
    browser.type('#text', 'ROMEO:')
    browser.run("document.getElementById('temperature').value = '0'; "
                "document.getElementById('tokens').value = '60'")
    browser.click('#form button')
    expected = mega_json('generate', '--json', '--greedy', '-n', '60', '--text', 'ROMEO:')[0]['text']
    whole = ('ROMEO:' + expected).strip()
    browser.until('return document.getElementById("answer").textContent.trim() === arguments[0]',
                  whole)
    yield 'shakespeare-lm'


def errors(browser, server):
    choose(browser, 'speech-commands')
    browser.type('#form input[type=file]', MODELS / 'cifar10/ship.png')
    browser.until('return document.getElementById("answer").className === "bad"')
    check('/proc/' not in browser.text('#answer'), 'a path of ours is shown')
    yield 'error'
    choose(browser, 'speech-commands')
    browser.click('#form button')  # speak, to the fake microphone
    browser.until('return document.querySelector("#form button").textContent === "Stop"')
    browser.run('await new Promise(done => setTimeout(done, 1500))')
    browser.click('#form button')
    browser.until('return document.querySelectorAll("#answer .bar").length === 5')
    yield 'microphone'
    sent = [json.loads(line['message'])['message'] for line in browser.log('performance')]
    ours = {message['params']['request']['url'] for message in sent
            if message['method'] == 'Network.requestWillBeSent' and
            message['params']['documentURL'].startswith('http')}
    check(ours and all(url.startswith(server.url('/')) for url in ours), f'asked: {ours}')


def main():
    pictures = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
    models = [MODELS / name for name in ('speech-commands', 'cifar10', 'everyday-en-de',
                                         'shakespeare-lm')]
    with Server(models=models) as server:
        browser = Browser(microphone=SPEECH)
        try:
            browser.open(server.url('/'))
            for part in (files(browser), texts(browser), errors(browser, server)):
                for name in part:
                    if pictures:
                        (pictures / f'{name}.png').write_bytes(
                            base64.b64decode(browser.ask('GET', '/screenshot')))
                    print(f'{name}: {browser.text("#answer")[:70]!r}')
            said = [line for line in browser.log('browser') if line['level'] == 'SEVERE' and
                    '422' not in line['message']]
            equal(said, [], 'errors in the console')
        finally:
            browser.close()


if __name__ == '__main__':
    main()
