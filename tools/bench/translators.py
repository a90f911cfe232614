"""The groups of compare.py that translate.

They compare MEGA with PyTorch and with a Transformer in CTranslate2, and then one Transformer in
mega-run with the same one in CTranslate2.
"""

import importlib.util
import subprocess
import sys

from sides import HERE, Fastest, Ours, Peer, limit_cells, milliseconds, say, table, times

PRODUCTS = {  # environments that choose CTranslate2's matrix products
    'ctranslate2': {},
    'ctranslate2 with MKL': {'CT2_USE_MKL': '1'},
    'ctranslate2 with MKL, packed': {'CT2_USE_MKL': '1', 'CT2_USE_EXPERIMENTAL_PACKED_GEMM': '1'},
}
COMPUTE = {'f32': 'float32', 'int8': 'int8', 'int4': 'int8'}  # CTranslate2 has no int4


def lengths(compare):
    """(tokens of a source, </s> included, tokens of its translation)"""
    return 25, 5 if compare.quick else 25


def search_name(beam):
    return 'greedy' if beam == 1 else f'beam {beam}'


def ctranslate2(compare, dtype, **job):
    """CTranslate2's sides, one for each library of matrix products."""
    return [Peer(compare, name, environment, dtype=COMPUTE[dtype], peer='ctranslate2', **job)
            for name, environment in PRODUCTS.items()]


# ---- MEGA and a Transformer ---------------------------------------------------------------------

ASKED = {'f32': '60 % of the limit, 6 x PyTorch', 'int8': '60 % of the limit, 15 x PyTorch'}


def translation(compare):
    source, tokens = lengths(compare)
    races, rows = {}, []
    for dtype in ('f32', 'int8', 'int4'):
        model = compare.model('translator', dtype)
        for beam in (1, 5):
            if not model:
                continue
            title = f'{search_name(beam)}, {dtype}'
            job = dict(kind='translate', batch=1, beam=beam, source=source, tokens=tokens)
            sides = compare.variants(model, length=source, tokens=tokens, beam=beam, repeats=3)
            sides.update(compare.torch('kept', **job))
            sides['CTranslate2'] = Fastest('CTranslate2',
                                           ctranslate2(compare, dtype, lines=1, **job))
            races[title] = compare.race('translation', title, sides)
            ours, theirs = sides['ours'], sides['CTranslate2']
            row = [title, *limit_cells(ours), f'{1e3 * tokens / ours.ms:.0f}']
            for side in list(sides)[list(sides).index('PyTorch kept'):]:
                ms = sides[side].ms
                row += ['n/a' if ms is None else f'{1e3 * tokens / ms:.0f}', times(ours.ms, ms)]
            rows.append(row + [ASKED.get(dtype, '')])
            if not theirs.best:
                compare.note(f'{title}, CTranslate2: {theirs.peers[0].error}')
    heads = ['mega_wmt_en_de, batch 1', 'limit', 'mega-run', 'x limit', '% of peak', 'tokens/s',
             'PyTorch eager f32', 'ratio'] + (['compiled f32', 'ratio'] if compare.compile else [])
    table(f'Translation: {tokens} tokens from {source}; peers in tokens/s',
          heads + ['CTranslate2, same type (int8 for int4)', 'ratio', 'asked for'], rows)
    compare.print_kernels('Translation', races)


def fastest_size(sizes, make):
    """The batch size with the least time per line; make(size) returns (side, its lines)."""
    per_line = {}
    for size in sizes:
        side, lines = make(size)
        side.start()
        side.measure()
        side.close()
        if side.ms is not None:
            per_line[size] = side.ms / lines
    return min(per_line, key=per_line.get) if per_line else None


