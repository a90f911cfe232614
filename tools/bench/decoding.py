"""Token by token decoding in PyTorch with the models of tools/train/sequence.py, for compare.py.

Training does not need this, so tools/train does not have it. Between steps it keeps EMA states,
keys and values of the tokens read so far, and the source's keys and values. Beams are rows of a
batch, which index_select reorders. `check` compares it with the full forward pass.
"""

import torch
from torch.nn import functional as F

from shapes import sequence

EOS = 2


class _LayerState:
    """Constants and memory of one layer. Rows are sequences, all at the same position."""

    def __init__(self, layer, rows, room, masked):
        attention = layer.mega_layer
        move = attention.move
        p, q = torch.sigmoid(move.delta), torch.sigmoid(move.alpha)
        dim, states = move.gamma.shape
        z, h = attention.gamma.size(1), attention.v_proj.out_features
        self.layer = layer
        self.decay = (1 - p * q).squeeze(-1)
        self.input = (p * move.beta).squeeze(-1)
        self.output = move.gamma * states ** -0.5
        # The scale of the scores is part of gamma and beta of q.
        self.q_gamma, self.q_beta = (t[0] * z ** -0.5 for t in (attention.gamma, attention.beta))
        self.bias = attention.rel_pos_bias(room)
        if masked:
            self.bias = self.bias + torch.full((room, room), float('-inf')).triu(1)
        self.masked = masked
        self.average = torch.zeros(rows, dim, states)
        self.keys, self.values = torch.zeros(rows, room, z), torch.zeros(rows, room, h)

    def read_source(self, encoded, beam, room):
        cross = self.layer.cross_attn
        self.source_keys = cross.k_proj(encoded).repeat_interleave(beam, 0)
        self.source_values = F.silu(cross.v_proj(encoded)).repeat_interleave(beam, 0)
        self.cross_bias = cross.rel_pos_bias(room, encoded.size(1))

    def remember(self, k, v, place):
        """Store the token at `place` of its chunk; return keys, values and bias up to there."""
        if self.masked:
            self.keys.index_copy_(1, place, k.unsqueeze(1))
            self.values.index_copy_(1, place, v.unsqueeze(1))
            return self.keys, self.values, self.bias.index_select(0, place)
        self.keys[:, place], self.values[:, place] = k, v
        return (self.keys[:, :place + 1], self.values[:, :place + 1],
                self.bias[place:place + 1, :place + 1])

    def gated_attention(self, x, place):
        """The layer's gated attention of one token in each row of x (rows, dim)."""
        attention = self.layer.mega_layer
        normed = attention.norm(x)
        v = F.silu(attention.v_proj(normed))
        self.average.mul_(self.decay).addcmul_(normed.unsqueeze(-1), self.input)
        y = (self.average * self.output).sum(-1)
        m = F.silu(y + attention.move.omega * normed)
        update, z, reset, candidate = attention.mx_proj(m).split(attention.sizes, dim=-1)
        z = F.silu(z)
        keys, values, bias = self.remember(z * attention.gamma[1] + attention.beta[1], v, place)
        q = (z * self.q_gamma + self.q_beta).unsqueeze(1)
        scores = torch.bmm(q, keys.transpose(1, 2)) + bias
        attended = torch.bmm(F.softmax(scores, dim=-1), values).squeeze(1)
        h = F.silu(candidate + attention.h_proj(attended * F.silu(reset)))
        return x + torch.sigmoid(update) * (h - x)

    def cross_attention(self, x, position):
        cross = self.layer.cross_attn
        update, reset, q = cross.q_proj(cross.norm(x)).split(cross.sizes, dim=-1)
        q = (q * q.size(-1) ** -0.5).unsqueeze(1)
        scores = torch.bmm(q, self.source_keys.transpose(1, 2))
        scores = scores + (self.cross_bias.index_select(0, position) if self.masked
                           else self.cross_bias[position:position + 1])
        attended = torch.bmm(F.softmax(scores, dim=-1), self.source_values).squeeze(1)
        h = F.silu(cross.h_proj(attended * F.silu(reset)))
        return x + torch.sigmoid(update) * (h - x)

    def select(self, parents, used):
        self.average = self.average.index_select(0, parents)
        self.keys[:, :used] = self.keys[:, :used].index_select(0, parents)
        self.values[:, :used] = self.values[:, :used].index_select(0, parents)


