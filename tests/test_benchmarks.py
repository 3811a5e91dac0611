"""The benchmarks run and report what they promise; how long anything takes is for `make bench`, not for a test."""

import contextlib
import io
import json
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch.distributions import Distribution

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RATIOS = {
    "spline_log_prob", "spline_backward", "maf_sample", "ar_spline_sample", "grid_one_word", "notebook_spline",
    "spline_log_prob_floor",
}  # fmt: skip
TINY = ["--tiny", "--rounds", "2"]


@pytest.fixture(scope="module")
def module():
    """Imports from benchmarks/ as its scripts do, which find their neighbours beside them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield import_module


@pytest.fixture(scope="module")
def flows(module):
    if not find_spec("zuko"):
        pytest.skip("zuko, the peer that ratios are taken to, is not installed")
    return module("flows")


@pytest.fixture(scope="module")
def report(flows, tmp_path_factory):
    """What a run over all cases printed, and the table and the picture it left."""
    folder, out = tmp_path_factory.mktemp("flows"), io.StringIO()
    table, picture = folder / "flows.md", folder / "flows.svg"
    with contextlib.redirect_stdout(out):
        flows.main([*TINY, "--json", "--markdown", str(table), "--plot", str(picture)])
    return json.loads(out.getvalue()), table.read_text(encoding="utf-8"), picture.read_text(encoding="utf-8")


def test_flows_print_one_json_object_with_the_promised_ratios(flows, report):
    printed, _, _ = report
    assert set(printed["ratios"]) == RATIOS
    assert all(ratio > 0 for ratio in printed["ratios"].values())
    assert {row["case"] for row in printed["rows"]} == set(flows.CASES)
    assert all(0 < row["lower_ms"] <= row["median_ms"] <= row["upper_ms"] for row in printed["rows"])


def test_rivals_of_a_case_have_as_many_parameters(flows, report):
    for case in flows.CASES:
        counts = {row["library"]: row["parameters"] for row in report[0]["rows"] if row["case"] == case}
        assert counts.pop(flows.FLOOR) is None
        assert {"labkit", "zuko"} <= set(counts) and len(set(counts.values())) == 1


def test_every_row_is_in_the_table_and_in_the_picture(report):
    printed, table, picture = report
    assert sum(line.startswith("| ") for line in table.splitlines()) == 1 + len(printed["rows"])
    assert len(ElementTree.fromstring(picture).findall(".//{*}circle")) == len(printed["rows"])


def test_flows_of_different_sizes_are_refused(flows, monkeypatch):
    case = flows.CASES["notebook"]
    wider = case.rivals | {"labkit": lambda sizes: case.rivals["labkit"](type(sizes)(2, 3, (9, 9), 2))}
    monkeypatch.setitem(flows.CASES, "notebook", flows.Case(**{**vars(case), "rivals": wider}))
    with pytest.raises(RuntimeError, match="expected flows with the same number of parameters .* got {'labkit': "):
        flows.main([*TINY, "--case", "notebook"])


def test_a_peer_that_is_not_installed_is_left_out_and_said(flows, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "nflows", None)
    flows.main([*TINY, "--case", "spline"])
    out, err = capsys.readouterr()
    assert "nflows is not installed and is left out: pip install nflows\n" in err
    assert "| zuko |" in out and "| nflows |" not in out


def test_without_zuko_the_error_says_how_to_install_it(flows, monkeypatch):
    monkeypatch.setitem(sys.modules, "zuko", None)
    with pytest.raises(SystemExit, match="zuko.* is not installed: pip install zuko"):
        flows.main(TINY)


def test_one_round_has_no_quartiles(flows, capsys):
    with pytest.raises(SystemExit):
        flows.main(["--rounds", "1"])
    assert "quartiles need at least 2 rounds; got --rounds 1" in capsys.readouterr().err


def test_only_zuko_runs_without_checks(module):
    rivals, seen = module("flow_rivals"), {}

    def look():
        seen["within"] = Distribution._validate_args

    rivals.import_zuko()
    assert Distribution._validate_args
    rivals.unchecked(look)()
    assert seen == {"within": False} and Distribution._validate_args


def test_every_round_calls_every_function_in_an_order_of_its_own(module):
    interleaved, called = module("interleaved").interleaved, []
    functions = {name: (lambda name=name: called.append(name)) for name in "abc"}
    times = interleaved(functions, rounds=6, warm_up=2, calls=2)
    assert {name: len(took) for name, took in times.items()} == dict.fromkeys("abc", 6)
    rounds = ["".join(called[i : i + 6]) for i in range(0, len(called), 6)]
    assert len(rounds) == 8
    assert all(sorted(order) == list("aabbcc") for order in rounds)
    assert len(set(rounds)) > 1


def test_quartiles(module):
    assert module("interleaved").quartiles([4.0, 1.0, 2.0, 3.0, 5.0]) == (2.0, 3.0, 4.0)


def test_the_floor_multiplies_what_the_conditioners_multiply(flows):
    """The products of one pass hold as many weights as the flow has, but for biases."""
    for name, case in flows.CASES.items():
        rival = flows.build(case.tiny(), "labkit", torch.Generator().manual_seed(0), torch.device("cpu"))
        weights = sum(p.numel() for p in rival.module.parameters() if p.ndim == 2)
        assert sum(a * b for _, a, b, _ in case.tiny().products()) == weights, name


def test_a_ratio_is_the_median_over_rounds_of_labkits_time_over_the_others(flows):
    row = {"case": "spline", "direction": "log_prob"}
    times = {"labkit": [2.0, 3.0, 10.0], "zuko": [4.0, 12.0, 11.0], flows.FLOOR: [1.0, 1.0, 5.0]}
    rows, ratios = flows.summary([row | {"library": library, "times": took} for library, took in times.items()])
    assert ratios == {"spline_log_prob": 0.5, "spline_log_prob_floor": 2.0}  # of .5, .25, .91 and of 2, 3, 2
    by_library = {row["library"]: row for row in rows}
    assert by_library["zuko"]["median_ms"] == 11.0 and by_library["zuko"]["labkit_over_it"] == 0.5
    assert by_library["labkit"]["labkit_over_it"] == 1.0


def test_words_a_second_beside_gensims(module, tmp_path, capsys, monkeypatch):
    skip_gram = module("skipgram")
    text = tmp_path / "river.txt"
    text.write_text("We sat on the grassy bank of the river.\n" * 50, encoding="utf-8")
    monkeypatch.setitem(sys.modules, "gensim", None)
    with pytest.raises(SystemExit, match="gensim, which is not installed: pip install gensim"):
        skip_gram.main(["--corpus", str(text)])
    monkeypatch.setitem(sys.modules, "gensim", object())  # present; what it would do is stood in for
    monkeypatch.setattr(skip_gram, "gensims", skip_gram.ours)
    skip_gram.main(["--corpus", str(text), "--rounds", "2", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["words"] == 450 and all(speed > 0 for speed in printed["words_per_second"].values())
    assert printed["ratio"]["lower"] <= printed["ratio"]["median"] <= printed["ratio"]["upper"]
