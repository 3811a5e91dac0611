"""What every test run shares: checked shapes, one torch thread, and a seed that is printed.

Annotations in labkit (shapes, types) are enforced here and nowhere else: a user pays nothing for them.
`--no-shapes` runs without, to see whether a slow test is slow by itself.
"""

from pathlib import Path

import pytest
import torch

SEED = 0  # fixed, so that a failure repeats; `pytest --seed 17` tries another

# PEP 484 lets an int stand where a float is asked for; beartype has to be told.
TYPE_CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"


def pytest_addoption(parser):
    group = parser.getgroup("labkit")
    group.addoption("--seed", type=int, default=SEED, help=f"the `seed` fixture (default {SEED})")
    group.addoption("--no-shapes", action="store_true", help="do not enforce labkit's annotations")


def pytest_configure(config):
    torch.set_num_threads(1)  # tensors here are small: more threads cost more than they bring
    if not config.getoption("--no-shapes"):
        from jaxtyping import install_import_hook

        install_import_hook("labkit", TYPE_CHECKER)  # before anything of labkit is imported


def pytest_report_header(config):
    shapes = "off" if config.getoption("--no-shapes") else "enforced"
    return f"labkit: seed {config.getoption('--seed')}, shapes {shapes}, torch {torch.__version__}"


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).with_name("browser") in item.path.parents:
            item.add_marker("browser")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and "seed" in getattr(item, "fixturenames", ()):
        report.sections.append(("seed", f"repeat with --seed {item.config.getoption('--seed')}"))
    return report


@pytest.fixture
def seed(pytestconfig) -> int:
    """The seed of this run, for `torch.Generator().manual_seed(seed)` or a `seed=` argument."""
    return pytestconfig.getoption("--seed")
