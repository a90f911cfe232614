"""Events in sound from a pipe are printed as soon as they are heard."""
import os
import select
import signal
import struct
import subprocess
import threading
import time

from common import LIVE, PATIENCE, RATE, SANITIZED, expect, run, silence, word


class Stream:
    """A command that reads sound from a pipe, and its lines as they come."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.text = b''

    def feed(self, samples):
        self.process.stdin.write(samples)
        self.process.stdin.flush()

    def line(self, seconds):
        """The next line, or None if there is none within that time."""
        end = time.monotonic() + seconds
        while b'\n' not in self.text:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                return None
            got = os.read(self.process.stdout.fileno(), 4096)
            if not got:
                return None
            self.text += got
        line, self.text = self.text.split(b'\n', 1)
        return line.decode().split('\t')

    def end(self):
        self.process.stdin.close()
        lines = []
        while line := self.line(PATIENCE):
            lines.append(line)
        return self.process.wait(), lines


def hear(sound):
    """The lines that LIVE prints for a file of samples."""
    with open('input', 'wb') as out:
        out.write(sound)
    with open('input', 'rb') as source:
        status, text, messages = run(LIVE, stdin=source)
    expect(status == 0, messages)
    return [line.split('\t') for line in text.splitlines()]


def events_come_while_the_pipe_is_open():
    """Each event is printed when the last sample of its window is there, and not one hop earlier;
    the pipe stays open."""
    sound = silence(1) + word('yes') + silence(1) + word('left') + silence(1)
    expected = hear(sound)
    expect([line[2] for line in expected] == ['yes', 'left'], 'events:', expected)
    stream = Stream(LIVE)
    fed = 0
    for line in expected:
        due = 2 * round(RATE * float(line[1]))
        hop = 2 * RATE // 4
        stream.feed(sound[fed:due - hop])
        early = stream.line(0.5)
        expect(early is None, 'came too early:', early)
        stream.feed(sound[due - hop:due])
        fed = due
        expect(stream.line(PATIENCE) == line, line, 'was not printed within a hop')
        expect(stream.process.poll() is None, 'it ended')
    stream.feed(sound[fed:])
    status, rest = stream.end()
    expect(status == 0 and not rest, 'status', status, 'and more lines:', rest)


def windows_come_while_the_pipe_is_open():
    stream = Stream([*LIVE[:8], '-'])
    stream.feed(silence(1))
    for i in range(5):
        expect(stream.line(PATIENCE)[:2] == [f'{i / 4:.2f}', f'{i / 4 + 1:.2f}'], 'window', i)
        expect(stream.line(0.2) is None, 'a window came too early')
        stream.feed(silence(0.25))
    expect(stream.end()[0] == 0, 'status')


def resampled_events_come_within_a_hop():
    """The converter of 48 kHz on two channels looks ahead by less than a hop."""
    sound = silence(1) + word('yes') + silence(2)
    samples = struct.unpack(f'<{len(sound) // 2}h', sound)
    stereo = b''.join(struct.pack('<h', s) * 6 for s in samples) # 3 times the rate, 2 channels
    line = hear(sound)[0]
    stream = Stream([*LIVE[:3], 's16le:48000:2', *LIVE[4:]])
    stream.feed(stereo[:4 * round(48000 * (float(line[1]) + 0.25))])
    got = stream.line(PATIENCE)
    expect(got and got[2] == 'yes', 'no event')
    expect(stream.end()[0] == 0, 'status')


def closed_output_ends_a_stream():
    """After head -1 has taken the first event and ended, the next window ends the command, too."""
    stream = Stream(LIVE)
    stream.feed(silence(1) + word('yes') + silence(1))
    expect(stream.line(PATIENCE), 'no event')
    stream.process.stdout.close()

    def feed():
        try:
            for _ in range(100):
                stream.feed(silence(0.25))
                time.sleep(0.05)
        except BrokenPipeError:
            pass
    thread = threading.Thread(target=feed)
    thread.start()
    status = stream.process.wait(PATIENCE)
    thread.join()
    expect(status == -signal.SIGPIPE, 'status', status)
    try:
        stream.process.stdin.close()
    except BrokenPipeError:
        pass


def feed_minutes(minutes):
    """Feeds a stream of so many minutes with a word in each; returns the lines of its events."""
    options = [part if part != '0.25' else '0.5' for part in LIVE]
    with open('stdout', 'wb') as out:
        process = subprocess.Popen(options, stdin=subprocess.PIPE, stdout=out)
        minute = silence(30) + word('stop') + silence(1)
        minute += silence(60 - len(minute) / 2 / RATE)
        for _ in range(minutes):
            process.stdin.write(minute)
        process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    expect(process.returncode == 0, 'status', process.returncode)
    with open('stdout', encoding='utf-8') as text:
        lines = text.read().splitlines()
    expect(len(lines) == minutes, len(lines), 'events in', minutes, 'minutes')
    return usage.ru_maxrss * 1024 / 1e6


def endless_streams_take_no_more_memory():
    short, long = feed_minutes(1), feed_minutes(35)
    expect(SANITIZED or long < short + 4, '1 minute takes', short, 'MB, 35 minutes', long)


CASES = [events_come_while_the_pipe_is_open, windows_come_while_the_pipe_is_open,
         resampled_events_come_within_a_hop, closed_output_ends_a_stream,
         endless_streams_take_no_more_memory]
