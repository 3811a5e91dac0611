"""Breaking a stick: how much each of T senses has of a word, and how many senses there are."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Beta, kl_divergence


def stick_posterior(counts: Float[Tensor, "*words T"], alpha: float) -> Beta:
    """q(β_k) = Beta(1 + n_k, α + Σ_{r>k} n_r) of the first T − 1 sticks, batch shape (*words, T − 1).

    β_k is the part of what is left of the stick that sense k takes; the last sense takes all the rest. The prior is
    Beta(1, α): the smaller α, the fewer senses.

    Arguments:
        counts: n_k, how many occurrences each sense is expected to have.
        alpha: α > 0.
    """
    later = counts.flip(-1).cumsum(-1).flip(-1) - counts
    return Beta(1 + counts[..., :-1], alpha + later[..., :-1].clamp_min(0), validate_args=False)


def mean_weights(counts: Float[Tensor, "*words T"], alpha: float) -> Float[Tensor, "*words T"]:
    """E π_k = E β_k Π_{r<k} E (1 − β_r); they sum to 1.

    Example:
        >>> mean_weights(torch.zeros(3), alpha=1.0)
        tensor([0.5000, 0.2500, 0.2500])
    """
    taken = stick_posterior(counts, alpha).mean
    left = (1 - taken).cumprod(-1)
    one = torch.ones_like(left[..., :1])
    return torch.cat([taken, one], -1) * torch.cat([one, left], -1)


def expected_log_weights(counts: Float[Tensor, "*words T"], alpha: float) -> Float[Tensor, "*words T"]:
    """E log π_k = E log β_k + Σ_{r<k} E log (1 − β_r), nats."""
    q = stick_posterior(counts, alpha)
    a, b = q.concentration1, q.concentration0
    both = torch.digamma(a + b)
    log_left = (torch.digamma(b) - both).cumsum(-1)
    zero = torch.zeros_like(log_left[..., :1])
    return torch.cat([torch.digamma(a) - both, zero], -1) + torch.cat([zero, log_left], -1)


def evidence_bound(
    log_likelihood: Float[Tensor, "n T"], counts: Float[Tensor, " T"], alpha: float
) -> Float[Tensor, ""]:
    """Σ_i log Σ_k exp(E log π_k + ℓ_ik) − KL(q(β) ‖ p(β)): the bound of one word with the best q(sense), nats.

    Arguments:
        log_likelihood: ℓ_ik = log p(context of occurrence i ∣ sense k).
        counts: of q(β), see `stick_posterior`.
    """
    q = stick_posterior(counts, alpha)
    prior = Beta(torch.ones_like(q.concentration1), torch.full_like(q.concentration1, alpha), validate_args=False)
    each = (log_likelihood + expected_log_weights(counts, alpha)).logsumexp(-1)
    return each.sum() - kl_divergence(q, prior).sum()


def update_counts(
    log_likelihood: Float[Tensor, "n T"], counts: Float[Tensor, " T"], alpha: float
) -> Float[Tensor, " T"]:
    """One step of variational EM: γ_ik ∝ exp(E log π_k + ℓ_ik), n_k = Σ_i γ_ik. `evidence_bound` never falls by it."""
    return (log_likelihood + expected_log_weights(counts, alpha)).softmax(-1).sum(0)
