"""How a token is drawn: the distribution that temperature, top-k and top-p leave, and a race between its outcomes.

Outcome v of a distribution p wins with probability p_v if each runs for a time -log(u_v) / p_v and the shortest time
wins. The u are uniform numbers from the rollout's own generator, V a token, so that a draw depends on nothing but its
seed and the logits; where another batch rounds the logits differently, the winner changes only if two outcomes were
that close.

Axes: n rows, V vocabulary. A new way to restrict the distribution goes into `log_distribution`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mopd_core.types import Sampling


def log_distribution(logits: Tensor, sampling: Sampling) -> Tensor:
    """Log-probabilities [n, V], nats, of what is drawn from: logits [n, V] over temperature, then top-k, then top-p.

    What is cut has -inf and the rest is normalised again. Top-p keeps the fewest outcomes that hold `top_p` of what
    top-k left. Outcomes tied with the last one kept stay too. Temperature 0 puts everything on the largest logit.
    """
    if sampling.temperature == 0:
        return torch.full_like(logits, -torch.inf).scatter_(-1, logits.argmax(-1, keepdim=True), 0.0)
    logits = logits / sampling.temperature
    if 0 < sampling.top_k < logits.shape[-1]:
        last = logits.topk(sampling.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < last, -torch.inf)
    if sampling.top_p < 1:
        ranked = logits.sort(dim=-1, descending=True).values
        p = ranked.softmax(-1)
        kept = (p.cumsum(-1) - p < sampling.top_p).sum(-1, keepdim=True)
        logits = logits.masked_fill(logits < ranked.gather(-1, kept - 1), -torch.inf)
    return logits.log_softmax(-1)


class Races:
    """The running times of every row's outcomes, a token at a time, from one generator a row."""

    def __init__(self, seeds: Sequence[int], vocabulary: int, device: torch.device) -> None:
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self._uniform = torch.empty(len(seeds), vocabulary, dtype=torch.float64, device=device)

    def log_times(self) -> Tensor:
        """Logs [n, V] of every row's next unit-rate running times."""
        # Uniform numbers and one vectorised log are several times faster than `exponential_`, and 53 bits reach
        # outcomes of any probability, where 24 would lose those below 1e-7.
        for row, generator in zip(self._uniform, self._generators, strict=True):
            row.uniform_(generator=generator)
        return self._uniform.log_().neg_().float().log_()

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only."""
        self._generators = [self._generators[row] for row in rows]
        self._uniform = self._uniform[: len(rows)]


def draw(log_probs: Tensor, log_times: Tensor) -> tuple[Tensor, Tensor]:
    """The winners [n] of races between outcomes with log_probs [n, V], and their log-probabilities [n]."""
    tokens = (log_probs - log_times).argmax(-1)
    return tokens, log_probs.gather(-1, tokens[:, None])[:, 0]
