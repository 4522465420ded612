"""A transformer over latents that reads a text and a voice before its first frame.

The text's characters go through convolutions, which see both ways, and what comes out lies before the frames among the
keys and values of every layer, with the voice as one token more. They are computed once for an utterance.

Rotary positions lay the text along the time axis: character i has the position i · p, where p, the pace in frames a
character, is foretold from text and voice. What a frame says then stands about where the frame itself does, so that
attention begins at the diagonal and has only to correct it; with characters one position apart, it has to find the
place from nothing.

A padded character is a key that nobody sees and a zero to the convolutions, so that it changes nothing.

References:
    Vaswani et al. 2017 (arXiv 1706.03762); Su et al. 2021 (RoPE, arXiv 2104.09864); Tachibana et al. 2017 (attention
    along the diagonal, arXiv 1710.08969).
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.layers import ROTARY_BASE, BackboneConfig, Block, State, Transformer, rotated
from bench.metrics.intelligibility import normalise

ALPHABET = " abcdefghijklmnopqrstuvwxyz0123456789"
OTHER, SYMBOLS = len(ALPHABET) + 1, len(ALPHABET) + 2
"""The symbol of any other letter; how many there are, with 0 for padding."""
KERNEL = 5
MOST_PACE = 1.0
"""A foretold pace is within e^±MOST_PACE of that of the training set."""


def symbols(text: str) -> Tensor:
    """Symbols (L,) of a transcript: its letters without accents, a space before, between and after words.

    >>> symbols("It’s a…").tolist()
    [1, 10, 21, 20, 1, 2, 1]
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", normalise(text)) if not unicodedata.combining(c))
    known = {letter: index for index, letter in enumerate(ALPHABET, start=1)}
    return torch.tensor([known.get(c, OTHER) for c in f" {plain} "] if plain else [], dtype=torch.int64)


def padded(rows: Sequence[Tensor]) -> Tensor:
    """Symbols of several texts (B, L), 0 after the end."""
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def voice_of(u: Tensor) -> Tensor:
    """Mean and deviation over time of whitened frames (T, D): (2 D,)."""
    return torch.cat([u.mean(0), u.std(0, unbiased=False)])


@dataclass(frozen=True)
class Prompt:
    """What is to be said and by whom: `symbols` (B, L), `voice` (B, 2 D), and which rows are told both (B,)."""

    symbols: Tensor
    voice: Tensor
    told: Tensor

    def to(self, device: torch.device) -> Prompt:
        """The same prompt there."""
        return Prompt(self.symbols.to(device), self.voice.to(device), self.told.to(device))

    @property
    def letters(self) -> Tensor:
        """Which symbols are no padding, (B, L); none in a row that is told nothing."""
        return (self.symbols > 0) & self.told[:, None]


