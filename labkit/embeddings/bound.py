"""The importance-weighted bound on log p(c∣w)."""

import math

from jaxtyping import Float
from torch import Tensor


def importance_weighted_bound(
    log_likelihood: Float[Tensor, "S *batch"],
    log_prior: Float[Tensor, "S *batch"],
    log_proposal: Float[Tensor, "S *batch"],
    kl_weight: float = 1.0,
) -> Float[Tensor, "*batch"]:
    """log (1/S) Σ_s p(c∣z_s,w) [p(z_s∣w) / q(z_s∣w,c)]^β ≤ log p(c∣w), nats, for z_s ~ q and β = 1.

    S = 1 is the usual evidence bound, and the bound rises to log p(c∣w) with S. β below 1 is no bound: it makes
    it cheap for posteriors to leave the prior, and is used early in training to let senses part (kl_weight < 1).

    References:
        Burda, Grosse & Salakhutdinov, Importance weighted autoencoders (2016), eq. 8.
    """
    log_weight = log_likelihood + kl_weight * (log_prior - log_proposal)
    return log_weight.logsumexp(0) - math.log(log_weight.shape[0])
