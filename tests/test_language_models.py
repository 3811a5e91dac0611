"""Language models: drawing with and without a cache, what it costs, bounds and their kinds, bad input."""

import numpy as np
import pytest
import torch

from labkit.language import (
    Affine,
    Alphabet,
    DiscreteLM,
    MixD,
    StochasticLM,
    TarFlowLM,
    TextBatches,
    calibration_error,
    draws_per_second,
    evaluate,
    sequences,
)
from labkit.networks.cached import CachedTransformer

SIZES = dict(width=8, heads=2)
MODELS = {
    "discrete": lambda n=8: DiscreteLM(5, n, blocks=2, **SIZES),
    "stochastic": lambda n=8: StochasticLM(5, n, k=2, blocks=1, **SIZES),
    "one flow of mix-d": lambda n=8: TarFlowLM(5, n, 2, MixD, (1,), patch=2, **SIZES),
    "two flows, affine": lambda n=8: TarFlowLM(5, n, 2, Affine, (1, 1), **SIZES),
}
ONE_WAY = ["discrete", "stochastic", "one flow of mix-d"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def tokens(batch=3, n=8):
    return torch.randint(5, (batch, n), generator=generator())


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    return MODELS[request.param]()


# --- drawing ------------------------------------------------------------------------------------------------------


def test_draws_are_the_same_with_and_without_a_cache(model):
    cached, plain = (model.double().generate(4, generator=generator(), cached=way) for way in (True, False))
    assert torch.equal(cached, plain) and cached.shape == (4, 8)
    assert not torch.equal(cached, model.generate(4, generator=generator(1)))


@pytest.mark.parametrize("name", ONE_WAY)
def test_draws_go_on_from_a_prompt(name):
    torch.manual_seed(0)
    model, prompt = MODELS[name]().double(), torch.tensor([4, 3, 2, 1])
    cached, plain = (model.generate(3, 6, prompt, generator(), cached=way) for way in (True, False))
    assert torch.equal(cached, plain) and cached.shape == (3, 6) and (cached[:, :4] == prompt).all()


def test_every_level_of_a_draw_is_read():
    """From noise to text: one reading before the first flow and one after each; the last is the draw itself."""
    torch.manual_seed(0)
    model = MODELS["two flows, affine"]()
    levels = model.generate_levels(4, generator=generator())
    assert len(levels) == 3 and all(level.shape == (4, 8) for level in levels)
    assert torch.equal(levels[-1], model.generate(4, generator=generator()))


@pytest.mark.parametrize("name", MODELS)
def test_what_drawing_costs_grows_linearly(name):
    """Rows that transformers read: as many again for twice the length with a cache, and four times without."""
    rows = {}
    for cached in (True, False):
        for n in (16, 32):
            model, read = MODELS[name](32), []
            for part in model.modules():
                if isinstance(part, CachedTransformer):
                    part.register_forward_pre_hook(lambda _, given, read=read: read.append(given[0].shape[1]))
            model.generate(1, n, generator=generator(), cached=cached)
            rows[cached, n] = sum(read)
    assert rows[True, 32] == 2 * rows[True, 16]
    assert rows[False, 32] > 3.5 * rows[False, 16]


@pytest.mark.parametrize("pieces", [[1] * 6, [4, 2], [3, 1, 2], [6]], ids=str)
def test_the_transformer_reads_in_any_pieces(pieces):
    torch.manual_seed(0)
    transformer = CachedTransformer(8, 2, 2).double()
    rows = torch.randn(2, 6, 8, dtype=torch.float64, generator=generator())
    cache = transformer.cache(2, 6)
    read = torch.cat([transformer(piece, cache) for piece in rows.split(pieces, 1)], 1)
    assert torch.allclose(read, transformer(rows), atol=1e-12)


def test_the_transformer_sees_distances_and_the_past_alone():
    torch.manual_seed(0)
    transformer = CachedTransformer(8, 2, 2).double()
    rows = torch.randn(1, 6, 8, dtype=torch.float64, generator=generator())
    jacobian = torch.autograd.functional.jacobian(transformer, rows).reshape(6, 8, 6, 8).abs().amax((1, 3))
    assert torch.equal(jacobian > 0, torch.ones(6, 6).tril() > 0)
    shifted = transformer.cache(1, 9)
    shifted.filled = 3  # as if three rows had been read, of which no query takes notice
    for block in range(2):
        shifted.keys[block].zero_(), shifted.values[block].zero_()
    alone = transformer.cache(1, 9)
    with torch.no_grad():
        attention = transformer.blocks[0].attention
        here = attention(rows, torch.arange(6.0).double()[:, None] * transformer.rates, alone, 0)
        there = attention(rows, torch.arange(3.0, 9.0).double()[:, None] * transformer.rates, None, 0)
    assert torch.allclose(here, there, atol=1e-12)  # the same distances, other positions


# --- bounds -------------------------------------------------------------------------------------------------------


def test_probabilities_of_all_sequences_sum_to_one():
    torch.manual_seed(0)
    model = DiscreteLM(3, 4, blocks=1, **SIZES).double()
    every = torch.cartesian_prod(*[torch.arange(3)] * 4)
    assert abs(model.bound(every).exp().sum().item() - 1) < 1e-12


def test_the_stochastic_bound_approaches_the_predictive_distribution():
    """Of a single token: log p by 40,000 draws of the prior, and bounds that rise towards it with S."""
    torch.manual_seed(0)
    model = StochasticLM(5, 1, k=2, blocks=1, **SIZES).double()
    with torch.no_grad():  # a decoder that listens, and a proposal that is neither the prior nor the posterior
        model.decoder.last.weight.mul_(4)
        model.proposal.last.bias.add_(0.5)
        x = torch.tensor([[2]])
        exact = model.next_log_probs(x.expand(4000, 1), 10, generator())[:, 0, 2].exp().mean().log()
        bounds = [
            torch.stack([model.bound(x.expand(512, 1), s, generator(i)).mean() for i in range(4)]).mean()
            for s in (1, 4, 64)
        ]
    assert bounds[0] < bounds[1] - 0.01 < exact - 0.01 and abs(bounds[2] - exact) < 0.02


def test_a_fresh_proposal_is_the_prior_and_usage_says_so():
    torch.manual_seed(0)
    model = StochasticLM(5, 8, k=2, blocks=1, **SIZES)
    usage = model.usage(tokens(128), generator())
    assert usage.kl == 0 and abs(usage.nats - usage.nats_prior) < 0.1
    with torch.no_grad():
        model.proposal.last.weight.normal_(generator=generator())
        model.decoder.last.weight.mul_(8)
    used = model.usage(tokens(), generator())
    assert used.kl > 0.1 and used.nats != used.nats_prior
    assert model.embedding(tokens()).batch_shape == (3, 8)


def test_kinds_of_bounds_are_told(model):
    kind = {"DiscreteLM": "exact"}.get(type(model).__name__)
    for samples, other in ((1, "elbo"), (3, "iw-3")):
        found = evaluate(model, tokens(), samples, generator())
        assert found.bound == (kind or other) and found.samples == samples and found.sequences == 3
        assert (found.ece is None) == isinstance(model, TarFlowLM) and found.stderr > 0
        assert found.perplexity == pytest.approx(2**found.bpc)
    with pytest.raises(ValueError, match="at least two sequences, for a standard error; got 1"):
        evaluate(model, tokens(1))


def test_more_samples_are_never_worse_on_average():
    torch.manual_seed(0)
    model = TarFlowLM(5, 4, 2, MixD, (1,), **SIZES)
    with torch.no_grad():
        model.code.log_sigma.fill_(0.5)  # so wide that bounds are loose
    x = tokens(64, 4)
    one, many = (evaluate(model, x, samples, generator()).bpc for samples in (1, 16))
    assert many < one - 0.05


def test_calibration():
    confidence = torch.tensor([0.5] * 100 + [1.0] * 100)
    right = torch.tensor([1.0, 0.0] * 50 + [1.0] * 100)
    assert calibration_error(confidence, right) == 0
    assert calibration_error(confidence, torch.zeros(200)) == pytest.approx(0.75)


def test_speed_and_draws(model):
    drawn, speed = draws_per_second(model, 2, 8, generator())
    assert drawn.shape == (2, 8) and speed > 0


# --- bad input ----------------------------------------------------------------------------------------------------


def test_characters():
    alphabet = Alphabet()
    assert len(alphabet) == 27 and alphabet.decode(alphabet.encode("a bank")) == "a bank"
    with pytest.raises(ValueError, match="character 'é' at place 3 is outside the alphabet"):
        alphabet.encode("café")
    with pytest.raises(ValueError, match="at least two characters, all different"):
        Alphabet("aa")


PROMPTS = {
    "empty": (torch.tensor([], dtype=torch.long), "the prompt is empty; expected at least one token"),
    "longer than the context": (torch.zeros(9, dtype=torch.long), r"has 9 tokens, and the model's context is 8"),
    "outside the vocabulary": (torch.tensor([1, 7]), "token 7 is outside the vocabulary; expected ids from 0 to 4"),
}


@pytest.mark.parametrize("case", PROMPTS)
@pytest.mark.parametrize("name", ONE_WAY)
def test_prompts_that_cannot_be(name, case):
    prompt, message = PROMPTS[case]
    with pytest.raises(ValueError, match=message):
        MODELS[name]().generate(1, None, prompt)


def test_lengths_patches_and_prompts_of_tarflow():
    with pytest.raises(ValueError, match="a patch size that divides the context, 8; got patch=3"):
        TarFlowLM(5, 8, 2, patch=3, **SIZES)
    model = MODELS["one flow of mix-d"]()
    with pytest.raises(ValueError, match="a length that patches of 2 tokens divide; got 5"):
        model.generate(1, 5)
    with pytest.raises(ValueError, match="a length that patches of 2 tokens divide; got 7"):
        model.bound(tokens(2, 7))
    with pytest.raises(ValueError, match="a prompt needs a model of one flow, and whole patches of 1; got 2 flows"):
        MODELS["two flows, affine"]().generate(1, prompt=torch.tensor([1]))
    with pytest.raises(ValueError, match="expected at least one flow"):
        TarFlowLM(5, 8, 2, blocks=(), **SIZES)


def test_tokens_that_cannot_be(model):
    with pytest.raises(ValueError, match="token 5 is outside the vocabulary; expected ids from 0 to 4"):
        model.bound(torch.full((1, 8), 5))
    with pytest.raises(ValueError, match=r"n from 1 to 8, the context; got torch.int64 of shape \(1, 10\)"):
        model.bound(torch.zeros(1, 10, dtype=torch.long))
    with pytest.raises(ValueError, match="expected a length from 1 to 8, the context; got length=10"):
        model.generate(1, 10)


def test_sizes_that_cannot_be():
    with pytest.raises(ValueError, match=r"a multiple of 2 \* heads; got width=9"):
        DiscreteLM(5, 8, width=9, heads=2)
    with pytest.raises(ValueError, match="expected k >= 0 and samples >= 1; got k=-1"):
        StochasticLM(5, 8, k=-1)
    with pytest.raises(ValueError, match="expected rate_weight >= 0; got -0.1"):
        StochasticLM(5, 8, rate_weight=-0.1)
    with pytest.raises(ValueError, match="this model has k=0 stochastic coordinates"):
        StochasticLM(5, 8, k=0, blocks=1, **SIZES).embedding(tokens())
    with pytest.raises(ValueError, match="at least two tokens and a context; got vocabulary_size=1"):
        DiscreteLM(1, 8)
    transformer = CachedTransformer(8, 1, 2)
    with pytest.raises(ValueError, match="room for 2 rows and holds 0; got 3 more"):
        transformer(torch.zeros(1, 3, 8), transformer.cache(1, 2))


# --- streams ------------------------------------------------------------------------------------------------------


def test_streams_are_cut_into_sequences():
    assert sequences(np.arange(10, dtype=np.uint8), 3).tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    with pytest.raises(ValueError, match="a stream of at least 4 x 3 tokens; got 10"):
        sequences(np.arange(10), 3, 4)
    with pytest.raises(ValueError, match="a stream of at least one sequence"):
        TextBatches(np.arange(3), length=4, size=2)


def test_processes_share_each_batch():
    stream = np.arange(1000, dtype=np.int32)
    whole = [batch.tokens for batch in TextBatches(stream, 4, 6).take(2)]
    parts = [[batch.tokens for batch in TextBatches(stream, 4, 6, share=(r, 2)).take(2)] for r in (0, 1)]
    for step in range(2):
        assert torch.equal(torch.stack((parts[0][step], parts[1][step]), 1).flatten(0, 1), whole[step])
    with pytest.raises(ValueError, match="a batch that 4 processes can divide; got size=6"):
        TextBatches(stream, 4, 6, share=(0, 4))


def test_batches_go_on_where_they_were():
    stream = np.arange(1000)
    batches = TextBatches(stream, 4, 2, seed=3)
    first, second = (batch.tokens for batch in batches.take(2))
    again = TextBatches(stream, 4, 2, seed=3)
    list(again.take(1))
    state, again = again.state(), TextBatches(stream, 4, 2, seed=3)
    again.restore(state)
    assert torch.equal(next(again.take(1)).tokens, second) and not torch.equal(first, second)
    with pytest.raises(ValueError, match="expected batches with length=4, as before; got length=5"):
        TextBatches(stream, 5, 2, seed=3).restore(state)
