"""How a map of R^k into R^D stretches volume: its Jacobian, and ½ log det JᵀJ."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def jacobian(f: Callable[[Tensor], Tensor], z: Float[Tensor, "*points k"]) -> Float[Tensor, "*batch D k"]:
    """∂f/∂z at every point, for a map that treats points apart from each other: k forward-mode products."""
    k = z.shape[-1]
    directions = torch.eye(k, dtype=z.dtype, device=z.device)
    z = z.contiguous()  # forward mode refuses a point that is expanded in memory
    one = torch.func.vmap(lambda e: torch.func.jvp(f, (z,), (e.expand_as(z),))[1])
    return one(directions).movedim(0, -1)


def half_log_det(J: Float[Tensor, "*batch D k"], jitter: float = 1e-6) -> Float[Tensor, "*batch"]:
    """½ log det JᵀJ = Σ log of the diagonal of the Cholesky factor of JᵀJ; nats.

    Where JᵀJ is singular to working precision, and only there, `jitter` times its mean diagonal is added; where
    that does not help either (a J of zeros or NaN) the result is NaN. Nothing waits for the host.
    """
    gram = J.mT @ J
    with torch.no_grad():
        failed = torch.linalg.cholesky_ex(gram).info > 0
        ridge = jitter * gram.diagonal(dim1=-2, dim2=-1).mean(-1) * failed
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    lower, info = torch.linalg.cholesky_ex(gram + ridge[..., None, None] * identity)
    half = lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return torch.where(info > 0, torch.nan, half)