class TextEncoder(nn.Module):
    """Residual convolutions over symbols."""

    def __init__(self, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(SYMBOLS, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.convolutions = nn.ModuleList(nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)

    def forward(self, symbols: Tensor, letters: Tensor) -> Tensor:
        """(B, L) twice → (B, L, W), zero where there is no letter."""
        real = letters.unsqueeze(-1)
        x = self.embed(symbols) * real
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            heard = convolution((norm(x) * real).transpose(1, 2)).transpose(1, 2)
            x = (x + self.dropout(F.gelu(heard))) * real
        return x


class PrefixTransformer(Transformer):
    """A causal transformer whose layers also attend to what a prompt says; without a prompt, to a token for none.

    Its state is (positions seen (B,), which prefix tokens are real (B, P), keys and values of each layer).

    Args:
        inputs: D.
        config: of a transformer, `context` 0.
        text_layers: convolutions over the text.
    """

    pace: Tensor

    def __init__(self, inputs: int, config: BackboneConfig, text_layers: int) -> None:
        super().__init__(inputs, config)
        self.blocks = nn.ModuleList(PrefixBlock(config) for _ in range(config.layers))
        self.text = TextEncoder(config.width, text_layers, config.dropout)
        self.voice = nn.Linear(2 * inputs, config.width)
        self.untold = nn.Parameter(torch.randn(config.width) * 0.02)
        self.hurry = nn.Linear(config.width + 2 * inputs, 1)
        nn.init.zeros_(self.hurry.weight)
        nn.init.zeros_(self.hurry.bias)
        self.register_buffer("pace", torch.ones(()))

    def start(self, batch: int, prompt: Prompt | None = None) -> tuple[Tensor, State]:
        features, state = self._run(self.first.expand(batch, 1, -1), self.before(batch, prompt)[0])
        return features[:, 0], state

    def shifted(self, inputs: Tensor, prompt: Prompt | None = None) -> Tensor:
        return self.shifted_and_paced(inputs, prompt)[0]

    def shifted_and_paced(self, inputs: Tensor, prompt: Prompt | None) -> tuple[Tensor, Tensor]:
        """Features (B, T, W) before each input, and the logarithm (B,) of the pace that was foretold."""
        first = self.first.expand(len(inputs), 1, -1)
        state, pace = self.before(len(inputs), prompt)
        return self._run(torch.cat([first, self.project(inputs[:, :-1])], 1), state)[0], pace

    def before(self, batch: int, prompt: Prompt | None) -> tuple[State, Tensor]:
        """The state before the first frame, and the logarithm (B,) of the pace in frames a character."""
        device = self.first.device
        if prompt is None:
            # one padded symbol: convolutions want a length
            empty = torch.zeros(batch, 1, dtype=torch.int64, device=device)
            voice = torch.zeros(batch, self.voice.in_features, device=device)
            prompt = Prompt(empty, voice, torch.zeros(batch, dtype=torch.bool, device=device))
        letters, told = prompt.letters, prompt.told[:, None]
        text = self.text(prompt.symbols, letters)
        heard = text.sum(1) / letters.sum(1, keepdim=True).clamp(min=1)
        pace = torch.tanh(self.hurry(torch.cat([heard, prompt.voice * told], -1)).squeeze(-1))
        pace = self.pace.log() + MOST_PACE * pace
        voice = torch.where(told, self.voice(prompt.voice), self.untold)
        tokens = torch.cat([voice.unsqueeze(1), text], 1)
        # the loss of the frames would bend the pace to its own ends
        along = torch.arange(letters.shape[1], device=device) * pace.detach().exp()[:, None]
        positions = torch.cat([along.new_zeros(batch, 1), along], 1)
        real = torch.cat([torch.ones_like(told), letters], 1)
        out = [torch.zeros(batch, dtype=torch.int64, device=device), real]
        for block in self.blocks:
            out += cast(PrefixBlock, block).remembered(tokens, positions)
        return tuple(out), pace

    def _run(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        state = self.before(len(x), None)[0] if state is None else state
        seen, real, frames = int(state[0][0]), state[1], x.shape[1]
        time = torch.arange(seen + frames, device=x.device)
        past = (time[None] <= time[seen:, None]).expand(len(x), -1, -1)
        mask = torch.cat([real[:, None].expand(-1, frames, -1), past], 2).unsqueeze(1)
        out = [state[0] + frames, real]
        for index, block in enumerate(self.blocks):
            x, *kept = cast(PrefixBlock, block).attending(x, state[2 + 2 * index : 4 + 2 * index], seen, mask)
            out += kept
        return self.norm(x), tuple(out)


class PrefixBlock(Block):
    """A block of a transformer with keys and values of its own for what is told before the frames."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__(config)
        self.before_prefix = nn.LayerNorm(config.width)
        self.prefix = nn.Linear(config.width, 2 * config.width, bias=False)

    def remembered(self, tokens: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, P, W) at positions (B, P) in frames → keys and values (B, H, P, d)."""
        k, v = self.prefix(self.before_prefix(tokens)).unflatten(-1, (2, self.heads, -1)).unbind(2)
        return turned(k.transpose(1, 2), positions), v.transpose(1, 2)

    def attending(self, x: Tensor, past: State, seen: int, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, T, W) at positions from `seen` on, under a mask (B, 1, T, S) → x, keys and values with the past's."""
        q, k, v = self.queries_keys_values(self.before_attention(x)).unflatten(-1, (3, self.heads, -1)).unbind(2)
        q, k, v = rotated(q.transpose(1, 2), seen), rotated(k.transpose(1, 2), seen), v.transpose(1, 2)
        k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.dropout(self.out(attended.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.mlp(self.before_mlp(x))), k, v


def turned(x: Tensor, positions: Tensor) -> Tensor:
    """Rotary positions (B, T), of any real values, on (B, H, T, d): `rotated` at whole ones."""
    half = x.shape[-1] // 2
    rates = torch.exp(-math.log(ROTARY_BASE) * torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angles = (positions.unsqueeze(-1) * rates).unsqueeze(1)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
