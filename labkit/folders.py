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
        OSError: if the disk is full or not writable; what was there before is untouched.
    """
    path = Path(path)
    files = {TENSORS: save_tensors({k: v.detach().cpu().contiguous() for k, v in tensors.items()})}
    files |= {f"{name}.json": json.dumps(part, ensure_ascii=False).encode() for name, part in parts.items()}
    files[INDEX] = json.dumps({name: hashlib.sha256(data).hexdigest() for name, data in files.items()}).encode()
    if path.exists() and not (path / INDEX).exists():
        raise FileExistsError(
            f"{path} exists and is no checkpoint; expected a new folder or an earlier checkpoint"
        )
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
        shutil.rmtree(fresh, ignore_errors=True)
        raise OSError(
            error.errno, f"could not save to {path}: {error.strerror}; nothing that was there is changed"
        ) from error


def _swap(fresh: Path, path: Path) -> None:
    """Put `fresh` in the place of `path`; at every moment one of the two is complete."""
    if not path.exists():
        fresh.rename(path)
        return
    old = fresh.with_name(fresh.name + "-old")
    path.rename(old)
    fresh.rename(path)
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
