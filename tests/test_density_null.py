"""The significance of a second mode: drops in refits to one Gaussian, thresholds, and their table."""

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from labkit.density import NullTable, find_modes, null_drops, null_threshold


def kernel_fit(width):
    """Kernel density estimates: the narrower the kernel, the more modes by chance."""

    def fit(points):
        n, k = points.shape[1:]
        weights = Categorical(torch.ones(n))
        return [
            MixtureSameFamily(weights, Independent(Normal(p, torch.full((n, k), width)), 1)) for p in points
        ]

    return fit


def test_a_smooth_fit_has_no_second_mode_and_a_rough_one_has():
    assert null_drops(kernel_fit(1.0), n=40, replicates=5).tolist() == [0.0] * 5
    rough = null_drops(kernel_fit(0.25), n=40, replicates=5)
    assert (rough.diff() >= 0).all() and rough.max() > 0.1


def test_drops_repeat_with_the_seed_and_work_in_one_dimension():
    first, second, other = (null_drops(kernel_fit(0.3), 40, 4, k=1, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_the_threshold_removes_chance_modes_and_keeps_real_ones():
    drops = null_drops(kernel_fit(0.35), n=60, replicates=19)
    threshold = null_threshold(drops)
    generator = torch.Generator().manual_seed(7)
    one = torch.randn(10, 60, 2, generator=generator)
    two = one.clone()
    two[:, :30, 0] += 6
    assert sum(len(find_modes(d, significance=threshold)) > 1 for d in kernel_fit(0.35)(one)) <= 2
    assert all(len(find_modes(d, significance=threshold)) >= 2 for d in kernel_fit(0.35)(two))


PLACES = [(19, 0.95, 19), (99, 0.95, 95), (100, 0.95, 96), (9, 0.5, 5)]


@pytest.mark.parametrize("count, level, place", PLACES)
def test_the_threshold_is_an_order_statistic(count, level, place):
    assert null_threshold(torch.arange(count, 0, -1.0), level) == place


def test_the_threshold_is_exceeded_as_often_as_it_says():
    draws = torch.rand(4000, 40, generator=torch.Generator().manual_seed(0))
    exceeded = [float(row[-1] > null_threshold(row[:-1], 0.9)) for row in draws]
    assert sum(exceeded) / len(exceeded) == pytest.approx(0.1, abs=0.015)


def test_too_few_replicates_for_a_level_is_an_error():
    with pytest.raises(ValueError, match=r"0.95 needs at least 19 replicates .* got 18"):
        null_threshold(torch.zeros(18))


def test_a_fit_that_returns_too_few_densities_is_an_error():
    with pytest.raises(ValueError, match="each of 3 replicates; got 1"):
        null_drops(lambda points: [MultivariateNormal(torch.zeros(2), torch.eye(2))], n=10, replicates=3)
    with pytest.raises(ValueError, match="at least one replicate"):
        null_drops(kernel_fit(1.0), n=0, replicates=3)


TABLE = NullTable((100, 1000, 10_000), (0.8, 0.4, 0.1), settings={"layers": 4})


@pytest.mark.parametrize("n, expected", [(1, 0.8), (100, 0.8), (316.2278, 0.6), (1000, 0.4), (10**6, 0.1)])
def test_a_table_interpolates_in_log_n_and_is_level_beyond_its_ends(n, expected):
    assert TABLE(n) == pytest.approx(expected, abs=1e-5)


def test_a_table_survives_a_file(tmp_path):
    TABLE.save(tmp_path / "null.json")
    assert NullTable.load(tmp_path / "null.json") == TABLE


BAD = {
    "descending": ((1000, 100), (0.1, 0.2)),
    "lengths": ((100, 1000), (0.1,)),
    "empty": ((), ()),
    "zero": ((0, 10), (0.1, 0.1)),
}


@pytest.mark.parametrize("sizes, thresholds", BAD.values(), ids=BAD)
def test_a_malformed_table_is_an_error(sizes, thresholds):
    with pytest.raises(ValueError, match="as many thresholds as sizes"):
        NullTable(sizes, thresholds)


def test_other_errors_say_what_was_got(tmp_path):
    with pytest.raises(ValueError, match="positive number of points; got 0"):
        TABLE(0)
    (tmp_path / "other.json").write_text("{")
    with pytest.raises(ValueError, match="not a NullTable's JSON"):
        NullTable.load(tmp_path / "other.json")