class IncrementalDecoder:
    """A decoder that reads one token in each row at a time.

    `room` is the length of the longest sequence, for a decoder without chunks. If `compiled`, every
    step has the same shapes: it attends to all of the room, of which the future is masked.
    """

    def __init__(self, decoder, rows, room, compiled=False):
        chunk = decoder.layers[0].mega_layer.chunk
        self.decoder = decoder
        self.room = chunk or room
        self.scale = decoder.embed_tokens.embedding_dim ** 0.5
        self.layers = [_LayerState(layer, rows, self.room, compiled) for layer in decoder.layers]
        self.position = 0
        self.cross = False
        self.compiled = compiled
        self.run = torch.compile(self.logits, dynamic=False) if compiled else self.logits

    def read_source(self, encoded, beam):
        self.cross = True
        for state in self.layers:
            state.read_source(encoded, beam, self.room)

    def restart(self):
        """Go back to position 0; keys and values that remain are never read."""
        self.position = 0
        for state in self.layers:
            state.average.zero_()

    def pretend_to_have_read(self, position):
        """Go to `position`; the keys of the tokens before it are random, which costs the same."""
        self.position = position
        for state in self.layers:
            for memory in (state.average, state.keys, state.values):
                memory.normal_()

    def logits(self, tokens, place, position):
        x = self.decoder.embed_tokens(tokens) * self.scale
        for state in self.layers:
            x = state.gated_attention(x, place)
            if self.cross:
                x = state.cross_attention(x, position)
            x = state.layer.nffn(x)
        return self.decoder.output_projection(self.decoder.final_norm(x))

    def step(self, tokens):
        """Read tokens (rows); return logits (rows, vocabulary)."""
        place, position = self.position % self.room, self.position
        self.position += 1
        if self.compiled:
            place, position = torch.tensor([place]), torch.tensor([position])
        return self.run(tokens, place, position)

    def select(self, parents):
        used = (self.position - 1) % self.room + 1
        for state in self.layers:
            state.select(parents, used)


# ---- Searches -----------------------------------------------------------------------------------

class Translator:
    """Translates `batch` sources of one length at a time, each into `tokens` tokens.

    The decoder is kept from call to call, and compiled code with it.
    """

    def __init__(self, model, batch, beam, tokens, compiled=False):
        self.encoder = torch.compile(model.encoder, dynamic=False) if compiled else model.encoder
        self.decoder = IncrementalDecoder(model.decoder, batch * beam, tokens, compiled)
        self.batch, self.beam, self.tokens = batch, beam, tokens

    def read(self, sources):
        """Encode sources (batch, length) and give them to the decoder."""
        self.decoder.restart()
        self.decoder.read_source(self.encoder(sources, torch.ones(*sources.shape, 1)), self.beam)

    def translate(self, sources):
        """The best hypothesis of each source (batch, tokens), </s> included."""
        batch, beam = self.batch, self.beam
        self.read(sources)
        read = torch.full((batch * beam,), EOS)
        made = torch.empty(batch * beam, 0, dtype=torch.long)
        scores = torch.zeros(batch, beam)
        scores[:, 1:] = float('-inf')  # all beams are alike at first, so only one counts
        for t in range(self.tokens):
            logits = _barred(self.decoder.step(read), t == self.tokens - 1)
            if beam == 1:
                read = logits.argmax(-1)
                made = torch.cat([made, read.unsqueeze(1)], dim=1)
                continue
            sums = F.log_softmax(logits, dim=-1).view(batch, beam, -1) + scores.unsqueeze(-1)
            vocabulary = sums.size(-1)
            scores, best = sums.flatten(1).topk(beam, dim=-1)
            parents = (best // vocabulary + torch.arange(batch).unsqueeze(1) * beam).flatten()
            read = (best % vocabulary).flatten()
            made = torch.cat([made.index_select(0, parents), read.unsqueeze(1)], dim=1)
            if t < self.tokens - 1:
                self.decoder.select(parents)
        return made.view(batch, beam, -1)[:, 0]


def _barred(logits, last):
    """Logits that force the length: </s> is possible as the last token only, <pad> never."""
    logits[:, :2] = float('-inf')
    if last:
        logits[:, 3:] = float('-inf')
    else:
        logits[:, EOS] = float('-inf')
    return logits


# ---- The check ----------------------------------------------------------------------------------

def check(model, vocabulary, length, source_length=0, compiled=False):
    """The largest difference between logits token by token and those of the full pass."""
    torch.manual_seed(3)
    ids = torch.randint(4, vocabulary, (2, length))
    if source_length:
        sources = torch.randint(4, vocabulary, (2, source_length))
        whole = model(sources, ids)
        translator = Translator(model, 2, 1, length, compiled)
        translator.read(sources)
        decoder = translator.decoder
    else:
        whole = model(ids)
        decoder = IncrementalDecoder(model.decoder, 2, length, compiled)
    steps = torch.stack([decoder.step(ids[:, t]) for t in range(length)], dim=1)
    return (steps - whole).abs().max().item()
