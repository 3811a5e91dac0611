"""Words as Gaussians: the Bayesian skip-gram."""

from torch import nn

from labkit.embeddings.latent import LatentEmbedding
from labkit.flows import neural_spline_flow


class GaussianEmbedding(LatentEmbedding):
    """p(z∣w) = N(m_w, diag s_w²): one region a word, in one piece.

    A flow without splines is an affine map of a standard normal, and so a Gaussian: the same code, less of it.

    Arguments are those of `StochasticEmbedding`; `hidden` is wider, so that both have about as many parameters.

    References:
        Bražinskas, Havrylov & Titov, Embedding words as distributions with a Bayesian skip-gram model (2018).

    Example:
        >>> GaussianEmbedding(dim=2).get_params()["dim"]
        2
    """

    def __init__(
        self, dim=2, *, vector_dim=64, word_dim=32, hidden=(128, 128), decoder="nonlinear", samples=3,
        negatives=256, kl_warm_up=True, window=5, steps=1800, batch_size=320, learning_rate=0.008,
        init="spectral", seed=0, device="auto",
    ):  # fmt: skip
        super().__init__()
        self._remember(locals())

    def _prior(self) -> nn.Module:
        return neural_spline_flow(self.dim, self.word_dim, layers=0, hidden=self.hidden)
