"""The missing token, from the probabilities of whole sequences, for models of every kind."""

import math

import pytest
import torch

from labkit.language import (
    Affine,
    DiscreteLM,
    MixD,
    StochasticLM,
    TarFlowLM,
    calibration_error,
    chance_error,
    cloze_log_probs,
    evaluate_cloze,
)

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


def test_the_missing_token_by_the_probabilities_of_all_sequences():
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
    assert found.bound == model.bound_kind(2)
    noise = generator()
    places = torch.randint(8, (40,), generator=noise)
    parts = [cloze_log_probs(model, *part, 2, noise) for part in zip(x.split(16), places.split(16), strict=True)]
    log_p, truth = torch.cat(parts), x[torch.arange(40), places]
    assert found.bits == pytest.approx(-log_p[torch.arange(40), truth].mean().item() / math.log(2), rel=1e-5)
    assert found.accuracy == pytest.approx((log_p.argmax(-1) == truth).double().mean().item())


def test_all_tokens_are_tried_with_the_same_noise():
    """What a gap is filled with varies less than if every token had noise of its own."""
    torch.manual_seed(0)
    model, x, place = TarFlowLM(5, 8, 2, Affine, (1, 1), **SIZES), tokens(1), torch.tensor([3])
    shared = torch.stack([cloze_log_probs(model, x, place, generator=generator(i))[0] for i in range(200)])
    each = [x.scatter(1, place[:, None], token) for token in range(5)]
    with torch.no_grad():
        own = [model.bound(each[i % 5], generator=generator(i)) for i in range(1000)]
    own = torch.cat(own).reshape(200, 5)
    assert shared.std(0).mean() < 0.6 * own.log_softmax(-1).std(0).mean()


def test_calibration_by_chance():
    confidence = torch.rand(400, generator=generator())
    alone = [calibration_error(confidence, confidence.bernoulli(generator=generator(i))) for i in range(1, 301)]
    assert chance_error(confidence, generator()) == pytest.approx(sum(alone) / 300, rel=0.1)
    assert chance_error(torch.full((400,), 0.9), generator()) < chance_error(confidence, generator())


@pytest.mark.parametrize("places", [[0, 8], [-1, 0]])
def test_gaps_that_cannot_be(model, places):
    with pytest.raises(ValueError, match="expected a place from 0 to 7 for each of 2 sequences; got places of shape"):
        cloze_log_probs(model, tokens(2), torch.tensor(places))
