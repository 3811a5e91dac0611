"""Checkpoint folders: whole or not at all, and an error that says what is wrong."""

import json
import os
from pathlib import Path

import pytest
import torch

from labkit import CheckpointError
from labkit.folders import INDEX, TENSORS, check_place, read_folder, write_folder

TENSOR = {"a": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(3)}
PARTS = {"settings": {"dim": 2, "words": ["bank", "Bänke"]}, "empty": []}


@pytest.fixture
def folder(tmp_path) -> Path:
    write_folder(tmp_path / "model", TENSOR, PARTS)
    return tmp_path / "model"


def content(folder: Path) -> dict:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_round_trip(folder):
    tensors, parts = read_folder(folder)
    assert parts == PARTS and tensors.keys() == TENSOR.keys()
    assert all(torch.equal(tensors[name], TENSOR[name]) for name in TENSOR)
    assert {file.suffix for file in folder.iterdir()} == {".json", ".safetensors"}
    assert list(folder.parent.iterdir()) == [folder]  # nothing is left beside it


def test_tensors_of_any_layout(tmp_path):
    tensors = {"turned": TENSOR["a"].T, "part": TENSOR["a"][:, 1], "none": torch.zeros(0, 3), "grad": torch.ones(2)}
    tensors["grad"].requires_grad_()
    write_folder(tmp_path / "model", tensors, {})
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in read_folder(tmp_path / "model")[0].items())


def test_a_second_save_replaces_the_first(folder):
    write_folder(folder, {"b": torch.ones(1)}, {"other": 1})
    tensors, parts = read_folder(folder)
    assert list(tensors) == ["b"] and parts == {"other": 1}
    assert list(folder.parent.iterdir()) == [folder]


def test_folders_above_are_made(tmp_path):
    write_folder(tmp_path / "runs" / "deep" / "model", TENSOR, PARTS)
    assert read_folder(str(tmp_path / "runs" / "deep" / "model"))[1] == PARTS


def truncate(folder):
    data = (folder / TENSORS).read_bytes()
    (folder / TENSORS).write_bytes(data[: len(data) // 2])


def change(folder):
    text = (folder / "settings.json").read_text(encoding="utf-8")
    (folder / "settings.json").write_text(text.replace('"dim": 2', '"dim": 3'), encoding="utf-8")


def forge(folder):
    """The sums are right, the tensors are not."""
    import hashlib

    index = json.loads((folder / INDEX).read_text())
    (folder / TENSORS).write_bytes(b"not tensors")
    index[TENSORS] = hashlib.sha256(b"not tensors").hexdigest()
    (folder / INDEX).write_text(json.dumps(index))


DAMAGES = {
    "truncated tensors": (truncate, "tensors.safetensors is truncated or was changed"),
    "changed settings": (change, "settings.json is truncated or was changed"),
    "empty tensors": (lambda f: (f / TENSORS).write_bytes(b""), "truncated or was changed"),
    "missing part": (lambda f: (f / "settings.json").unlink(), "incomplete .*settings.json"),
    "missing tensors": (lambda f: (f / TENSORS).unlink(), "incomplete .*tensors.safetensors"),
    "truncated index": (lambda f: (f / INDEX).write_text('{"tensors'), "incomplete"),
    "binary index": (lambda f: (f / INDEX).write_bytes(b"\xff\xfe\x00"), "incomplete"),
    "index of a web page": (lambda f: (f / INDEX).write_text('["bank"]'), "not of a labkit checkpoint"),
    "index without tensors": (lambda f: (f / INDEX).write_text("{}"), "not of a labkit checkpoint"),
    "index that points elsewhere": (
        lambda f: (f / INDEX).write_text(json.dumps({TENSORS: "", "../secret": ""})), "not of a labkit checkpoint",
    ),
    "forged tensors": (forge, "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_checkpoint(folder, case):
    damage, message = DAMAGES[case]
    damage(folder)
    with pytest.raises(CheckpointError, match=message) as error:
        read_folder(folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("place", ["nowhere", "empty", "file"])
def test_what_is_no_checkpoint(tmp_path, place):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    with pytest.raises(FileNotFoundError, match="is no labkit checkpoint"):
        read_folder(tmp_path / place)


# --- a full disk, and what else can go wrong in writing -----------------------------------------------------------


def full(*arguments, **keywords):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_full_disk_leaves_what_was_there(folder, monkeypatch, call):
    before = content(folder)
    if call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="could not save to .*model: No space left on device; nothing .* is changed"):
        write_folder(folder, {"b": torch.ones(1)}, {})
    assert content(folder) == before and list(folder.parent.iterdir()) == [folder]


def test_a_disk_that_is_really_full(folder, monkeypatch):
    """/dev/full takes no byte: writing to it is what a full disk does."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    import builtins

    before, usual = content(folder), builtins.open

    def to_full(path, mode="r", *arguments, **keywords):
        return usual("/dev/full" if "w" in mode else path, mode, *arguments, **keywords)

    monkeypatch.setattr(builtins, "open", to_full)
    with pytest.raises(OSError, match="No space left on device; nothing .* is changed"):
        write_folder(folder, TENSOR, {})
    monkeypatch.undo()
    assert content(folder) == before and list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_a_swap_that_fails_half_way_is_undone(folder, monkeypatch, error):
    """The old folder is already out of the way when the new one cannot take its place."""
    before, rename, renamed = content(folder), Path.rename, []

    def second_fails(path, target):
        renamed.append(path)
        if len(renamed) == 2:
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(type(error)):
        write_folder(folder, {"b": torch.ones(1)}, {})
    assert content(folder) == before and list(folder.parent.iterdir()) == [folder]


def test_an_interrupt_leaves_nothing_half_written(folder, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    before = content(folder)
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_folder(folder, {"b": torch.ones(1)}, {})
    assert content(folder) == before and list(folder.parent.iterdir()) == [folder]


# --- what is never replaced ---------------------------------------------------------------------------------------


def with_file(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_text("{}")
    return path


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    places = {
        "notes": with_file(tmp_path / "notes", "notes.txt"),
        "a web page": with_file(tmp_path / "site", "index.json", "data.json"),
        "a checkpoint with notes": with_file(tmp_path / "both", INDEX, TENSORS, "notes.md"),
    }
    (tmp_path / "file").write_text("text")
    for place in (*places.values(), tmp_path / "file"):
        with pytest.raises(FileExistsError, match="expected a new folder, or one with a checkpoint alone"):
            write_folder(place, TENSOR, PARTS)
        assert place.exists() and (place.is_file() or "tensor" not in content(place).get(INDEX, b"").decode())


def test_places_that_are_fit(tmp_path, folder):
    truncate(folder)
    for place in (tmp_path / "new", folder, with_file(tmp_path / "empty")):
        check_place(place)
        write_folder(place, TENSOR, PARTS)
        assert read_folder(place)[1] == PARTS
