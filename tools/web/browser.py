"""Drives a page in headless Chromium, by chromedriver over plain HTTP, for `test` and `speed`."""

import base64
import functools
import http.server
import json
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

ELEMENT = 'element-6066-11e4-a52e-4f735466cecf'


class Server:
    """Serves a folder as any static server does, and keeps the paths that were asked for."""

    def __init__(self, folder):
        self.asked = asked = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_request(self, code='-', size='-'):
                asked.append(self.path)

        handler = functools.partial(Handler, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
        self.url = f'http://127.0.0.1:{self.server.server_port}'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class Browser:
    """A session of WebDriver. `microphone` is a WAV file that a fake microphone plays once."""

    def __init__(self, microphone=None):
        self.scratch = tempfile.TemporaryDirectory()
        port = free_port()
        self.driver = subprocess.Popen(
            ['chromedriver', f'--port={port}'], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        self.base = f'http://127.0.0.1:{port}'
        options = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
                   '--disable-background-networking', '--disable-component-update',
                   '--autoplay-policy=no-user-gesture-required',
                   '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
                   '--window-size=1280,1000', f'--user-data-dir={self.scratch.name}']
        if microphone:
            options.append(f'--use-file-for-fake-audio-capture={microphone}%noloop')
        wanted = {'browserName': 'chrome',
                  'goog:chromeOptions': {'args': options, 'binary': shutil.which('chromium')},
                  'goog:loggingPrefs': {'performance': 'ALL', 'browser': 'ALL'},
                  'timeouts': {'script': 120000}}
        try:
            self.wait_for_driver()
            session = self.ask('POST', '/session', {'capabilities': {'alwaysMatch': wanted}})
        except BaseException:
            self.end_driver()
            raise
        self.base += '/session/' + session['sessionId']

    def wait_for_driver(self):
        for _ in range(100):
            try:
                if self.ask('GET', '/status')['ready']:
                    return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError('chromedriver does not answer')

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, method=method,
                                         headers={'Content-Type': 'application/json'})
        try:
            with urllib.request.urlopen(request, timeout=180) as response:
                return json.load(response)['value']
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)['value']['message']) from None

    def close(self):
        try:
            self.ask('DELETE', '')
        finally:
            self.end_driver()

    def end_driver(self):
        self.driver.terminate()
        self.driver.wait()
        self.scratch.cleanup()

    def open(self, url):
        self.ask('POST', '/url', {'url': url})

    def run(self, script, *args):
        """Runs a script, which may use `await`, and returns the value of its `return`."""
        return self.ask('POST', '/execute/sync', {
            'script': f'return (async () => {{ {script} }})()', 'args': args})

    def find(self, selector):
        found = self.ask('POST', '/element', {'using': 'css selector', 'value': selector})
        return '/element/' + found[ELEMENT]

    def click(self, selector):
        self.ask('POST', self.find(selector) + '/click', {})

    def type(self, selector, text):
        """Types text into a field, or the path of a file into a field for files."""
        self.ask('POST', self.find(selector) + '/value', {'text': str(text)})

    def text(self, selector):
        return self.run('return document.querySelector(arguments[0]).textContent', selector)

    def until(self, script, *args, seconds=60):
        """Waits until a script returns something that is true, and returns that."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = self.run(script, *args)
            if value:
                return value
            time.sleep(0.1)
        raise TimeoutError(f'still not after {seconds} s: {script}')

    def devtools(self, command, **parameters):
        return self.ask('POST', '/goog/cdp/execute', {'cmd': command, 'params': parameters})

    def log(self, kind):
        return self.ask('POST', '/se/log', {'type': kind})

    def screenshot(self, path, width=1280, scheme='light'):
        """Writes a picture of the whole page, in a window of that width, in light or dark colours.
        """
        self.devtools('Emulation.setEmulatedMedia',
                      features=[{'name': 'prefers-color-scheme', 'value': scheme}])
        self.devtools('Emulation.setDeviceMetricsOverride', width=width, height=900,
                      deviceScaleFactor=1, mobile=False)
        self.run('return new Promise(done => setTimeout(done, 200))')
        whole = self.devtools('Page.getLayoutMetrics')['cssContentSize']
        image = self.devtools('Page.captureScreenshot', captureBeyondViewport=True,
                              clip={**whole, 'scale': 1})['data']
        pathlib.Path(path).write_bytes(base64.b64decode(image))
        overflow = self.run('return document.documentElement.scrollWidth - innerWidth')
        self.devtools('Emulation.clearDeviceMetricsOverride')
        self.devtools('Emulation.setEmulatedMedia', features=[])
        return overflow
