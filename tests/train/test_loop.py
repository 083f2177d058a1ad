"""The loop: it learns, it resumes exactly, and several processes learn what one does."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline.core.errors import GristmillError, StoreError
from pipeline.train.batches import Maker, Piece
from pipeline.train.checkpoint import load_model
from pipeline.train.curve import CURVE, plot, read_curve
from pipeline.train.dataset import Rows
from pipeline.train.loop import Result, fit
from pipeline.train.optim import Muon, clip, orthogonal, rate
from pipeline.train.settings import Machine, Settings
from pipeline.train.shapes import Kind, Shape

MACHINE = Machine(device="cpu", threads=1, rows=4, log_every=1)
FREE = {"weight_decay": 0.0, "warmup": 2, "decay": 0.2}


def tiny(kind: Kind = "gpt") -> Shape:
    return Shape(kind=kind, layers=2, width=32, heads=4, hidden=64, tokens=300, end=0, length=64)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "optimizer", "least"),
    [("gpt", "adamw", 1.0), ("gpt", "muon", 1.0), ("bert", "muon", 4.5), ("t5", "muon", 2.0)],
)
def test_a_batch_is_learnt_by_heart(kind: Kind, optimizer: str, least: float, make_rows: Callable[..., Rows]) -> None:
    rows = make_rows(n=4)
    settings = Settings(steps=90, batch=4, optimizer=optimizer, learning_rate=0.02, **FREE)
    losses = [point.loss for point in fit(tiny(kind), rows, settings, MACHINE).curve]
    assert losses[0] > 5 and losses[-1] < least, losses[-1]


@pytest.mark.slow
def test_parts_of_a_batch_are_the_batch(make_rows: Callable[..., Rows]) -> None:
    settings = Settings(steps=4, batch=8, optimizer="adamw", warmup=0)
    whole = fit(tiny(), make_rows(), settings, MACHINE.model_copy(update={"rows": 8}))
    parts = fit(tiny(), make_rows("again"), settings, MACHINE.model_copy(update={"rows": 3}))
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt", "bert", "t5"])
def test_killed_and_resumed_is_never_killed_to_the_bit(
    kind: Kind, make_rows: Callable[..., Rows], tmp_path: Path
) -> None:
    rows = make_rows(n=10)
    settings = Settings(steps=9, batch=4, warmup=2, seed=5, pairs=kind == "bert")
    never = fit(tiny(kind), rows, settings, MACHINE, out=tmp_path / "never")
    killed = MACHINE.model_copy(update={"save_every": 5})

    def kill(said: str) -> None:
        if "step 7 " in said:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tiny(kind), rows, settings, killed, out=tmp_path / "killed", tell=kill)
    assert [point.step for point in read_curve(tmp_path / "killed" / CURVE)] == [1, 2, 3, 4, 5, 6]
    resumed = fit(tiny(kind), rows, settings, killed, out=tmp_path / "killed", resume=True)
    assert resumed.curve == never.curve
    for name, tensor in never.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    files = ("model.safetensors", "checkpoints/step-00000009/optimizer.safetensors", CURVE, "model.json")
    for file in files:
        assert (tmp_path / "never" / file).read_bytes() == (tmp_path / "killed" / file).read_bytes(), file
    loaded, sheet = load_model(tmp_path / "killed")
    assert sheet.settings == settings and sheet.corpus == "c" * 64
    assert torch.equal(loaded.embedding.weight, never.model.embedding.weight)
    again = fit(tiny(kind), rows, settings, killed, out=tmp_path / "killed", resume=True)
    assert again.curve == never.curve and again.tokens == 0
    with pytest.raises(GristmillError, match="--resume"):
        fit(tiny(kind), rows, settings, killed, out=tmp_path / "killed")
    with pytest.raises(GristmillError, match="another corpus, model or settings"):
        other = settings.model_copy(update={"learning_rate": 0.1})
        fit(tiny(kind), rows, other, killed, out=tmp_path / "killed", resume=True)
    (tmp_path / "killed" / "model.safetensors").write_bytes(b"half")
    with pytest.raises(StoreError, match=r"model.safetensors: not a whole file"):
        load_model(tmp_path / "killed")


CASES: dict[str, tuple[Kind, str, bool]] = {
    "shared-rows": ("gpt", "adamw", False),
    "idle-head": ("bert", "adamw", False),
    "split": ("gpt", "muon", True),
    "split-twice": ("t5", "muon", True),
}
"""What two processes learn together: kind, optimizer, and whether they split the model."""

TOGETHER = Settings(steps=4, batch=8, warmup=0)


def learn_together(folder: Path) -> None:
    """Every case, and of one its second half again; run by two processes."""
    from torch import distributed

    rows = Rows(folder / "rows")
    for name, (kind, optimizer, shard) in CASES.items():
        settings = TOGETHER.model_copy(update={"optimizer": optimizer})
        machine = MACHINE.model_copy(update={"rows": 2, "shard": shard, "save_every": 2})
        fit(tiny(kind), rows, settings, machine, out=folder / name)
    if distributed.get_rank() == 0:
        shutil.copytree(folder / "split", folder / "again")
        shutil.rmtree(folder / "again" / "checkpoints" / "step-00000004")
        (folder / "again" / "model.safetensors").unlink()
    distributed.barrier()
    machine = MACHINE.model_copy(update={"rows": 2, "shard": True, "save_every": 2})
    ended = fit(tiny(), rows, TOGETHER, machine, out=folder / "again", resume=True)
    batch = Maker(tiny()).next_tokens([Piece(row["input_ids"], row["segment_ids"]) for row in (rows[0], rows[5])])
    for _ in range(2):
        split, _ = ended.model.judge(batch)
    if distributed.get_rank() == 0:
        torch.testing.assert_close(split, load_model(folder / "again")[0].judge(batch)[0])


@pytest.mark.slow
def test_two_processes_learn_what_one_does(make_rows: Callable[..., Rows], tmp_path: Path) -> None:
    rows = make_rows()
    (tmp_path / "run.py").write_text(
        "import sys\nfrom pathlib import Path\nfrom pipeline.train.processes import processes\n"
        "from tests.train.test_loop import learn_together\n"
        "with processes():\n    learn_together(Path(sys.argv[1]))\n"
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, str(tmp_path / "run.py"), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name, (kind, optimizer, _) in CASES.items():
        alone = fit(tiny(kind), rows, TOGETHER.model_copy(update={"optimizer": optimizer}), MACHINE)
        points = read_curve(tmp_path / name / CURVE)
        assert [point.loss for point in points] == pytest.approx(losses(alone), rel=1e-5), name
        assert [point.norm for point in points] == pytest.approx([one.norm for one in alone.curve], rel=1e-4), name
        loaded, _ = load_model(tmp_path / name)
        for part, tensor in alone.model.state_dict().items():
            torch.testing.assert_close(loaded.state_dict()[part], tensor, rtol=1e-3, atol=1e-4)
    for file in ("model.safetensors", "checkpoints/step-00000004/optimizer.safetensors", CURVE):
        assert (tmp_path / "split" / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file


def test_rates_go_up_stay_and_go_down() -> None:
    settings = Settings(steps=10, warmup=2, decay=0.5, final=0.1)
    found = [rate(settings, step) for step in range(10)]
    assert found[:6] == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert found[5:] == pytest.approx([1.0, 0.82, 0.64, 0.46, 0.28])
    with pytest.raises(ValueError, match="more than 10 steps"):
        Settings(steps=10, warmup=8, decay=0.5)


@pytest.mark.parametrize("most", [0.0, 1.0, 5.0, 100.0])
def test_gradients_are_clipped_as_torch_clips_them(most: float) -> None:
    torch.manual_seed(0)
    mine, theirs = torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)
    for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        one.grad = 2 * torch.randn(one.shape)
        other.grad = one.grad.clone()
    norm = clip(mine, Settings(steps=9, warmup=0, clip=most))
    assert 5 < float(norm) < 100
    assert norm == torch.nn.utils.clip_grad_norm_(theirs.parameters(), most or float("inf"))
    for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


FREED = """
import resource
import torch
from pipeline.train.device import keep_memory
keep_memory(torch.device("cpu"))
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.ones(1 << 22) for _ in range(8)]
    del tensors
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_memory_of_a_step_serves_the_next() -> None:
    found = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    # 128 MiB are 32,768 pages.
    assert int(found.stdout) < 1000


