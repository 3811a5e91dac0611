"""Checkpoints as folders: tensors in safetensors, everything else in JSON; written whole or not at all."""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

TENSORS = "tensors.safetensors"
INDEX = "index.json"  # names the parts and the SHA-256 of each


class CheckpointError(ValueError):
    """A checkpoint that cannot be read."""


def write_folder(path: str | Path, tensors: dict[str, torch.Tensor], parts: dict[str, object]) -> None:
    """Write tensors and JSON parts as a folder. A folder already there is replaced only once all is written.

    Raises:
        FileExistsError: if something other than a checkpoint is there; it is never replaced.
        OSError: if the disk is full or not writable; what was there before is untouched.
    """
    path = Path(path)
    check_place(path)
    files = {TENSORS: save_tensors({k: v.detach().cpu().contiguous() for k, v in tensors.items()})}
    files |= {f"{name}.json": json.dumps(part, ensure_ascii=False).encode() for name, part in parts.items()}
    files[INDEX] = json.dumps({name: hashlib.sha256(data).hexdigest() for name, data in files.items()}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        for name, data in files.items():
            with open(fresh / name, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        fresh.chmod(0o755)
        _swap(fresh, path)
    except OSError as error:
        raise OSError(
            error.errno, f"could not save to {path}: {error.strerror}; nothing that was there is changed"
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)  # no longer there if all went well


def check_place(path: str | Path) -> None:
    """Whether `write_folder` may write there: worth knowing before hours of training.

    Raises:
        FileExistsError: for a file, or a folder that holds anything but a checkpoint, since saving replaces it whole.
    """
    path = Path(path)
    if not path.exists():
        return
    found = {file.name for file in path.iterdir()} if path.is_dir() else {path.name}
    foreign = sorted(name for name in found if name != TENSORS and not name.endswith(".json"))
    if foreign or (found and TENSORS not in found):
        what = f"holds {foreign[0]}" if foreign and path.is_dir() else "is no checkpoint"
        raise FileExistsError(f"{path} exists and {what}; expected a new folder, or one with a checkpoint alone")


def _swap(fresh: Path, path: Path) -> None:
    """Put `fresh` in the place of `path`; at every moment one of the two is complete."""
    if not path.exists():
        fresh.rename(path)
        return
    old = fresh.with_name(fresh.name + "-old")
    path.rename(old)
    try:
        fresh.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def read_folder(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """Tensors and JSON parts that `write_folder` wrote.

    Raises:
        FileNotFoundError: if there is no checkpoint.
        CheckpointError: if a file is missing, truncated or was changed.
    """
    path = Path(path)
    if not (path / INDEX).is_file():
        raise FileNotFoundError(
            f"{path} is no labkit checkpoint (no {INDEX} in it); expected a folder written by save"
        )
    try:
        index = json.loads((path / INDEX).read_text(encoding="utf-8"))
        if not isinstance(index, dict) or TENSORS not in index or any("/" in name for name in index):
            raise CheckpointError(f"{path / INDEX} is not of a labkit checkpoint; expected a folder written by save")
        files = {name: (path / name).read_bytes() for name in index}
    except (json.JSONDecodeError, FileNotFoundError, UnicodeDecodeError) as error:
        raise CheckpointError(f"the checkpoint {path} is incomplete ({error}); save it again") from error
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != index[name]:
            raise CheckpointError(
                f"{path / name} is truncated or was changed since it was saved; save the checkpoint again"
            )
    try:
        tensors = load_tensors(files.pop(TENSORS))
    except SafetensorError as error:
        raise CheckpointError(f"{path / TENSORS} cannot be read ({error}); save the checkpoint again") from error
    return tensors, {name.removesuffix(".json"): json.loads(data) for name, data in files.items()}
