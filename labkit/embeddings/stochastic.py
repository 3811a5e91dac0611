"""Words as flows: the stochastic embedding."""

from torch import nn

from labkit.embeddings.latent import LatentEmbedding
from labkit.flows import neural_spline_flow


class StochasticEmbedding(LatentEmbedding):
    """p(z∣w) is a normalizing flow conditioned on the word: as many regions as the word's contexts ask for.

        log p(c∣w) = log ∫ p(z∣w) Π_j p(c_j∣z,w) dz        (nats)

    One z has to explain all the words around at once, so the density of a word used in two ways must cover two
    regions; nobody labels a sense.

    Arguments:
        dim: k, the number of stochastic coordinates.
        vector_dim: H, width of context and output vectors.
        word_dim: E, width of the word's vector v_w, on which prior, encoder and decoder are conditioned.
        layers, bins: of the spline flow.
        hidden: widths of the flow's conditioners.
        decoder: "nonlinear" or "affine" (log-bilinear; a step in z then means the same for every word).
        samples: S of the importance-weighted bound.
        negatives: K of the sampled softmax; 0 for the exact one.
        kl_warm_up: weigh the KL term by 0.1 at first, by 1 in the last 30 % of the steps.
        window: words on each side, for corpora without marked words.
        steps, batch_size, learning_rate: of training.
        init: "spectral" (from co-occurrence), a path to word2vec or GloVe text vectors, or None.
        seed, device: same seed and machine, same result.

    Example:
        >>> StochasticEmbedding(dim=2).get_params()["samples"]
        3
    """

    def __init__(
        self, dim=2, *, vector_dim=64, word_dim=32, layers=2, bins=8, hidden=(64, 64), decoder="nonlinear",
        samples=3, negatives=256, kl_warm_up=True, window=5, steps=1800, batch_size=320, learning_rate=0.008,
        init="spectral", seed=0, device="auto",
    ):  # fmt: skip
        super().__init__()
        self._remember(locals())

    def _prior(self) -> nn.Module:
        return neural_spline_flow(self.latent_dim, self.word_dim, self.layers, self.bins, hidden=self.hidden)
