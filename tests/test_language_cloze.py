"""The missing token: Bayes' rule over whole sequences, for models of every kind."""

import pytest
import torch

from labkit.language import Affine, DiscreteLM, MixD, StochasticLM, TarFlowLM, cloze_log_probs, evaluate_cloze

SIZES = dict(width=8, heads=2)
MODELS = {
    "discrete": lambda: DiscreteLM(5, 8, blocks=2, **SIZES),
    "stochastic": lambda: StochasticLM(5, 8, k=2, blocks=1, **SIZES),
    "mix-d, patches of two": lambda: TarFlowLM(5, 8, 2, MixD, (1,), patch=2, **SIZES),
    "two flows, affine": lambda: TarFlowLM(5, 8, 2, Affine, (1, 1), **SIZES),
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def tokens(batch):
    return torch.randint(5, (batch, 8), generator=generator())


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    return MODELS[request.param]()


def test_the_missing_token_is_bayes_rule_of_all_sequences():
    """p(x_2∣x_1, x_3) of the discrete model, from the probabilities of all 125 sequences of three tokens."""
    torch.manual_seed(0)
    model = DiscreteLM(5, 3, blocks=1, **SIZES).double()
    every = torch.cartesian_prod(*[torch.arange(5)] * 3)
    with torch.no_grad():
        p = model.bound(every).exp().reshape(5, 5, 5)
    x = torch.tensor([[1, 4, 2], [0, 3, 3]])
    log_p = cloze_log_probs(model, x, torch.tensor([1, 0]))
    torch.testing.assert_close(log_p[0].exp(), p[1, :, 2] / p[1, :, 2].sum())
    torch.testing.assert_close(log_p[1].exp(), p[:, 3, 3] / p[:, 3, 3].sum())


def test_a_narrow_codebook_fills_gaps_as_the_model_it_approaches():
    """Each sequence's evidence is exact for narrow clouds (the proposition), and so is then what fills a gap."""
    torch.manual_seed(0)
    model = TarFlowLM(5, 3, 2, MixD, (1,), **SIZES).double()
    model.code.log_sigma.fill_(-9.0)
    every = torch.cartesian_prod(*[torch.arange(5)] * 3)
    with torch.no_grad():
        p = model.bound(every, generator=generator()).exp().reshape(5, 5, 5)
    assert 0.9 < p.sum() < 1  # the rest is with Mix-d's broad component, between the clouds
    log_p = cloze_log_probs(model, torch.tensor([[1, 4, 2]]), torch.tensor([2]), generator=generator(1))
    torch.testing.assert_close(log_p[0].exp(), p[1, 4] / p[1, 4].sum(), atol=2e-3, rtol=0)


def test_gaps_are_filled_by_every_model(model):
    x = tokens(40)
    found = evaluate_cloze(model, x, 2, generator(), chunk=16)
    assert found == evaluate_cloze(model, x, 2, generator(), chunk=16) and found.sequences == 40
    assert found.bits > 0 and 0 <= found.accuracy <= 1 and 0 <= found.ece <= 1
    log_p = cloze_log_probs(model, x, torch.zeros(40, dtype=torch.long), generator=generator())
    assert not torch.equal(log_p[0], log_p[1])


@pytest.mark.parametrize("places", [[0, 8], [-1, 0]])
def test_gaps_that_cannot_be(model, places):
    with pytest.raises(ValueError, match="expected a place from 0 to 7 for each of 2 sequences; got places of shape"):
        cloze_log_probs(model, tokens(2), torch.tensor(places))
