#!/usr/bin/env python3
"""Compares random MEGA models in mega-run and in the Hugging Face library: hf.py [COUNT [SEED]]

Needs torch and transformers==4.40.2, the last version that has these models, for instance in a
virtual environment; it is not part of 'make test'. Each model has a random class and configuration,
random weights that are wide enough for every tensor to matter, and is saved as safetensors or .bin,
whole or in parts, in single or half precision. mega-convert reads the folder, and 'mega-run forward'
must give what the class gives, within 1e-4 of the largest value. A length that is not a multiple of the
chunk size, which the library refuses, is padded for it and masked. MEGA_BUILD names the folder of the
programs (build).
"""
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers

BUILD = pathlib.Path(os.environ.get('MEGA_BUILD', 'build')).resolve()
CLASSES = ('MegaModel', 'MegaForMaskedLM', 'MegaForCausalLM', 'MegaForSequenceClassification',
           'MegaForTokenClassification', 'MegaForQuestionAnswering', 'MegaForMultipleChoice')
TOLERANCE = 1e-4


def random_config(rng, name):
    """A configuration that the library itself can run, and a length for it."""
    decoder = name == 'MegaForCausalLM' or rng.random() < 0.15
    simple = rng.random() < 0.5
    chunk = rng.choice([4, 8, 16])
    chunked = rng.random() < 0.35 and not decoder
    cache = rng.random() < 0.7
    length = rng.randint(1, 90) if rng.random() < 0.95 else rng.randint(1000, 3000)
    positions = max(length, chunk, rng.randint(90, 130))
    config = dict(
        vocab_size=rng.randint(20, 90), hidden_size=2 * rng.randint(2, 20),
        num_hidden_layers=rng.randint(1, 3), intermediate_size=rng.randint(3, 40),
        ema_projection_size=rng.randint(1, 9), shared_representation_size=2 * rng.randint(1, 10),
        bidirectional=not (decoder and cache) and rng.random() < 0.7, use_chunking=chunked,
        chunk_size=chunk if chunked else rng.choice([-1, -1, rng.randint(length, positions)]),
        truncation=rng.choice([None, None, rng.randint(1, 40)]),
        normalize_before_mega=rng.random() < 0.6, normalize_before_ffn=rng.random() < 0.6,
        normalization_type=rng.choice(['scalenorm', 'layernorm', 'rmsnorm', 'batchnorm',
                                       'syncbatchnorm']),
        norm_affine=rng.random() < 0.8,
        activation=rng.choice(['silu', 'relu', 'linear', 'tanh', 'sigmoid', 'gelu', 'gelu_accurate',
                               'gelu_new', 'gelu_fast', 'gelu_pytorch_tanh', 'swish',
                               'gelu_python']),
        attention_activation=rng.choice(['softmax', 'laplace', 'relu2']),
        use_normalized_ffn=rng.random() < 0.8, nffn_hidden_size=rng.randint(1, 40),
        max_positions=positions,
        add_token_type_embeddings=rng.random() < 0.3, type_vocab_size=rng.randint(1, 3),
        relative_positional_bias='simple' if simple else 'rotary',
        add_lm_hidden_dense_layer=rng.random() < 0.5, is_decoder=decoder,
        tie_word_embeddings=rng.random() < 0.6, num_labels=rng.randint(1, 5),
        use_cache=cache)
    if name == 'MegaForQuestionAnswering':
        config['num_labels'] = 2
    return transformers.MegaConfig(**config), length


def widen(model, generator):
    """Random weights, so that every tensor changes the result."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith('running_var'):
                tensor.copy_(0.5 + noise.abs())
            elif 'ema_gate' in name:
                tensor.copy_(noise * (0.5 if 'factor' in name else 0.7))
            elif name.endswith(('norm.weight', 'scalar')):
                tensor.copy_(1 + 0.3 * noise)
            elif tensor.dim() == 2:
                tensor.copy_(noise * min(1.0, 1.2 / tensor.shape[1] ** 0.5))
            else:
                tensor.copy_(0.3 * noise)
    if hasattr(model, 'tie_weights'):
        model.tie_weights()


def expected(model, name, ids, types):
    """The outputs of the class, with the pooled vector of a bare model."""
    config, length = model.config, len(ids)
    padding = -length % config.chunk_size if config.use_chunking and length > config.chunk_size else 0
    given = dict(input_ids=torch.tensor([ids + padding * [0]]),
                 token_type_ids=torch.tensor([types + padding * [0]]))
    if padding:
        given['attention_mask'] = torch.tensor([length * [1] + padding * [0]])
    with torch.no_grad():
        if name == 'MegaForMultipleChoice':
            out = model(**{key: value[None] for key, value in given.items()}).logits[0]
            return out.numpy(), None
        out = model(**given)
    if name == 'MegaModel':
        return out.last_hidden_state[0][:length].numpy(), out.pooler_output[0].numpy()
    if name == 'MegaForQuestionAnswering':
        return torch.stack([out.start_logits[0], out.end_logits[0]], 1)[:length].numpy(), None
    if name == 'MegaForSequenceClassification':
        return out.logits[0].numpy(), None
    return out.logits[0][:length].numpy(), None


def distance(want, got):
    return float(np.abs(want.reshape(got.shape) - got).max()) / max(1, float(np.abs(want).max()))


def check(number, seed, folder):
    rng = random.Random(seed)
    name = CLASSES[number % len(CLASSES)]
    config, length = random_config(rng, name)
    model = getattr(transformers, name)(config).eval()
    widen(model, torch.Generator().manual_seed(seed))
    model.to(rng.choice(4 * [torch.float32] + [torch.float16, torch.bfloat16]))
    model.save_pretrained(folder, safe_serialization=rng.random() < 0.5,
                          max_shard_size=rng.choice(['5GB', '20KB', '60KB']))
    model.float()
    ids = [rng.randrange(config.vocab_size) for _ in range(length)]
    types = [rng.randrange(config.type_vocab_size) for _ in range(length)]
    if config.is_decoder:
        types = [0] * length
    np.save(folder / 'ids.npy', np.array(ids, np.int64))
    np.save(folder / 'types.npy', np.array(types, np.int64))
    subprocess.run([BUILD / 'mega-convert', '-q', folder, '-o', folder / 'model.mega'], check=True)
    with_types = [] if name == 'MegaForCausalLM' else ['--types', folder / 'types.npy']
    forward = [BUILD / 'mega-run', 'forward', '-m', folder / 'model.mega', '--in', folder / 'ids.npy',
               *with_types, '-o', folder / 'out.npy']
    subprocess.run(forward, check=True)
    want, pooled = expected(model, name, ids, types)
    difference = distance(want, np.load(folder / 'out.npy'))
    if pooled is not None:
        subprocess.run([*forward, '--stage', 'pooled'], check=True)
        difference = max(difference, distance(pooled, np.load(folder / 'out.npy')))
    if difference <= TOLERANCE:
        return difference, True
    print(f'model {number}, seed {seed}: {name} differs by {difference:.2e}: {config}')
    return difference, False


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    # The library's initialisation fails for norms without weights; widen() replaces it anyway.
    transformers.MegaPreTrainedModel._init_weights = lambda *ignored: None
    failed, worst = 0, 0.0
    for number in range(count):
        with tempfile.TemporaryDirectory() as folder:
            difference, good = check(number, first + number, pathlib.Path(folder))
        failed += not good
        worst = max(worst, difference)
    print(f'{count} models, {failed} differ, largest difference {worst:.2e}')
    sys.exit(1 if failed else 0)


main()