def race_batches(compare, group, dtype, model, beam, title, source, tokens):
    """Race both sides, each with its best batch size.

    Returns (ours, its size, CTranslate2 or None, its size).
    """
    lines, sizes = batch_sizes(compare)

    def ours(size, repeats):
        return Ours(compare, model, length=source, tokens=tokens, beam=beam, batch=size,
                    threads=compare.threads, repeats=repeats)

    def theirs(size, count):
        return ctranslate2(compare, dtype, kind='translate', beam=beam, source=source,
                           tokens=tokens, threads=[compare.threads], lines=count, batch=size)

    products = Fastest('CTranslate2', theirs(min(sizes), 4 * min(sizes)))
    products.start()
    products.close()
    size = fastest_size(sizes, lambda size: (ours(size, 1), size))
    sides = {'ours': ours(size, -(-lines // size))}
    other = None
    if products.best:
        best = products.peers.index(products.best)
        other = fastest_size(sizes, lambda size: (theirs(size, size)[best], size))
    if other:
        sides['CTranslate2'] = theirs(other, lines)[best]
    else:
        compare.note(f'{title}, CTranslate2: {products.peers[0].error}')
    compare.race(group, title, sides, min(compare.repeats, 2))
    return sides['ours'], size, sides.get('CTranslate2'), other


def batch_sizes(compare):
    """(number of lines, sizes of batches that each side tries)"""
    return (16, [8, 16]) if compare.quick else (compare.lines, [16, 32, 64, 128])


def batch_rows(compare, group, name):
    """Yield (type of weights, row) for each type of weights and each search."""
    lines, _ = batch_sizes(compare)
    for dtype in ('f32', 'int8'):
        model = compare.model(name, dtype)
        for beam in (1, 5):
            if not model:
                continue
            title = f'{search_name(beam)}, {dtype}'
            source, tokens = lengths(compare)
            ours, size, theirs, other = race_batches(compare, group, dtype, model, beam, title,
                                                     source, tokens)
            speed = 1e3 * tokens * size / ours.ms
            row = [title, f'{size}', f'{speed:,.0f}',
                   f'{100 * ours.result["limit_ms"] / ours.ms:.0f} %']
            if theirs and theirs.ms:
                their_speed = 1e3 * tokens * lines / theirs.ms
                row += [f'{other}', f'{their_speed:,.0f}', times(their_speed, speed)]
            else:
                row += ['n/a'] * 3
            yield dtype, row


BATCH_HEADS = ['batch', 'mega-run, tokens/s', '% of peak', 'batch', 'CTranslate2, tokens/s',
               'ratio', 'asked for']


def batch(compare):
    source, tokens = lengths(compare)
    rows = [row + ['40 % of the limit, faster' if dtype == 'f32' else 'faster']
            for dtype, row in batch_rows(compare, 'batch', 'translator')]
    table(f'Translation of {batch_sizes(compare)[0]:,} lines: {tokens} tokens from {source}',
          ['mega_wmt_en_de', *BATCH_HEADS], rows)


# ---- The same Transformer on both sides ---------------------------------------------------------

def check_transformer(compare, dtype, model):
    """Exit unless mega-run and CTranslate2 translate alike, before either is timed."""
    if importlib.util.find_spec('ctranslate2') is None:
        compare.note('The Transformer was not compared: the package ctranslate2 is missing.')
        return
    say(f'  transformer, {dtype}: translations are compared')
    done = subprocess.run(
        [sys.executable, HERE / 'transformer.py', compare.folder, '--check', compare.build, model,
         '--type', COMPUTE[dtype], '--lines', '4' if compare.quick else '20'],
        stdout=subprocess.PIPE, text=True)
    print(done.stdout, end='', file=sys.stderr, flush=True)
    compare.records.append({'check': 'transformer', 'dtype': dtype, 'found': done.stdout})
    if done.returncode:
        raise SystemExit(f'transformer, {dtype}: mega-run and CTranslate2 compute different things')


def transformer(compare):
    """One random Transformer-base in mega-run and in CTranslate2, and MEGA of that size."""
    source, tokens = lengths(compare)
    rows = []
    for dtype in ('f32', 'int8'):
        model = compare.model('transformer', dtype)
        if not model:
            continue
        check_transformer(compare, dtype, model)
        mega = compare.model('translator', dtype)
        for beam in (1, 5):
            title = f'{search_name(beam)}, {dtype}'
            options = dict(threads=compare.threads, length=source, tokens=tokens, beam=beam,
                           repeats=3)
            sides = {'ours': Ours(compare, model, **options)}
            if mega:
                sides['MEGA'] = Ours(compare, mega, **options)
            sides['CTranslate2'] = Fastest('CTranslate2', ctranslate2(
                compare, dtype, kind='translate', batch=1, beam=beam, source=source,
                tokens=tokens, lines=1))
            compare.race('transformer', title, sides)
            ours, theirs = sides['ours'], sides['CTranslate2']
            row = [title, *limit_cells(ours), f'{1e3 * tokens / ours.ms:.0f}']
            for side in ('CTranslate2', 'MEGA'):
                ms = sides[side].ms if side in sides else None
                row += ['n/a' if ms is None else f'{1e3 * tokens / ms:.0f}', times(ours.ms, ms)]
            rows.append(row + ['faster'])
            if not theirs.best:
                compare.note(f'{title}, CTranslate2: {theirs.peers[0].error}')
    table(f'The same Transformer on both sides: {tokens} tokens from {source}',
          ['transformer_wmt_en_de, batch 1', 'limit', 'mega-run', 'x limit', '% of peak',
           'tokens/s', 'CTranslate2, tokens/s', 'ratio', 'MEGA in mega-run, tokens/s', 'ratio',
           'asked for'], rows)
    rows = [row + ['faster'] for _, row in batch_rows(compare, 'transformer', 'transformer')]
    table(f'The same Transformer, {batch_sizes(compare)[0]:,} lines: {tokens} tokens from {source}',
          ['transformer_wmt_en_de', *BATCH_HEADS], rows)
