"""Language models trained: known entropies approached and never beaten, patches that need a second flow; the loop."""

import math
import multiprocessing
import socket

import numpy as np
import pytest
import torch

from labkit.dequantise import MarkovLanguage, TaskBatches
from labkit.dequantise.tasks import Task
from labkit.language import DiscreteLM, GaussianCode, MixD, StochasticLM, TarFlowLM, TextBatches, evaluate
from labkit.networks.processes import average_gradients, join, leave, mean_of, rank_and_count
from labkit.training import train

SIZES = dict(width=16, heads=2)
STREAM = np.random.default_rng(0).integers(0, 5, 4000)


def learn(model, batches, steps, rate=1e-2, **options):
    return train(model, batches, steps, rate, progress=False, **options)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# --- known entropies ----------------------------------------------------------------------------------------------

MODELS = {
    "discrete": lambda: DiscreteLM(4, 8, blocks=1, **SIZES),
    "stochastic": lambda: StochasticLM(4, 8, k=1, samples=2, layers=1, blocks=1, **SIZES),
    "mix-d": lambda: TarFlowLM(4, 8, 2, MixD, (1, 1), **SIZES),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_entropy_of_a_markov_language_is_approached_and_never_beaten(name):
    """2,048 fresh strings: within 0.03 bits a letter of the entropy, and not below it by more than 3 standard errors.

    A string's −log p is compared with that of the same string under the language itself, which takes out most noise.
    """
    torch.manual_seed(0)
    language = MarkovLanguage(4, 8, successors=2)
    model = MODELS[name]()
    learn(model, TaskBatches(language, 16), 100, 2e-2)
    strings = language.draw(2048, generator(5))
    steps = language.transitions[strings[:, :-1], strings[:, 1:]].log().sum(-1)
    truth = -(language.stationary[strings[:, 0]].log() + steps)
    with torch.no_grad():
        excess = (-model.bound(strings, generator=generator()).double() - truth) / (8 * math.log(2))
    error = (excess.std() / math.sqrt(2048)).item()
    assert -3 * error <= excess.mean() <= 0.03


class Pairs(Task):
    """Any letter, then the one after it in the alphabet, and so on: ½ log₂ V bits a letter."""

    ordered = True

    def __init__(self, size: int, pairs: int):
        self.vocabulary_size, self.positions = size, 2 * pairs
        self.optimum = math.log2(size) / 2

    def draw(self, n, generator=None):
        first = torch.randint(self.vocabulary_size, (n, self.positions // 2), generator=generator)
        return torch.stack((first, (first + 1) % self.vocabulary_size), -1).flatten(-2)

    def valid(self, tokens):
        return ((tokens[..., 1::2] - tokens[..., ::2]) % self.vocabulary_size == 1).all(-1)


def bits_of_pairs(blocks, mixing, steps) -> float:
    torch.manual_seed(0)
    pairs = Pairs(3, pairs=2)
    model = TarFlowLM(3, 4, 2, MixD, blocks, patch=2, mixing=mixing, **SIZES)
    learn(model, TaskBatches(pairs, 32), steps, 2e-2)
    return evaluate(model, pairs.draw(512, generator(5)), generator=generator()).bpc


def test_patches_of_two_need_a_second_flow_that_cuts_elsewhere():
    """A pair in one patch: its letters are independent for one flow, log₂ 3 bits each, and for two of equal patches."""
    whole, half = math.log2(3), math.log2(3) / 2
    alone, unmixed = bits_of_pairs((1,), True, 40), bits_of_pairs((1, 1), False, 40)
    mixed = bits_of_pairs((1, 1), True, 110)
    assert alone > 0.98 * whole and unmixed > 0.98 * whole
    assert 0.99 * half < mixed < 1.05 * half  # no model is below `half` but by noise


# --- the schedule of σ --------------------------------------------------------------------------------------------


def test_sigma_follows_its_schedule():
    code = GaussianCode(5, 2, sigma=(1.0, 0.01), annealed=0.5)
    found = []
    for share in (0.0, 0.25, 0.5, 0.9):
        code.anneal(share)
        found.append(code.log_scale.exp()[0, 0].item())
    assert found == pytest.approx([1.0, 0.1, 0.01, 0.01])
    model = TarFlowLM(5, 8, 2, MixD, (1,), code=code, **SIZES)
    learn(model, TextBatches(STREAM, 8, 2), 4)
    assert code.log_sigma.item() == pytest.approx(math.log(0.01))  # the last step is at 3/4
    with pytest.raises(ValueError, match="expected sigma > 0 and annealed > 0; got sigma=0"):
        GaussianCode(5, 2, sigma=0)


# --- the loop -----------------------------------------------------------------------------------------------------


def discrete():
    torch.manual_seed(0)
    return DiscreteLM(5, 8, blocks=1, **SIZES)


class InHalves(TextBatches):
    """Each batch in two parts, the first half and the second."""

    def take(self, count):
        for batch in super().take(count // 2):
            for half in batch.tokens.chunk(2):
                yield type(batch)(half)


def test_accumulated_gradients_are_those_of_the_whole_batch():
    whole, parts = discrete(), discrete()
    losses = learn(whole, TextBatches(STREAM, 8, 8), 6)
    assert learn(parts, InHalves(STREAM, 8, 8), 6, accumulate=2) == pytest.approx(losses, abs=1e-5)
    for one, other in zip(whole.parameters(), parts.parameters()):
        assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_lower_precision_is_near_and_leaves_weights_as_they_are(name):
    torch.manual_seed(0)
    model = MODELS[name]()
    batches = TextBatches(STREAM % 4, 8, 8)
    batch = next(iter(batches.take(1)))
    exact = model.loss(batch, generator(), 0.0)[1].item()
    losses = learn(model, TextBatches(STREAM % 4, 8, 8), 2, precision=torch.bfloat16)
    assert losses[0] == pytest.approx(exact, rel=0.02) and losses[0] != exact
    assert all(weight.dtype == torch.float32 for weight in model.parameters())


@pytest.mark.parametrize("name", ["discrete", "mix-d"])
def test_a_resumed_training_ends_in_the_same_bits(name, tmp_path):
    def interrupt(done, figure):
        if done == 3:
            raise KeyboardInterrupt

    def fresh():
        torch.manual_seed(0)
        return MODELS[name](), TextBatches(STREAM % 4, 8, 4)

    (whole, batches), (stopped, others), (resumed, again) = fresh(), fresh(), fresh()
    losses = learn(whole, batches, 6, accumulate=2)
    learn(stopped, others, 6, accumulate=2, checkpoint=tmp_path / "state", callback=interrupt)
    assert learn(resumed, again, 6, accumulate=2, checkpoint=tmp_path / "state", resume=True) == losses
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values()))


def one_of_two(rank, port, queue, folder):
    """A process of two: 6 steps on its share of every batch."""
    variables = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, str(value))
        share = join()
    model = discrete()
    if rank:  # other weights, which the first process's replace
        model = DiscreteLM(5, 8, blocks=1, **SIZES)
    losses = learn(model, TextBatches(STREAM, 8, 8, share=share), 6, checkpoint=folder / str(rank), checkpoint_every=3)
    table = torch.nn.Embedding(3, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    try:
        average_gradients(table.parameters())
    except ValueError as error:
        refused = str(error)
    queue.put((rank, share, losses, model.table.flatten().tolist(), refused))
    leave()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_two_processes_make_the_steps_of_one(tmp_path):
    """Data-parallel over gloo, as torchrun and accelerate start it: the loss of one process to 1e-5."""
    alone = discrete()
    losses = learn(alone, TextBatches(STREAM, 8, 8), 6)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    started = [context.Process(target=one_of_two, args=(rank, port, queue, tmp_path)) for rank in (0, 1)]
    for process in started:
        process.start()
    found = sorted(queue.get(timeout=120) for _ in started)
    for process in started:
        process.join(60)
    for rank, share, together, table, refused in found:
        assert share == (rank, 2) and together == pytest.approx(losses, abs=1e-5)
        assert table == pytest.approx(alone.table.flatten().tolist(), abs=1e-4)
        assert "2 processes cannot train a model with sparse tables together" in refused
    assert (tmp_path / "0").exists() and not (tmp_path / "1").exists()  # the first one writes


def test_one_process_has_nobody_to_ask():
    assert join() == rank_and_count() == (0, 1) and mean_of(2.5, torch.device("cpu")) == 2.5
    leave()
