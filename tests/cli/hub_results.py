#!/usr/bin/python3
"""Compares the JSON of mega-run with results.json of a model folder: hub_results.py FIXTURE MODEL

results.json has the results of the Hugging Face library's pipelines. Scores may differ by rounding;
a "word" that the library has damaged (it contains U+FFFD) is not compared."""
import json
import pathlib
import subprocess
import sys

OPTIONS = {'top_k': '--top', 'max_answer_len': '--max-answer', 'max_seq_len': '--window',
           'doc_stride': '--stride'}


def command(case):
    """The arguments of mega-run for a case of results.json, and the expected result."""
    if 'choices' in case:
        return ['choose', case['prompt'], *case['choices']], case['scores']
    if 'question' in case:
        arguments = ['answer', '--question', case['question'], '--text', case['context']]
        for name, value in case['options'].items():
            if name == 'align_to_words':
                arguments += [] if value else ['--no-align']
            elif name == 'handle_impossible_answer':
                arguments += ['--allow-none'] if value else []
            else:
                arguments += [OPTIONS[name], str(value)]
        return arguments, case['result']
    if 'aggregation_strategy' in case:
        return ['tag', '--text', case['text'], '--group', case['aggregation_strategy']], \
            case['result']
    if 'token' in json.dumps(case['result']):
        arguments = ['fill', '--text', case['text'], '--top', str(case['top_k'])]
        if case.get('targets'):
            arguments += ['--targets', ','.join(case['targets'])]
        return arguments, case['result']
    arguments = ['classify', '--text', case['text']]
    if case.get('text_pair') is not None:
        arguments += ['--pair', case['text_pair']]
    return arguments, case['result']


def same(got, expected):
    if isinstance(expected, float):
        return abs(got - expected) <= 2e-5 + 1e-4 * abs(expected)
    if isinstance(expected, list):
        return len(got) == len(expected) and all(map(same, got, expected))
    if isinstance(expected, dict):
        return set(got) == set(expected) and all(
            same(got[key], value) for key, value in expected.items()
            if not (key == 'word' and '\ufffd' in value))
    return got == expected


def main():
    fixture, model = sys.argv[1:]
    equal = 0
    for case in json.loads((pathlib.Path(fixture) / 'results.json').read_text(encoding='utf-8')):
        arguments, expected = command(case)
        done = subprocess.run(['mega-run', arguments[0], '-m', model, '--json', *arguments[1:]],
                              capture_output=True, text=True, check=False)
        got = json.loads(done.stdout or 'null')
        if arguments[0] == 'choose' and got:
            got = [item['score'] for item in sorted(got, key=lambda item: item['index'])]
        if got is not None and same(got, expected):
            equal += 1
        else:
            print('differs:', ' '.join(arguments), done.stdout, done.stderr)
    print(f'{equal} equal')


main()
