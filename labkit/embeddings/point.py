"""Words as points: skip-gram with a softmax."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from labkit.embeddings.base import THIN_OUT, Embedding
from labkit.embeddings.decoder import SoftmaxOutput
from labkit.embeddings.word import Evidence


class PointEmbedding(Embedding):
    """p(c∣w) = Π_j softmax(U v_w + b)_{c_j}: one vector a word, the same wherever the word stands.

    Skip-gram (Mikolov et al. 2013), normalised, so that its nats per context word can be compared with the others'.

    Arguments:
        vector_dim: width of the vectors. The default makes about as many parameters as `StochasticEmbedding` has.
        thin_out: words more frequent than this are thinned out, in a corpus of 100,000 words or more: the t of
            `Windows`. For millions of words 10⁻⁴ is faster and better, since fewer windows are spent on "the".
        others: as in `StochasticEmbedding`.

    Example:
        >>> PointEmbedding(vector_dim=100).get_params()["vector_dim"]
        100
    """

    def __init__(
        self, vector_dim=140, *, negatives=256, window=5, steps=1800, batch_size=320, learning_rate=0.008,
        init="spectral", thin_out=THIN_OUT, seed=0, device="auto",
    ):  # fmt: skip
        super().__init__()
        self._remember(locals())

    def _build(self, n_words: int, counts: Tensor) -> None:
        self.word_vectors = nn.Embedding(n_words, self.vector_dim, sparse=True)
        nn.init.normal_(self.word_vectors.weight, std=0.3)
        self.output = SoftmaxOutput(counts, self.vector_dim, self.negatives)

    def _take_vectors(self, vectors: Tensor, found: Tensor) -> None:
        self.output.vectors.weight[found] = 0.3 * vectors[found]
        ids = torch.tensor([self.vocabulary_[word] for word in self.words_])
        self.word_vectors.weight[found[ids]] = self.vector_dim**-0.5 * vectors[ids[found[ids]]]

    def loss(self, batch, generator: torch.Generator, share: float) -> tuple[Tensor, Tensor]:
        """−log p(c∣w) per context word."""
        centre, context, mask = self._tensors(batch)
        log_prob = self.output.sampled_log_prob(self.word_vectors(centre)[None], context, mask, generator)
        loss = -log_prob.sum() / mask.sum()
        return loss, loss.detach()

    def vectors(self) -> np.ndarray:
        """v_w of all words of the vocabulary, (V, vector_dim) float32; 0 for words that were never a centre."""
        self._fitted()
        table = np.zeros((len(self.vocabulary_), self.vector_dim), dtype=np.float32)
        table[[self.vocabulary_[word] for word in self.words_]] = self.word_vectors.weight.detach().cpu().numpy()
        return table

    def most_similar(self, word: str, sense: int | None = None, n: int = 10) -> list[tuple[str, int, float]]:
        """The nearest words by cosine: (word, 0, cosine), best first. A point has one sense, number 0."""
        if sense not in (None, 0):
            raise ValueError(f"sense is {sense}, and a point has one sense; expected 0 or None")
        vectors = self.word_vectors.weight.detach()
        row = self.row(word)
        cosine = torch.nn.functional.cosine_similarity(vectors, vectors[row])
        cosine[row] = -torch.inf
        best = cosine.topk(min(n, len(vectors) - 1))
        return [(self.words_[i], 0, float(c)) for c, i in zip(best.values, best.indices.tolist(), strict=True)]

    def __getitem__(self, word: str) -> "WordPoint":
        row = self.row(word)
        return WordPoint(self, word, self.word_vectors.weight[row].detach())


class WordPoint(Distribution):
    """All the probability at one place: what a deterministic embedding says of a word.

    `sample` gives the place again and again; a point has no density, and `log_prob` is +∞ there and −∞ elsewhere.
    """

    arg_constraints = {}
    support = constraints.real_vector

    def __init__(self, model: PointEmbedding, word: str, location: Tensor):
        self.model, self.word, self.location = model, word, location
        super().__init__(torch.Size(), location.shape, validate_args=False)

    def __repr__(self) -> str:
        return f"WordPoint({self.word!r}; {self.event_shape[0]} dimensions)"

    def sample(self, sample_shape=(), generator: torch.Generator | None = None) -> Tensor:
        """The place, (*sample_shape, D)."""
        return self.location.expand(*sample_shape, -1).clone()

    def log_prob(self, value: Tensor) -> Tensor:
        """+∞ at the place, −∞ elsewhere."""
        return torch.where((value == self.location).all(-1), torch.inf, -torch.inf)

    def given(self, context, seed: int = 0) -> "WordPoint":
        """The same point: no context moves it. A context with no known word is still an error."""
        self.model.encode_context(context, self.word)
        return self

    @torch.no_grad()
    def evidence(self, contexts) -> Evidence:
        """log p(c∣w) with the full softmax for windows (n, M) padded with −1, and all mass on the one mode."""
        contexts = torch.as_tensor(contexts, device=self.location.device)
        ids, place = torch.unique(contexts.clamp_min(0), return_inverse=True)
        scores = self.model.output.log_prob(self.location[None], ids)[0]
        log_prob = (scores[place] * (contexts >= 0)).sum(-1)
        return Evidence(log_prob, log_prob.new_ones(len(contexts), 1))
