"""One step of training: the learning rate, lazy Adam, and that it does not grow with the vocabulary."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from labkit import PointEmbedding, StochasticEmbedding
from labkit.text import Corpus, Windows
from labkit.training import Optimizers, learning_rate_factor, pick_device

QUICK = dict(vector_dim=16, negatives=16, batch_size=4, steps=1, init=None)
MODELS = {
    "point": lambda: PointEmbedding(**QUICK),
    "flow": lambda: StochasticEmbedding(word_dim=8, hidden=(8,), samples=2, **QUICK),
}


def test_the_learning_rate_rises_stays_and_falls():
    factors = [learning_rate_factor(step / 1000, 1000) for step in range(1000)]
    assert factors[0] == pytest.approx(1 / 50) and factors[49] == factors[300] == 1
    assert all(a >= b for a, b in zip(factors[300:], factors[301:]))
    assert factors[650] == pytest.approx(0.5) and 0 < factors[-1] < 0.002


class Counted(TorchDispatchMode):
    """The sizes of all dense tensors that are made inside."""

    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        made = function(*arguments, **(keywords or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            is_new = isinstance(tensor, torch.Tensor) and not tensor.is_sparse and function._schema.name not in VIEWS
            if is_new and not any(tensor is argument for argument in arguments):
                self.largest = max(self.largest, tensor.numel())
        return made


VIEWS = {"aten::detach", "aten::view", "aten::t", "aten::transpose", "aten::alias"}


@pytest.mark.parametrize("name", MODELS)
def test_a_step_does_not_look_at_the_whole_vocabulary(name):
    """Tables have sparse gradients, and no tensor made in a step grows with V."""
    largest, dense = {}, {}
    for size in (2_000, 8_000):
        words = [f"w{i}" for i in range(size)]
        # every sentence is as long, so that batches differ in nothing but the ids
        corpus = Corpus.from_sentences([words[i : i + 8] for i in range(0, size, 8)], min_count=1)
        model = MODELS[name]().fit(corpus, progress=False).train()
        batch = next(iter(Windows(corpus, size=3, subsample=None, batch_size=4)))
        optimizers, generator = Optimizers(model, 0.01), torch.Generator().manual_seed(0)
        optimizers.step(model.loss(batch, generator, 0.5)[0], 1.0)  # the moments are made once
        with Counted() as counted:
            optimizers.step(model.loss(batch, generator, 0.5)[0], 1.0)
        largest[size] = counted.largest
        tables = [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]
        assert len(tables) >= 3 and all(table.grad.is_sparse for table in tables)
        dense[size] = [p.shape for p in model.parameters() if not any(p is table for table in tables)]
    assert dense[2_000] == dense[8_000]
    assert largest[2_000] == largest[8_000] < 8_000


def test_lazy_adam_moves_only_the_rows_it_has_read():
    table = nn.Embedding(10, 3, sparse=True)
    before = table.weight.detach().clone()
    Optimizers(table, 0.1).step(table(torch.tensor([2, 5])).square().sum(), 1.0)
    moved = (table.weight != before).any(1)
    assert moved.nonzero().squeeze(1).tolist() == [2, 5]


def test_devices():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("tpu", "mps", "cuda:x"):
        with pytest.raises(ValueError, match=f"device is '{name}'; expected 'auto', 'cpu', 'cuda' or 'cuda:0'"):
            pick_device(name)
