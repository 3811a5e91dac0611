"""A causal transformer for language: rotary positions, gated perceptrons, and a cache for reading a row at a time."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class KeyValueCache:
    """Keys and values of the rows read so far, of every block: room for `length` rows is taken once.

    Attributes:
        filled: rows read so far; the next row stands at this position.
    """

    def __init__(self, blocks: int, batch: int, heads: int, length: int, head_width: int, like: Tensor):
        shape = (batch, heads, length, head_width)
        self.keys = [like.new_empty(shape) for _ in range(blocks)]
        self.values = [like.new_empty(shape) for _ in range(blocks)]
        self.length, self.filled = length, 0


class RotaryAttention(nn.Module):
    """Causal softmax(Q Kᵀ / √w) V in heads of width w, with Q and K turned by an angle for each position.

    Pair j of the coordinates of position t is turned by t · 10000^(−2j/w), so that a product of a query and a key
    depends on the distance of their positions alone (Su et al. 2021, arXiv 2104.09864, eq. 34).
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.queries_keys_values = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self,
        h: Float[Tensor, "batch n width"],
        angles: Float[Tensor, "n half"],
        cache: KeyValueCache | None,
        block: int,
    ) -> Float[Tensor, "batch n width"]:
        parts = self.queries_keys_values(h).unflatten(-1, (3, self.heads, -1))
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # each (batch, heads, n, w)
        q, k = turned(q, angles), turned(k, angles)
        before = 0 if cache is None else cache.filled
        if cache is not None:
            upto = before + h.shape[1]
            cache.keys[block][:, :, before:upto], cache.values[block][:, :, before:upto] = k, v
            k, v = cache.keys[block][:, :, :upto], cache.values[block][:, :, :upto]
        if before and h.shape[1] > 1:
            mask = torch.ones(h.shape[1], k.shape[2], dtype=torch.bool, device=h.device).tril(before)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=not before)
        return self.out(mixed.transpose(1, 2).flatten(-2))


class RotaryBlock(nn.Module):
    """h + attention(norm(h)), then h + MLP(norm(h)), MLP(x) = W₃ (silu(W₁ x) ⊙ W₂ x) (arXiv 2002.05202, SwiGLU)."""

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-6), nn.RMSNorm(width, eps=1e-6)
        self.attention = RotaryAttention(width, heads)
        self.gate_and_value = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(
        self,
        h: Float[Tensor, "batch n width"],
        angles: Float[Tensor, "n half"],
        cache: KeyValueCache | None,
        block: int,
    ) -> Float[Tensor, "batch n width"]:
        h = h + self.attention(self.norm1(h), angles, cache, block)
        gate, value = self.gate_and_value(self.norm2(h)).chunk(2, -1)
        return h + self.down(F.silu(gate) * value)


class CachedTransformer(nn.Module):
    """Rows (n, width) -> rows (n, width): row t has seen the rows up to t, and no later one.

    With a cache the rows may come in pieces, down to one at a time, and what comes out is the same: reading n rows one
    by one evaluates n rows in all, where starting over for each would evaluate n(n + 1)/2.

    Arguments:
        width: of the rows; a multiple of twice `heads`, since rotary positions turn pairs of coordinates.
        blocks, heads: layers, and attention heads in each.

    Raises:
        ValueError: for a width that heads do not divide into even parts, or no block.

    Example:
        >>> transformer = CachedTransformer(width=16, blocks=2, heads=2)
        >>> rows = torch.randn(3, 5, 16)
        >>> cache = transformer.cache(batch=3, length=5)
        >>> one_by_one = torch.cat([transformer(rows[:, t : t + 1], cache) for t in range(5)], 1)
        >>> torch.allclose(one_by_one, transformer(rows), atol=1e-5)
        True
    """

    def __init__(self, width: int, blocks: int, heads: int):
        super().__init__()
        if blocks < 1 or heads < 1 or width % (2 * heads):
            raise ValueError(
                "expected at least one block, and a width that is a multiple of 2 * heads; "
                f"got width={width}, blocks={blocks}, heads={heads}"
            )
        self.width, self.heads = width, heads
        hidden = 8 * math.ceil(width / 3)  # three matrices of this height hold what two of 4 * width would
        self.blocks = nn.ModuleList(RotaryBlock(width, heads, hidden) for _ in range(blocks))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        half = width // heads // 2
        self.register_buffer("rates", 10000.0 ** (-torch.arange(half) / half), persistent=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:  # those that end a residual branch smaller, so that depth does not widen the stream
                branch_end = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(weight, std=(1 / math.sqrt(2 * blocks) if branch_end else 1) / math.sqrt(width))

    def cache(self, batch: int, length: int) -> KeyValueCache:
        """An empty cache for `batch` sequences of at most `length` rows."""
        like = self.blocks[0].down.weight
        return KeyValueCache(len(self.blocks), batch, self.heads, length, self.width // self.heads, like)

    def forward(
        self, rows: Float[Tensor, "batch n width"], cache: KeyValueCache | None = None
    ) -> Float[Tensor, "batch n width"]:
        """The rows that follow those in the cache, which they join.

        Raises:
            ValueError: for rows of another width, or more of them than the cache has room for.
        """
        if rows.shape[-1] != self.width:
            raise ValueError(f"expected rows of shape (batch, n, {self.width}); got shape {tuple(rows.shape)}")
        before = 0 if cache is None else cache.filled
        upto = before + rows.shape[1]
        if cache is not None and upto > cache.length:
            raise ValueError(f"the cache has room for {cache.length} rows and holds {before}; got {rows.shape[1]} more")
        positions = torch.arange(before, upto, device=rows.device, dtype=self.rates.dtype)
        angles = positions[:, None] * self.rates
        for number, block in enumerate(self.blocks):
            rows = block(rows, angles, cache, number)
        if cache is not None:
            cache.filled = upto
        return self.norm(rows)


def turned(x: Float[Tensor, "batch heads n w"], angles: Float[Tensor, "n half"]) -> Float[Tensor, "batch heads n w"]:
    """Each pair (x_j, x_{j + w/2}) turned by the angle of its position."""
    a, b = x.chunk(2, -1)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)