def test_muon_steps_are_orthogonal_part_by_part() -> None:
    torch.manual_seed(0)
    for matrix in (torch.randn(1, 20, 50), torch.randn(2, 50, 20)):
        values = torch.linalg.svdvals(orthogonal(matrix))
        assert values.min() > 0.3 and values.max() < 1.3
    weight = torch.nn.Parameter(torch.zeros(120, 20))
    weight.parts = 3
    weight.grad = torch.randn(120, 20)
    Muon([weight], lr=1.0, weight_decay=0.0).step()
    for part in weight.detach().chunk(3):
        values = torch.linalg.svdvals(part / (0.2 * 40**0.5))
        assert values.min() > 0.3 and values.max() < 1.3


def test_what_cannot_be_trained_says_why(make_rows: Callable[..., Rows]) -> None:
    rows = make_rows()
    with pytest.raises(GristmillError, match="the model has 64 and 400"):
        fit(tiny().model_copy(update={"tokens": 400}), rows, Settings(steps=2, warmup=0), MACHINE)
    with pytest.raises(GristmillError, match="does not learn from pairs"):
        fit(tiny(), rows, Settings(steps=2, warmup=0, pairs=True), MACHINE)
    with pytest.raises(GristmillError, match="lower --learning-rate"):
        settings = Settings(steps=30, warmup=0, optimizer="adamw", learning_rate=1.0, clip=0.0, weight_decay=10.0)
        fit(tiny(), rows, settings.model_copy(update={"learning_rate": 1e30}), MACHINE)
    if not torch.cuda.is_available():
        with pytest.raises(GristmillError, match="sees no GPU"):
            fit(tiny(), rows, Settings(steps=2, warmup=0), Machine(device="cuda"))


@pytest.mark.slow
def test_curves_become_pictures(make_rows: Callable[..., Rows], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    curve = fit(tiny(), make_rows(), Settings(steps=2, warmup=0), MACHINE).curve
    scored = [point.model_copy(update={"bits_per_byte": {"texts": 2.0}}) for point in curve]
    plot({"one": curve, "two": scored}, tmp_path / "curve.svg")
    assert "<svg" in (tmp_path / "curve.svg").read_text()


def losses(result: Result) -> list[float]:
    return [point.loss for point in result.curve]
