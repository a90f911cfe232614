"""Writes the seeds of tests/fuzz/corpus anew: python3 tests/fuzz/make_corpus.py (from the top).

Needs mega-convert in build/ and the standard library only. Regression files, whose names begin
with "found-", and what fuzzing added, "fuzz-", are left alone.
"""
import json
import math
import pathlib
import pickle
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import wave
import zipfile
import zlib
from collections import OrderedDict

TOP = pathlib.Path('tests/fuzz/corpus')
DATA = pathlib.Path('tests/data')
FIXTURES = pathlib.Path('tests/fixtures')


def put(target, name, content):
    folder = TOP / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def copy(target, *paths):
    for path in paths:
        put(target, pathlib.Path(path).name, pathlib.Path(path).read_bytes())


def archives():
    folder = TOP / 'zip'
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / 'stored.zip', 'w') as archive:
        archive.writestr(zipfile.ZipInfo('a/data.pkl'), b'\x80\x02}.')
        archive.writestr(zipfile.ZipInfo('a/version'), b'3\n')
    with zipfile.ZipFile(folder / 'deflated.zip', 'w') as archive:
        archive.writestr(zipfile.ZipInfo('long'), b'0' * 3000, zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(folder / 'comment.zip', 'w') as archive:
        archive.comment = b'comment'
    copy('zip', DATA / 'checkpoints/module.pt', DATA / 'checkpoints/deflated_data.pt')


def without_checksums(content):
    """An archive whose CRCs are 0, which means none: so that mutations get past them."""
    content = bytearray(content)
    for magic, offset in ((b'PK\3\4', 14), (b'PK\1\2', 16), (b'PK\7\x08', 4)):
        at = content.find(magic)
        while at >= 0:
            content[at + offset:at + offset + 4] = bytes(4)
            at = content.find(magic, at + 4)
    return bytes(content)


def checkpoints():
    for path in sorted((DATA / 'checkpoints').glob('*.pt')):
        content = path.read_bytes()
        put('checkpoint', path.name, content)
        if content[:2] == b'PK':
            put('checkpoint', path.stem + '-unchecked.pt', without_checksums(content))
    copy('checkpoint', DATA / 'checkpoints/small.safetensors')
    for name in ('zip.pt', 'cfg.pt', 'attack.pt', 'protocol4.pt'):
        with zipfile.ZipFile(DATA / 'checkpoints' / name) as archive:
            for entry in archive.namelist():
                if entry.endswith('data.pkl'):
                    put('pickle', name + '.pkl', archive.read(entry))
    values = {'a': [1, -2, 2**80, 1.5, None, True], 'b': ({1, 2}, b'x', 'text' * 3)}
    values['again'] = values['a']
    for protocol in (2, 3, 4, 5):
        put('pickle', f'plain-{protocol}.pkl', pickle.dumps(values, protocol))
    put('pickle', 'ordered.pkl', pickle.dumps(OrderedDict(a=1, b=2), 2))


def training_runs():
    """Pickles of what training runs save beside the model, for a target that adds the archive."""
    sys.path.insert(0, 'tests/cli')
    from checkpoint import dump
    some = ('few = {k: v for k, v in sd.items() if "layers.0.mega_layer.move" in k or "norm" in k}, '
            'short = {k: args[k] for k in list(args)[:9]}')
    for name, expression in {
            'whole': "{'model': sd, 'args': argparse.Namespace(**args)}",
            'lightning': "{'state_dict': few, 'hyper_parameters': omega({'cfg': {'model': short},"
                         " 'a': ['${cfg.model}', '${b}', '${c.d}'], 'b': '${c.d}', 'c': {'d': 1}})}",
            'averages': "{'model': {'m.' + k: v for k, v in few.items()}, 'model_ema': few, 'n': 1,"
                        " 'yes': True, 'half': 0.5, 'raw': b'ab', 'long': 'x' * 99,"
                        " 'steering': '\\x1b\\x9b'}",
            'several': "{**{p + k: v for k, v in few.items() for p in ('a.', 'b.')}}",
            'equal': "{**few, **{'module.' + k: v for k, v in few.items()}}",
            'prefixes': "{**{'ema.module.' + k: v for k, v in few.items()},"
                        " **{'model._orig_mod.' + k: v for k, v in few.items()}}",
            'nested': "[{'a': {'net': few, 'x': {1: 'y', None: b'z'}}}, {'optimizer': few}]",
            'objects': "{'model': few, 'args': Call(name_of('m', 'C'), (), (None, {**short, 5: 5,"
                       " 'a': Call(name_of('m', 'D'), (), None, {'a': 1}), 'b': collections.deque([1]),"
                       " 'c': name_of('builtins', 'getattr')(name_of('m', 'E'), 'F'), 'd': name_of("
                       "'m', 'E')('x'), 'e': name_of('m', 'E')(1), 'f': 0.5, 'g': float('inf')})), 'x': ["
                       "Call(name_of('m', 'D'), (), None, {'a': 1}), collections.Counter('ab'),"
                       " collections.defaultdict(list, a=[1]), collections.deque([1]), {1, 2},"
                       " frozenset([3]), 1j, bytearray(b'ab'), 2**90, -5, 1.5, True,"
                       " name_of('builtins', 'getattr')(name_of('m', 'E'), 'F'),"
                       " name_of('copyreg', '_reconstructor')(name_of('m', 'C'), 0, None)]}",
            'module': "{'a': module({'m.' + k: v for k, v in few.items()}), 'b': [module(few)]}",
            'numbers': "{'model': few, 'args': {o + c: name_of('numpy.core.multiarray', 'scalar')("
                       "Call(name_of('numpy', 'dtype'), (c, False, True), (3, o)), b'a' * int(c[1]))"
                       " for o in '<>' for c in ('f2', 'f4', 'f8', 'i1', 'i4', 'u8', 'b1', 'f1')}}",
            'tensors': "{'model': {**few, 'a': tensor('ComplexFloat', (2, 3), item=8), 'b':"
                       " untyped('uint16', (4,)), 'c': untyped('float32', (4,)), 'd': tensor('Float',"
                       " [1] * 9), 'e': tensor('Future', (2,), item=3), 'f': name_of('torch._utils',"
                       " '_rebuild_sparse_tensor')('l', ()), 'g': name_of('torch._utils',"
                       " '_rebuild_meta_tensor_no_storage')(0, (2, 3), (3, 1), False), 'h':"
                       " name_of('torch._tensor', '_rebuild_from_type_v2')(few[list(few)[0]].function,"
                       " name_of('m', 'T'), few[list(few)[0]].args, {}), 'i': name_of('torch._utils',"
                       " '_rebuild_parameter')(few[list(few)[0]], True, {}), 5: few[list(few)[0]]},"
                       " 's': few[list(few)[0]].args[0]}"}.items():
        expression = f'(lambda few, short: {expression})(**dict({some}))'
        for protocol in (2, 4, 5) if name in ('objects', 'numbers') else (2,):
            put('torch', f'{name}-{protocol}.pkl', dump(expression, protocol)[0])
    for name, expression in transformers().items():
        put('torch', f'{name}.pkl', dump(expression, 2)[0])


def transformers():
    """A translator of today and one of old names, with tensors of a few numbers."""
    shapes = {'embed_tokens.weight': (7, 4), 'layer_norm.weight': (4,), 'layer_norm.bias': (4,)}
    feed = {'fc1.weight': (8, 4), 'fc1.bias': (8,), 'fc2.weight': (4, 8), 'fc2.bias': (4,)}
    parts = {f'self_attn.{p}_proj.{part}': (4, 4)[:n] for p in 'qkv'
             for n, part in enumerate(('bias', 'weight'), 1)}
    out = {'out_proj.weight': (4, 4), 'out_proj.bias': (4,)}
    joined = {'self_attn.in_proj_weight': (12, 4), 'self_attn.in_proj_bias': (12,)}
    args = {'arch': 'transformer', 'encoder_attention_heads': 2, 'decoder_attention_heads': 2,
            'encoder_normalize_before': True, 'decoder_normalize_before': True,
            'share_all_embeddings': True, 'max_source_positions': 20, 'max_target_positions': 20}
    expressions = {}
    for name, own, version in (('transformer', parts, 3), ('old-names', joined, 2)):
        whole = {}
        for stack in 'encoder', 'decoder':
            layer = {**own, **{'self_attn.' + n: s for n, s in out.items()}, **feed}
            old = [f'layer_norms.{i}' for i in range(3)]
            new = ['self_attn_layer_norm', 'encoder_attn_layer_norm', 'final_layer_norm']
            if stack == 'decoder':
                cross = {n.replace('self_attn', 'encoder_attn'): s for n, s in layer.items()
                         if n.startswith('self_attn')}
                layer.update(cross)
            else:
                del old[2], new[1]
            for norm in old if version == 2 else new:
                layer.update({f'{norm}.weight': (4,), f'{norm}.bias': (4,)})
            whole.update({f'{stack}.{n}': s for n, s in shapes.items()})
            whole.update({f'{stack}.layers.0.{n}': s for n, s in layer.items()})
            whole[f'{stack}.version'] = (1,)
        tensors = ', '.join(f"'{n}': tensor('Float', {s})" for n, s in whole.items())
        expressions[name] = f"{{'args': argparse.Namespace(**{args}), 'model': {{{tensors}}}}}"
    return expressions


def state_spaces():
    """S4's checkpoints: omegaconf's objects and states of the releases, and the example script's."""
    folder = FIXTURES / 's4_variants'
    for number in (0, 25, 31, 36, 41, 44):
        with zipfile.ZipFile(folder / f'{number}.ckpt') as archive:
            for entry in archive.namelist():
                if entry.endswith('data.pkl'):
                    put('torch', f's4-{number}.pkl', archive.read(entry))
    put('checkpoint', 's4-example-unchecked.pt', without_checksums((folder / '44.ckpt').read_bytes()))


def blank(fixture, folder, checkpoint='checkpoint.pt'):
    """A checkpoint with the tensors of a fixture, all zero: its model is small when compressed."""
    listing = subprocess.run(['build/mega-convert', '--list', FIXTURES / fixture / checkpoint],
                             check=True, stdout=subprocess.PIPE, text=True).stdout
    header, at = {}, 0
    for line in listing.splitlines():
        if line.startswith('#'):
            break
        name, dtype, shape = line.split('\t')
        shape = json.loads(shape)
        size = {'f32': 4, 'f16': 2, 'i64': 8}[dtype] * math.prod(shape)
        header[name] = {'dtype': dtype.upper(), 'shape': shape, 'data_offsets': [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    path = folder / 'blank.safetensors'
    path.write_bytes(struct.pack('<Q', len(text)) + text + bytes(at))
    return path


def convert(name, checkpoint, fixture, *options):
    subprocess.run(['build/mega-convert', '-q', '--force', '--config',
                    FIXTURES / fixture / 'meta.json', *options, '-o', TOP / 'mega' / name,
                    checkpoint], check=True)


def foreign():
    """What people give in place of a checkpoint."""
    for name, content in (
            ('lfs', b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n'),
            ('html', b'<!DOCTYPE html><html></html>'), ('gguf', b'GGUF\3\0\0\0'),
            ('onnx', b'\x08\x08\x12\x07pytorch'), ('gzip', b'\x1f\x8b\x08\0'),
            ('tar', bytes(257) + b'ustar\0'), ('text', b'{"a": 1}\n'), ('empty', b'')):
        put('checkpoint', f'foreign-{name}', content)


def models():
    (TOP / 'mega').mkdir(parents=True, exist_ok=True)
    for name, fixture, options in (
            ('translator.mega', 'mt_small_chunk16',
             ('--source-dict', FIXTURES / 'mt_small_chunk16/dict.en.txt', '--target-dict',
              FIXTURES / 'mt_small_chunk16/dict.de.txt', '--tokenizer', 'moses', '--bpe-codes',
              DATA / 'bpe/codes', '--bpe-glossary', 'low')),
            ('language-model.mega', 'lm_adaptive_small',
             ('--dict', FIXTURES / 'lm_adaptive_small/dict.txt'))):
        with tempfile.TemporaryDirectory() as folder:
            convert(name, blank(fixture, pathlib.Path(folder)), fixture, *options)
    with tempfile.TemporaryDirectory() as folder:
        convert('transformer.mega', blank('xfm_mt_legacy', pathlib.Path(folder)), 'xfm_mt_legacy',
                '--source-dict', FIXTURES / 'xfm_mt_legacy/dict.en.txt', '--target-dict',
                FIXTURES / 'xfm_mt_legacy/dict.de.txt')
        convert('s4.mega', blank('s4_diag_bilinear', pathlib.Path(folder), 'checkpoint.ckpt'),
                's4_diag_bilinear', '--vocab', FIXTURES / 's4_diag_bilinear/vocab.json',
                '--keep-kernels', '24')
    fixture = FIXTURES / 'unit_statedict'
    convert('statedict.mega', fixture / 'model_state.pt', 'unit_statedict', '--dtype', 'f16',
            '--dict', fixture / 'dict.txt')
    for name, dtype in (('panels.mega', 'int8'), ('panels4.mega', 'int4')):
        convert(name, fixture / 'model_state.pt', 'unit_statedict', '--dtype', dtype,
                '--no-compress', '--dict', fixture / 'dict.txt')
    text = pathlib.Path('formats/mega/MEGA-FORMAT.md').read_text()
    dump = bytearray()
    for line in text[text.index('## Worked example'):].splitlines():
        if line.startswith('    ') and line[4:7].isalnum() and line[7:9] == '  ':
            dump += bytes.fromhex(line[9:57])
    put('mega', 'example.mega', bytes(dump))


def recordings():
    folder = TOP / 'audio'
    folder.mkdir(parents=True, exist_ok=True)
    with wave.open(str(folder / 'tone.wav'), 'wb') as out:
        out.setparams((2, 2, 11025, 0, 'NONE', ''))
        out.writeframes(struct.pack('<200h', *(i * 97 % 2000 - 1000 for i in range(200))))
    put('audio', 'tone.au', b'.snd' + struct.pack('>5I', 24, 40, 2, 8000, 1) + bytes(range(40)))
    frames = struct.pack('>40h', *range(40))
    comm = struct.pack('>hIh', 1, 40, 16) + b'\x40\x0c\xac\x44' + bytes(6)
    body = b'AIFFCOMM' + struct.pack('>I', 18) + comm + b'SSND' + struct.pack('>III', 88, 0, 0)
    put('audio', 'tone.aiff', b'FORM' + struct.pack('>I', len(body) + 80) + body + frames)
    put('audio', 'raw.pcm', bytes(1) + bytes(range(120)))
    put('audio', 'frames.mp3', b'ID3\3\0\0\0\0\0\4abcd' + (b'\xff\xf3\x18\xc4' + bytes(68)) * 5 + b'TAG')
    form = b'WAVEfmt ' + struct.pack('<IHHIIHH', 16, 1, 1, 8000, 16000, 2, 16)
    put('audio', 'placeholder.wav', b'RIFF\xff\xff\xff\xff' + form + b'data\0\0\0\0' + bytes(range(64)))
    put('audio', 'two.wav', b'RIFF\x6c\0\0\0' + form + (b'data\x20\0\0\0' + bytes(32)) * 2)


def texts():
    copy('dict', FIXTURES / 'unit_cls/dict.txt')
    put('dict', 'nasty.txt', 'a 1\n\u00e4\u00f6 2\n#fairseq:overwrite 3\na 4 #fairseq:overwrite\n'
        .encode())
    put('dict', 'no-end.txt', b'a 1\nb')
    copy('bpe', DATA / 'bpe/codes', DATA / 'bpe/codes.old')
    put('bpe', 'with-text.bpe', b'#version: 0.2\nl o\nlo w\nlow e\ne r</w>\n\0lower \xc3\xa4lower')
    codes = b'#version: 0.2\nl o\nlo w\nlow e\ne r</w>\n'
    for name, pieces, glossaries, text in (
            ('vocabulary', b'low@@\ner', b'', b'lower low lowest'),
            ('glossary', b'lo@@\nw@@', b'low\n\\d+\n[^b]', b'lower 12low3 ab\xf0\x9f\x98\x80'),
            ('passed', b'', b'(?<=(?&k)..)(?(DEFINE)(?<k>a\\K))\na*\n(?=ab\\K)', b'abcabcab lower'),
            ('half-characters', b'', b'\\C\n(?:\\C\\C)+', 'lowärü'.encode()),
            ('nested', b'', b'(a+)+[bd]\n(?:a' + b'()' * 200 + b'|b)*c', b'a' * 300 + b'c')):
        put('bpe', name + '.bpe', b'\0'.join((codes, pieces, glossaries, text)))
    copy('text', DATA / 'moses/raw.txt')
    put('text', 'ids.txt', b'1 22 333 4\n')
    for encoding in ('utf-16', 'utf-16-be', 'utf-32', 'utf-8-sig', 'latin-1'):
        put('text', encoding + '.txt', 'Fähre\r\nÜber\rGrün \x00\n'.encode(encoding))
    put('text', 'broken.txt', b'caf\xc3 \xed\xa0\x80 \xf0\x9f\x98\x80 http://x.y/?a=b "don\'t" 3.14 z.B.')


def folder():
    """config.json and the index of model folders (fuzz_folder.c)."""
    for fixture in sorted(FIXTURES.glob('hf_*')):
        if (fixture / 'config.json').exists():
            put('folder', fixture.name, b'C' + (fixture / 'config.json').read_bytes())
    config = (FIXTURES / 'hf_answer/config.json').read_bytes()
    put('folder', 'layers', b'C' + config.replace(b'"num_hidden_layers": 2,',
                                                  b'"num_hidden_layers": 2147483647,'))
    for name, place in ('index', 'b'), ('outside', '../a'), ('elsewhere', 'a'):
        put('folder', name, b'I{"weight_map":{"mega.layers.0.mega_layer.ema_gate.damping_factor":'
            b'"a.safetensors","mlm_head.bias":"%s.safetensors"}}' % place.encode())


def hub():
    """Files of tokenizers (fuzz_hub.c): the fixture's own, and small ones that use every part."""
    folder = FIXTURES / 'hf_tokenizer'
    kinds = {'tokenizer.json': b'T', 'vocab.json': b'V', 'merges.txt': b'M', 'tokenizer_config.json': b'C',
             'special_tokens_map.json': b'S'}
    for name, kind in kinds.items():
        put('hub', name, kind + (folder / name).read_bytes() + b'\0Hello <mask> w\xc3\xb6rld')
    put('hub', 'added', b'A{"<x>":11,"ab":7}\0ab<x>ab <x> ')
    piece = '{"%s":{"id":"%s","type_id":%d}}'
    template = ','.join(piece % p for p in (('SpecialToken', 'c', 0), ('Sequence', 'A', 0),
                                            ('SpecialToken', 'c', 1), ('Sequence', 'B', 1)))
    small = ('{"added_tokens":[%s],"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},'
             '"decoder":{"type":"ByteLevel"},"post_processor":%s,"model":{"vocab":{"a":0,"b":1,"ab":2,'
             '"u":3,"c":4,"aab":5},"merges":[["a","b"],["a","ab"]],"unk_token":"u","fuse_unk":%s}}')
    flags = '{"content":"%s","single_word":%s,"lstrip":%s,"rstrip":true,"normalized":%s,"special":true}'
    added = ','.join((flags % ('b b', 'true', 'true', 'false'), flags % ('x', 'false', 'true', 'true'),
                      flags % ('xx', 'true', 'false', 'true')))
    post = ('{"type":"TemplateProcessing","single":[%s],"pair":[%s],"special_tokens":{"c":{"id":"c",'
            '"ids":[4,4],"tokens":["c","c"]}}}' % (template[:template.index('},{"Sp') + 1], template))
    text = '\0aab  b b  x xx\u00e9ab \u3000x\u00a0 aaab'
    config = b'T'
    put('hub', 'template', config + (small % (added, post, 'true') + text).encode())
    put('hub', 'byte-level', config + (small % (added, '{"type":"ByteLevel","trim_offsets":true}', 'false')
                                       + text).encode())
    put('hub', 'class', b'C{"tokenizer_class":"PreTrainedTokenizerFast","model_max_length":512}\0a b')
    put('hub', 'decoder', b'C{"added_tokens_decoder":{"5":{"content":"a","rstrip":true}},"mask_token":'
        b'{"content":"<m>","lstrip":true},"additional_special_tokens":["x"]}\0a  b<m>')


def vocabularies():
    """Vocabularies of --vocab, with a text and options (fuzz_vocab.c)."""
    dna = ['<s>', '<pad>', '<unk>', '<sep>', 'A', 'C', 'G', 'T', 'ab']
    special, template = b'cls=<s>,sep=<sep>,unk=<unk>', b'cls A sep B sep'
    for name, kind, choices, vocab, text in (
            ('lines', b'H', 2 + 16, b'\n'.join(t.encode() for t in dna) + b'\n\n', b'acg<sep>Tx N\xc3\xa9'),
            ('brackets', b'H', 1, b'[PAD]\n[UNK]\n<s>\n<sep>\n<unk>\nthe', b'the  king [UNK]the'),
            ('object', b'H', 0, json.dumps({t: i for i, t in enumerate(dna)}).encode(), b'A  ab <s>C'),
            ('list', b'H', 2 + 32, b' ' + json.dumps(dna).encode(), b'aAb\xe2\x80\x83C'),
            ('bytes', b'H', 3, json.dumps(dna[:4] + [str(i) for i in range(128)]).encode(), b'a\xc3\xa9 <sep>'),
            ('latin', b'H', 3, json.dumps(dna[:4] + [chr(i) for i in range(1, 200)]).encode(), b'a\xc3\xa9'),
            ('holes', b'H', 0, b'{"a":0,"b":2,"c":2}', b'a'),
            ('deep', b'H', 0, b'[' * 3000, b'a')):
        rows = max(len(dna), vocab.count(b','), vocab.count(b'\n')) + 1
        put('vocab', name, kind + bytes([rows % 256, choices]) +
            b'\0'.join((vocab, text, special, template)))
    letters = ['<pad>', '<bos>', '<eos>', '<unk>', 'a', 'b', ' ', '(', '[MAX', ']', '7', '\u00e9', 'a']
    for name, choices, text in (('s4-text', 0 + 8, b'ab \xc3\xa9\xffz'), ('s4-lists', 4, b'( [MAX 7 a ] )\n'),
                                ('s4-bytes', 3, b'ab\xe9'), ('s4-symbols', 1, b'a  b')):
        put('vocab', name, b'S' + bytes([len(letters), choices]) +
            json.dumps(letters).encode() + b'\0' + text)
    put('vocab', 's4-number', b'S\2\0["a", 5]\0a')
    put('vocab', 's4-object', b'S\2\0{"a": 1}\0a')


def arguments(fixture):
    """Those of a fixture that mega-convert asks for."""
    sources = ''.join(f.read_text() for f in pathlib.Path('tools/convert').rglob('*.c'))
    args = json.loads((FIXTURES / fixture / 'meta.json').read_text())['args']
    return {name: value for name, value in args.items() if f'"{name}"' in sources}


def configurations():
    """The numbers of the checkpoints are those of fuzz_config.c."""
    fixtures = ('unit_statedict', 'unit_syncbatchnorm_image', 'image_small_linear',
                'mt_small_chunk16', 'lm_adaptive_small', 'lm_trunc_nochunk_small', 'xfm_lra_imdb',
                'xfm_mt_legacy', 'xfm_lm_adaptive_untied', 's4_example_dplr', 's4_diag_bilinear')
    for number, fixture in enumerate(fixtures):
        whole = {'fuzz': {'checkpoint': number}, 'args': arguments(fixture)}
        put('config', fixture + '.json', json.dumps(whole).encode())

    def variant(name, number, fuzz, **changes):
        args = {**arguments(fixtures[number]), **changes}
        whole = {'fuzz': {'checkpoint': number, **fuzz}, 'args': args}
        put('config', name + '.json', json.dumps(whole).encode())

    variant('moses', 3, {'moses': True, 'bpe': True, 'text': 'He said: "Don\'t!" 3.5 % (lower)'})
    variant('languages', 3, {'moses': True, 'source-lang': 'de', 'target-lang': 'xx'})
    variant('audio', 1, {'audio-mean': 0.5, 'audio-rate': 8000}, input_type='audio')
    variant('no-statistics', 1, {'chunk': 0}, input_type='audio')
    variant('pixels', 1, {}, pixel_mean=[0.5], pixel_std=0.25, pixel_normalization=[0.1, 0.2])
    variant('colours', 2, {}, pixel_mean=[0.5, 0.4, 0.3], pixel_std=[1, 2, 3], labels=['a'] * 7)
    variant('no-square', 1, {}, max_positions=7, max_source_positions=7)
    variant('labels', 0, {'no-dict': True}, labels=[f'label {i}' for i in range(10)])
    variant('no-labels', 0, {}, labels=['a', 1, None])
    variant('wrong-norm', 0, {}, normalization_type='scalenorm', norm_type='scalenorm')
    variant('wrong-pooling', 0, {}, sen_rep_type='max')
    variant('wrong-count', 4, {}, decoder_layers=3)
    variant('no-heads', 6, {}, encoder_attention_heads=7)
    variant('learned', 7, {}, encoder_learned_pos=True, encoder_normalize_before=False)
    variant('no-vocabulary', 10, {'no-dict': True}, decoder={'_name_': 'sequence', 'mode': 'sum'})
    variant('transforms', 10, {'text': 'abc'}, model={'layer': {'_name_': 's4', 'mode': 'diag',
            'dt_transform': 'softplus', 'imag_transform': 'exp', 'bandlimit': 0.5}})
    put('config', 'no-arguments.json', b'{"fuzz": {"checkpoint": 3}}')
    put('config', 'small.json', b'{"activation_fn": "silu", "encoder_layers": 2, "a": [1, null]}')


def bitmap(name, bits, pixels, compression=0, height=5, header=40, extra=b''):
    """7 pixels wide; extra: masks or a palette."""
    head = struct.pack('<IiiHHIIiiII', 40, 7, height, 1, bits, compression, 0, 0, 0, 0, 0)
    head = struct.pack('<I', header) + head[4:] + extra
    put('image', name, b'BM' + struct.pack('<III', 0, 0, 14 + len(head)) + head + pixels)


def bitmaps():
    """What stands for each depth, and both kinds of runs."""
    count = bytes(range(7 * 5 * 4))
    colours = bytes(range(64))
    bitmap('top-down.bmp', 24, count + bytes(20), height=-5)
    bitmap('masks.bmp', 32, count, 3, 5, 56,
           struct.pack('<IIII', 0xff0000, 0xff00, 0xff, 0xff000000))
    bitmap('sixteen.bmp', 16, count[:80], 3, 5, 40, struct.pack('<III', 0xf800, 0x7e0, 0x1f))
    for bits in 1, 2, 4:
        bitmap(f'palette-{bits}.bmp', bits, bytes(20), extra=colours[:4 << bits])
    bitmap('rle8.bmp', 8, b'\7\1\0\0\0\5\1\2\3\4\5\0\2\0\0\0\0\2\2\1\3\2\0\1', 1,
           extra=colours * 16)
    bitmap('rle4.bmp', 4, b'\7\x12\0\0\0\5\x12\x34\x50\0\2\0\0\0\0\2\2\1\3\x22\0\1', 2,
           extra=colours)
    old = struct.pack('<IHHHH', 12, 7, 5, 1, 4) + colours[:48]
    put('image', 'os2.bmp', b'BM' + struct.pack('<III', 0, 0, 14 + len(old)) + old + bytes(20))


def turned():
    """Orientations in Exif data of both orders of bytes, and in an XMP packet."""
    exif = b'II*\0\x08\0\0\0' + struct.pack('<HHHII', 1, 0x112, 3, 1, 6) + bytes(4)
    other = b'MM\0*\0\0\0\x08' + struct.pack('>HHHII', 1, 0x112, 4, 1, 3) + bytes(4)
    xmp = b'http://ns.adobe.com/xap/1.0/\0<a tiff:Orientation="8"/>'
    jpeg = (DATA / 'inputs/gray.jpg').read_bytes()
    for name, body in (('exif.jpg', b'Exif\0\0' + exif), ('exif-big.jpg', b'Exif\0\0' + other),
                       ('xmp.jpg', xmp)):
        segment = b'\xff\xe1' + struct.pack('>H', len(body) + 2) + body
        put('image', name, jpeg[:2] + segment + jpeg[2:])
    png = (DATA / 'inputs/one-bit.png').read_bytes()
    chunk = struct.pack('>I', len(exif)) + b'eXIf' + exif
    chunk += struct.pack('>I', zlib.crc32(chunk[4:]))
    put('image', 'exif.png', png[:33] + chunk + png[33:])


def others():
    import_npy = FIXTURES / 'unit_cls'
    copy('npy', import_npy / 'in.0.tokens.npy', import_npy / 'out.0.logits.npy')
    header = b"{'descr': '>f8', 'fortran_order': True, 'shape': (2, 3), }"
    put('npy', 'fortran.npy', b'\x93NUMPY\2\0' + struct.pack('<I', len(header) + 1) + header +
        b'\n' + struct.pack('>6d', *range(6)))
    bitmaps()
    turned()
    for name in ('baseline.jpg', 'progressive.jpg', 'gray.jpg', 'cmyk.jpg', 'ycck.jpg',
                 'colour.bmp', 'gray-16.png',
                 'palette.png', 'one-bit.png', 'rgba.png', 'gray-alpha.png'):
        copy('image', DATA / 'inputs' / name)


def raw_inputs():
    """Choices of a random model and of options, and after them the bytes of an input."""
    draw = random.Random(1)
    inputs = [b'The "newest" lower, don\'t 3.5 %', b'source one\ttarget two', b'5 6 7 4 5', b'',
              'gr\u00fc\u00dfe \u2581 \U0001f600 &quot;'.encode(), b'\xff\xfe\x80a', bytes(600),
              bytes(draw.randrange(256) for _ in range(2000)),
              (DATA / 'inputs/one-bit.png').read_bytes(),
              struct.pack('<500f', *(math.sin(n) for n in range(500)))]
    for number in range(60):
        choices = bytes(draw.randrange(256) for _ in range(draw.randrange(255)))
        put('pipeline', f'{number:02}', bytes([len(choices)]) + choices + inputs[number % 10])


if __name__ == '__main__':
    for seed in TOP.glob('*/*'):
        if not seed.name.startswith(('found-', 'fuzz-')):
            seed.unlink()
    for make in (archives, checkpoints, training_runs, state_spaces, foreign, models, recordings, texts,
                 configurations, folder, hub, vocabularies, others, raw_inputs):
        make()
    if shutil.which('du'):
        subprocess.run(['du', '-sh', '--apparent-size', TOP], check=False)
