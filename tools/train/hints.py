"""Hints for a classifier that reads bytes: which classes single words speak for.

A linear classifier of words and pairs of words learns in a minute which class each speaks for. A
model that reads bytes first has to find out what a word is, and has only one label a text to learn
from. Hints are further targets: at the end of every word, the model also learns the weights that
the linear classifier gives to that word and to the pair that it ends.
"""

import collections
import re

import torch
from torch.nn import functional as F

WORD = re.compile(rb"[A-Za-z0-9'\x80-\xff]+|[!?]")
LEAST = 5           # rarer words and pairs, which fewer texts have, are left out
STEPS, BATCH, RATE, DECAY = 400, 500, 0.01, 1e-5  # training of the linear classifier


def words_of(text):
    """[(word or pair of words, place of its last byte)] of a text in bytes"""
    found, before = [], None
    for match in WORD.finditer(text):
        word = match.group().lower()
        found.append((word, match.end() - 1))
        if before is not None:
            found.append((before + b' ' + word, match.end() - 1))
        before = word
    return found


class Hints:
    """A linear classifier of words, learnt from ``texts`` (bytes) of the classes ``targets``."""

    def __init__(self, texts, targets, classes, seed):
        texts = [words_of(text) for text in texts]
        counts = collections.Counter()
        for text in texts:
            counts.update({word for word, _ in text})
        common = [word for word, count in counts.items() if count >= LEAST]
        self.numbers = {word: number for number, word in enumerate(common)}
        self.weights = torch.zeros(len(common), classes)
        self.bias = torch.zeros(classes)
        self.learn([torch.tensor(sorted({self.numbers[word] for word, _ in text
                                         if word in self.numbers}), dtype=torch.long)
                    for text in texts], targets, seed)
        self.weights -= self.weights.mean(1, keepdim=True)
        values = torch.cat([self.values(text)[1] for text in texts])
        self.deviation = values.std().item() + 1e-12

    def logits(self, rows):
        """Logits of texts, each given by the numbers of its words."""
        lengths = torch.tensor([len(row) for row in rows])
        begins = lengths.cumsum(0) - lengths
        sums = F.embedding_bag(torch.cat(rows), self.weights, begins, mode='sum')
        return sums / lengths.clamp(min=1).sqrt()[:, None] + self.bias

    def learn(self, rows, targets, seed):
        generator = torch.Generator().manual_seed(seed)
        parameters = [self.weights.requires_grad_(), self.bias.requires_grad_()]
        optimiser = torch.optim.Adam(parameters, lr=RATE)
        for _ in range(-(-STEPS * BATCH // len(rows))):
            for chosen in torch.randperm(len(rows), generator=generator).split(BATCH):
                loss = F.cross_entropy(self.logits([rows[i] for i in chosen]), targets[chosen])
                loss = loss + DECAY * self.weights.square().sum()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        for parameter in parameters:
            parameter.requires_grad_(False)

    def accuracy(self, texts, targets):
        """Percentage of texts (bytes) that the linear classifier gets right."""
        rows = [torch.tensor([self.numbers[word] for word in {word for word, _ in words_of(text)}
                              if word in self.numbers], dtype=torch.long) for text in texts]
        return 100.0 * (self.logits(rows).argmax(1) == targets).float().mean().item()

    def values(self, found):
        """Places where words end, and the sums of the weights that end there (places, classes)."""
        ends = sorted({end for _, end in found})
        where = {end: row for row, end in enumerate(ends)}
        known = [(where[end], self.numbers[word]) for word, end in found if word in self.numbers]
        values = torch.zeros(len(ends), self.weights.size(1))
        if known:
            rows, numbers = map(torch.tensor, zip(*known))
            values.index_add_(0, rows, self.weights[numbers])
        return torch.tensor(ends, dtype=torch.long), values

    def __call__(self, text):
        """Places in a text (bytes), and the targets there, scaled to a deviation of 1."""
        ends, values = self.values(words_of(text))
        return ends, values / self.deviation
