"""Labelled sets by name: from a folder and by download they are the same."""

import hashlib
import zipfile
from pathlib import Path

import pytest
from sense_files import coarse_set

from labkit.text import datasets
from labkit.text.datasets import DATASETS, DataSet, load_dataset
from labkit.text.download import Source
from labkit.text.occurrences import SenseSet
from labkit.text.sense_sets import read_coarsewsd


def test_unknown_name():
    with pytest.raises(KeyError) as caught:
        load_dataset("senseval1")
    assert str(caught.value).startswith("no labelled set is called 'senseval1'; expected one of 'baroni2012', 'coarse")


@pytest.mark.parametrize("name", DATASETS)
def test_a_set_that_is_not_there_says_how_to_get_it_and_its_licence(name, tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    source = DATASETS[name].source
    with pytest.raises(FileNotFoundError, match=f"save it as {source.path} in a folder, and set LABKIT_DATA") as caught:
        load_dataset(name)
    assert source.about in str(caught.value) and ("licen" in source.about.lower() or "CC BY" in source.about)


@pytest.mark.parametrize("name", DATASETS)
def test_what_can_be_downloaded_has_a_checksum(name):
    source = DATASETS[name].source
    assert (source.url is None) == (source.sha256 is None)


def test_a_folder_and_a_download_are_read_alike(tmp_path, monkeypatch):
    pooch = pytest.importorskip("pooch")
    pooch.get_logger().setLevel("WARNING")
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    copy = coarse_set(tmp_path / "data" / "little", n_test=6, n_train=4)
    archive = tmp_path / "little.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(copy.rglob("*.txt")):
            file.write(path, f"Little_v1/{path.relative_to(copy)}")
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    source = Source("little", "a small set (no licence)", "", _served(archive), sha256)
    monkeypatch.setitem(datasets.DATASETS, "little", DataSet(read_coarsewsd, source))
    monkeypatch.setattr(pooch, "retrieve", _from_disk(pooch, archive))
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    by_folder = load_dataset("little")
    monkeypatch.delenv("LABKIT_DATA")
    by_name = load_dataset("little")
    assert isinstance(by_name, SenseSet) and by_name.words == by_folder.words == ["bank", "bill"]
    for part in ("train", "test"):
        for word, occurrences in getattr(by_folder, part).items():
            other = getattr(by_name, part)[word]
            assert other.sentences == occurrences.sentences and other.senses.tolist() == occurrences.senses.tolist()
    monkeypatch.setitem(datasets.DATASETS, "little", DataSet(read_coarsewsd, source._replace(sha256="0" * 64)))
    with pytest.raises(ValueError, match="does not match the known hash"):
        load_dataset("little")


def _served(archive: Path) -> str:
    return f"https://example.org/{archive.name}"


def _from_disk(pooch, archive: Path):
    """pooch.retrieve, the network replaced by a file: the checksum and the unpacking are its own."""
    retrieve = pooch.retrieve

    def copy(url, output_file, pooch_object):
        Path(output_file).write_bytes(archive.read_bytes())

    return lambda url, known_hash, **options: retrieve(url, known_hash, downloader=copy, **options)
