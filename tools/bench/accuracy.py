"""The paper's table in small: the accuracy of `train twins`' models, and what an input costs.

Each model is evaluated on its test split once, by `mega-run eval`, or by `mega-run score` for
characters. The result is kept in the model's folder as test.json, together with the model's
checksum, and is used again as long as the model is the same. So the models can be moved or shipped
without the data.
"""

import hashlib
import json
import pathlib
import statistics
import subprocess
import sys

from sides import Ours, say, table

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'train'))
import twins  # noqa: E402

TITLES = {'transformer': 'XFM', 's4': 'S4', 'mega': 'MEGA', 'mega-chunk': 'MEGA-chunk'}


def run(command):
    """The JSON objects that a command of mega-run prints, one on each line."""
    output = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, check=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def ask(build, model, task, data):
    """Evaluate a model on a test split; return the object that mega-run prints."""
    given = ['-m', model, '--json', '-q']
    if task != 'characters':
        answer = run([build / 'mega-run', 'eval', *given, data / 'test.tsv'])[0]
        return {key: answer[key] for key in ('accuracy', 'n', 'correct', 'errors')}
    windows = run([build / 'mega-run', 'score', *given, '--document',
                   *sorted((data / 'test').iterdir())])
    tokens, logprob = (sum(window[key] for window in windows) for key in ('tokens', 'logprob'))
    return {'tokens': tokens, 'nats_per_token': -logprob / tokens}


def tested(build, model, task, data):
    """A model's result on the test split: per cent of right answers, or nats a character."""
    kept, digest = model.with_name('test.json'), hashlib.sha256(model.read_bytes()).hexdigest()
    found = json.loads(kept.read_text()) if kept.exists() else {}
    if found.get('model_sha256') != digest:
        asked = data / ('test' if task == 'characters' else 'test.tsv')
        if not asked.exists():
            raise SystemExit(f'{model} was not evaluated yet, and there is no {asked} to do it '
                             'with; `train twins --prepare` makes that')
        say(f'  {model}: test split')
        found = ask(build, model, task, data)
        found['model_sha256'] = digest
        kept.write_text(json.dumps(found) + '\n')
    if task == 'characters':
        return found['nats_per_token']
    if found['errors']:
        raise SystemExit(f'{model}: {found["errors"]} files of the test split could not be read')
    return 100.0 * found['accuracy']


def cost(compare, model):
    """(ms, MB) of one input of the model's full length, or of one token of a language model."""
    side = Ours(compare, model, threads=compare.threads, repeats=3)
    for _ in range(compare.repeats):
        side.measure()
    return side.ms, side.result['peak_mb']


def spread(values, digits):
    """The mean of the values, and if there are several, the least and the largest."""
    mean = f'{statistics.mean(values):.{digits}f}'
    if len(values) == 1:
        return mean
    return f'{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})'


def row(compare, folder, task, system):
    """A line of the table, or None if there is no such model yet."""
    models = sorted((folder / task).glob(f'{system}-[0-9]*/final.mega'))
    if not models:
        return None
    minutes = sorted({round(twins.trained(model.parent)['minutes'], 1) for model in models})
    results = [tested(compare.build, model, task, folder / task / 'data') for model in models]
    ms, memory = cost(compare, models[0])
    parameters = run([compare.build / 'mega-run', 'inspect', '--json', models[0]])[0]['parameters']
    compare.records.append({'task': task, 'system': system, 'minutes': minutes,
                            'results': results, 'ms': ms, 'peak_mb': memory,
                            'parameters': parameters})
    return [TITLES[system], f'{parameters:,}', ' and '.join(f'{value:.1f}' for value in minutes),
            str(len(models)), spread(results, 3 if task == 'characters' else 1), f'{ms:.1f} ms',
            f'{memory:.0f} MB']


def tables(compare, folder):
    """Print a table for each task that has models; return whether there is any."""
    found = False
    for task in twins.TASKS:
        rows = [line for system in twins.systems_of(task)
                if (line := row(compare, folder, task, system))]
        if rows:
            found = True
            what = 'nats a character' if task == 'characters' else '% right'
            table(task, ['system', 'parameters', 'minutes', 'seeds', what, 'an input',
                         'peak memory'], rows)
    return found
