"""What a run leaves behind: tensors as safetensors, everything else as JSON; whole or not at all, and no pickles."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.backends.tokenizer import CONFIG, FILE
from pipeline.core.errors import GristmillError, MissingBackend, StoreError
from pipeline.core.manifest import Record
from pipeline.core.shards import TEMPORARY, whole, write_text
from pipeline.train.settings import Settings
from pipeline.train.shapes import Shape

if TYPE_CHECKING:
    import torch

    from pipeline.train.model import Model

TOKENIZER = "tokenizer"
MODEL, WEIGHTS, OPTIMIZER, STATE = "model.json", "model.safetensors", "optimizer.safetensors", "state.json"
CLASSIFIER = "classifier.json"


class Sheet(Record):
    """What `model.json` says: the model, how it was trained, and on which corpus, by the digest of its manifest.

    `bits` are those of its weights, where they were quantised.
    """

    gristmill: str
    corpus: str
    shape: Shape
    settings: Settings
    bits: Literal[4, 8] | None = None


class State(Record):
    """Where a run stands: steps done, and the place in the order of rows; and which run it is."""

    step: int
    order: dict[str, int]
    sheet: Sheet


def save_model(folder: Path | None, model: Model, sheet: Sheet, tokenizer: Path) -> None:
    """Weights, sheet and, from the folder that it is in, the tokenizer into a folder.

    Processes that share the model all call it, and one of them names the folder.
    """
    weights = _gathered(model.state_dict())
    if folder:
        copy_tokenizer(tokenizer, folder)
        write_tensors(folder / WEIGHTS, weights)
        write_text(folder / MODEL, sheet.to_json())


def copy_tokenizer(tokenizer: Path, folder: Path) -> None:
    """Put the tokenizer of one folder below another."""
    for name in (FILE, CONFIG):
        if (tokenizer / name).exists():
            write_text(folder / TOKENIZER / name, (tokenizer / name).read_text(encoding="utf-8"))


def read_sheet(folder: Path) -> Sheet:
    """The sheet of a trained model; GristmillError says how to make one."""
    path = folder / MODEL
    try:
        return Sheet.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise GristmillError(f"{path}: no trained model here; `gristmill train CORPUS --out DIR` makes one") from None
    except ValueError as error:
        raise StoreError(f"{path}: not the description of a model ({error})") from error


def load_model(folder: Path) -> tuple[Model, Sheet]:
    """A trained model, on the CPU; StoreError where weights and sheet do not fit."""
    from pipeline.train.model import build
    from pipeline.train.quantize import prepare

    sheet = read_sheet(folder)
    model = build(sheet.shape)
    if sheet.bits:
        prepare(model, sheet.bits)
    put(model, folder / WEIGHTS)
    return model.eval(), sheet


def put(model: Model, path: Path) -> None:
    """Weights of a file into a model; StoreError where they are others."""
    from pipeline.train.sharding import placed

    own = model.state_dict()
    try:
        model.load_state_dict({name: placed(tensor, own.get(name)) for name, tensor in _read(path).items()})
    except RuntimeError as error:
        raise StoreError(f"{path}: not the weights of this model ({error})") from error


def save(
    folder: Path | None, model: Model, optimizers: Mapping[str, torch.optim.Optimizer], state: State, *, keep: int
) -> None:
    """A checkpoint `step-NNNNNNNN` in a folder, of which the last `keep` stay; as in `save_model`, all call it."""
    weights = _gathered(model.state_dict())
    memory = _gathered(
        {
            f"{name}.{index}.{key}": value
            for name, optimizer in optimizers.items()
            for index, values in optimizer.state_dict()["state"].items()
            for key, value in values.items()
        }
    )
    if not folder:
        return
    final = folder / f"step-{state.step:08d}"
    temporary = folder / f"{TEMPORARY}{uuid.uuid4().hex[:12]}"
    temporary.mkdir(parents=True)
    write_tensors(temporary / WEIGHTS, weights)
    write_tensors(temporary / OPTIMIZER, memory)
    write_text(temporary / STATE, state.to_json())
    shutil.rmtree(final, ignore_errors=True)
    os.replace(temporary, final)
    for old in sorted(folder.glob("step-*"))[:-keep]:
        shutil.rmtree(old)


def restore(
    folder: Path, model: Model, optimizers: Mapping[str, torch.optim.Optimizer], sheet: Sheet, *, resume: bool
) -> State | None:
    """The last checkpoint of a folder into model and optimizers; None where there is none.

    GristmillError where there is one and it is not to be resumed, or is one of another run.
    """
    from pipeline.train.sharding import placed

    found = sorted(folder.glob("step-*"))
    if not found:
        return None
    if not resume:
        raise GristmillError(f"{folder}: has checkpoints; go on from them with --resume, or name a new folder")
    try:
        state = State.model_validate_json((found[-1] / STATE).read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(f"{found[-1]}: not a whole checkpoint ({error}); delete it and run again") from error
    if state.sheet.model_copy(update={"gristmill": sheet.gristmill}) != sheet:
        raise GristmillError(f"{found[-1]}: of a run with another corpus, model or settings; name a new folder")
    put(model, found[-1] / WEIGHTS)
    memory: dict[str, dict[int, dict[str, torch.Tensor]]] = {name: {} for name in optimizers}
    parameters = {
        name: [one for group in optimizer.param_groups for one in group["params"]]
        for name, optimizer in optimizers.items()
    }
    for name, value in _read(found[-1] / OPTIMIZER).items():
        whose, index, key = name.split(".", 2)
        memory[whose].setdefault(int(index), {})[key] = placed(value, parameters[whose][int(index)])
    for name, optimizer in optimizers.items():
        groups: list[dict[str, Any]] = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": memory[name], "param_groups": groups})
    return state


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a file of tensors whole; MissingBackend without safetensors."""
    try:
        from safetensors.torch import save_file
    except ImportError:
        raise MissingBackend("safetensors", "checkpoints", "pip install 'gristmill[train]'") from None
    with whole(path) as temporary:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, str(temporary), metadata
        )


def _gathered(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    from pipeline.train.sharding import gathered

    return {name: gathered(tensor) for name, tensor in tensors.items()}


def _read(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path}: not a whole file of tensors ({error}); train again, or take another") from error
