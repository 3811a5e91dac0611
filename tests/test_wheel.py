"""An installed wheel carries what a clone has in data/: the corpus and the notebooks' checkpoints."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEFT_OUT = {"__pycache__", ".ipynb_checkpoints"}

pytest.importorskip("hatchling", reason="the build backend is not installed: pip install hatchling")


def python(code: str, *arguments, cwd: Path, **environment) -> str:
    """What a fresh interpreter prints; its error is the failure's text."""
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def build(kind: str, into: Path) -> zipfile.ZipFile:
    """The wheel that `pip install .` (kind "wheel") or `pip install -e .` ("editable") would install."""
    name = python(f"import sys, hatchling.build as b; print(b.build_{kind}(sys.argv[1]))", into, cwd=ROOT)
    return zipfile.ZipFile(into / name)


def files(folder: str) -> set[str]:
    found = (path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file())
    return {path.as_posix() for path in found if LEFT_OUT.isdisjoint(path.parts) and path.suffix != ".pyc"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder that holds the unpacked wheel and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    with build("wheel", tmp_path_factory.mktemp("wheel")) as wheel:
        wheel.extractall(folder)
    return folder


def test_the_wheel_holds_the_package_and_the_data(installed):
    data = files("data/senses") | files("data/checkpoints")
    expected = files("labkit") | {f"labkit/{name}" for name in data}
    found = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    assert {name for name in found if not name.startswith("labkit-")} == expected


def test_an_editable_install_copies_nothing(tmp_path):
    with build("editable", tmp_path) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info/" not in name]
        assert [Path(name).suffix for name in names] == [".pth"]
        assert Path(wheel.read(names[0]).decode().strip()) == ROOT


def test_the_installed_package_reads_its_own_corpus(installed, tmp_path):
    code = """
import labkit, labkit.text
corpus = labkit.text.load_corpus("senses", per_word=20)
print(labkit.__file__, labkit.text.data_folder(), len(corpus), sep="\\n")
"""
    module, data, sentences = python(code, cwd=tmp_path, PYTHONPATH=str(installed)).splitlines()
    assert Path(module).is_relative_to(installed)
    assert Path(data) == installed / "labkit" / "data"
    assert int(sentences) > 20 * 64


def test_the_wheel_holds_the_folder_of_checkpoints(installed):
    assert (installed / "labkit" / "data" / "checkpoints" / "README.md").is_file()


def test_the_installed_package_loads_its_checkpoint(installed, tmp_path):
    if not (ROOT / "data" / "checkpoints" / "quickstart").is_dir():
        pytest.skip("there is no data/checkpoints/quickstart yet")
    code = """
import labkit, labkit.text
model = labkit.load(labkit.text.data_folder() / "checkpoints" / "quickstart")
print(labkit.__file__, len(model.vocabulary_), sep="\\n")
"""
    module, words = python(code, cwd=tmp_path, PYTHONPATH=str(installed)).splitlines()
    assert Path(module).is_relative_to(installed) and int(words) > 0
