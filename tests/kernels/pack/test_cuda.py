"""What can be known of the CUDA kernels without a GPU: their grid logic, and the machine code that they become."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from pipeline.backends.tokenizer import load
from pipeline.kernels import pack
from pipeline.kernels.pack.check import first_difference, load_oracle, samples
from pipeline.kernels.pack.cpu import Cpu
from pipeline.kernels.pack.lanes import Engine
from pipeline.kernels.pack.plan import lay
from pipeline.tokens.fit import fit
from pipeline.tokens.window import Host
from tests.kernels.pack.conftest import TEXT
from tests.kernels.pack.test_engine import column, random_texts

Made = Callable[[str], Path]
ROOT = Path(__file__).parents[3]
HAS_COMPILER = importlib.util.find_spec("numba_cuda") is not None

# Python integers wrap around silently in compiled code only; numpy warns of it.
SIMULATED = """
import json, sys, warnings
warnings.filterwarnings("ignore", "overflow", RuntimeWarning)
from pathlib import Path
import numpy as np
import pyarrow as pa
from pipeline.kernels.pack.gpu import Cuda
from pipeline.kernels.pack.lanes import Engine
from pipeline.kernels.pack.plan import lay
from pipeline.tokens.fit import fit

class Small(Cuda):
    threads, least_blocks, workers = 32, 1, 32

engine = Engine(Path(sys.argv[1]), Small, batch_bytes=4000, slots=1 << 11)
texts = pa.array(json.load(sys.stdin), pa.large_string())
engine.encode(pa.array(["", None], pa.large_string()))
ids, offsets = engine.encode(texts)
blocks = engine.blocks(texts.slice(0, 1), fit, 32, end=1, pad=2)
rows = [array.copy_to_host().tolist() for array in (blocks.ids, blocks.positions, blocks.mask, blocks.boundaries)]
window = engine.window()
sizes = np.concatenate([window.add(texts.slice(at, 1)) for at in (0, 2, 4)])
begun = [window.fill(lay(sizes[:2], fit, 32), 32, end=1, pad=2)]
begun += [window.fill(lay(sizes, fit, 48), 48, end=1, pad=2)]
filled = [ids.tolist() for ids in (begun[0](), begun[1]())]
window.forget(int(sizes[:2].sum()))
filled += [window.fill(lay(sizes[2:], fit, 32), 32, end=1, pad=2)().tolist()]
print(json.dumps([ids.tolist(), offsets.tolist(), rows, filled]))
"""


@pytest.mark.slow
def test_the_simulated_grid_gives_what_the_loops_give(tokenizers: Made) -> None:
    texts = [TEXT, *(TEXT * n for n in (12, 0, 24)), "a" * 600, "磨" * 100 + TEXT]
    assert sum(len(text.encode()) for text in texts) > 10_000
    path = tokenizers("llama3")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SIMULATED, str(path)],
        input=json.dumps(texts),
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    engine = Engine(path, Cpu)
    ids, offsets = engine.encode(column(texts))
    blocks = engine.blocks(column(texts[:1]), fit, 32, end=1, pad=2)
    rows = [array.tolist() for array in (blocks.ids, blocks.positions, blocks.mask, blocks.boundaries)]
    host = Host(load(path))
    sizes = host.add(column([texts[at] for at in (0, 2, 4)]))
    plans = [(lay(sizes[:2], fit, 32), 32), (lay(sizes, fit, 48), 48)]
    filled = [host.fill(plan, length, end=1, pad=2)().tolist() for plan, length in plans]
    host.forget(int(sizes[:2].sum()))
    filled.append(host.fill(lay(sizes[2:], fit, 32), 32, end=1, pad=2)().tolist())
    assert json.loads(done.stdout) == [ids.tolist(), offsets.tolist(), rows, filled]
    assert first_difference(engine, load_oracle(path), texts) is None


class Recorded(Cpu):
    """Remembers the types with which each kernel is launched."""

    types: ClassVar[dict[str, Any]] = {}

    def launch(self, name: str, n: int, *args: Any) -> None:
        import numba

        self.types[name] = (numba.typeof(n), numba.typeof(args))
        super().launch(name, n, *args)


REGISTERS = {"cut": 32, "walk": 48, "merge": 48, "emit": 48}
"""At most; others 32. A multiprocessor has 65,536: 2,048 threads of 32 registers, 1,344 of 48."""


@pytest.mark.slow
@pytest.mark.skipif(not HAS_COMPILER, reason=f"numba-cuda is not installed: {pack.INSTALL}")
@pytest.mark.parametrize("capability", [(8, 0), (9, 0)], ids="sm_{0[0]}{0[1]}".format)
def test_kernels_become_machine_code_without_spills(
    tokenizers: Made, tmp_path: Path, capability: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from numba import cuda
    from numba.cuda import dispatcher

    from pipeline.kernels.pack import gpu

    here = SimpleNamespace(compute_capability=capability)
    monkeypatch.setattr(dispatcher, "get_current_device", lambda *_: here, raising=False)
    engine = Engine(tokenizers("gpt2"), Recorded)
    engine.blocks(column([TEXT, "ab" * 400]), fit, 64, end=0, pad=0)
    assert set(Recorded.types) == set(gpu.KERNELS)
    gpu.kernel.cache_clear()
    for name, types in Recorded.types.items():
        source = tmp_path / f"{name}.ptx"
        source.write_text(cuda.compile_ptx(gpu.kernel(name).py_func, types, cc=capability)[0])
        target = f"-arch=sm_{capability[0]}{capability[1]}"
        made = subprocess.run(
            [assembler(), "-v", target, str(source), "-o", str(source.with_suffix(".cubin"))],
            capture_output=True,
            text=True,
            check=True,
        )
        used = int(re.findall(r"Used (\d+) registers", made.stderr)[-1])
        print(f"{name}: {used} registers on {target}")
        assert "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in made.stderr, name
        assert used <= REGISTERS.get(name, 32), name
        assert source.with_suffix(".cubin").stat().st_size > 0


def assembler() -> str:
    """ptxas, of the wheel that comes with numba-cuda[cu12], or of a CUDA toolkit on the path."""
    found = importlib.util.find_spec("nvidia.cuda_nvcc")
    for place in found.submodule_search_locations or () if found else ():
        if (Path(place) / "bin" / "ptxas").exists():
            return str(Path(place) / "bin" / "ptxas")
    named = shutil.which("ptxas")
    if named is None:
        pytest.skip(f"there is no ptxas: {pack.INSTALL}")
    return named


@pytest.mark.gpu
@pytest.mark.parametrize("writing", ["gpt2", "llama3", "llama3 whole words"])
def test_on_a_gpu_ids_are_those_of_tokenizers(tokenizers: Made, writing: str) -> None:
    path = tokenizers(writing)
    engine = pack.engine(path, "cuda")
    texts = [*samples(), *random_texts(20_000), "磨坊" * 1000, *(TEXT * n for n in range(0, 2000, 100))]
    assert first_difference(engine, load_oracle(path), texts) is None
    assert first_difference(engine, load_oracle(path), texts) is None


@pytest.mark.gpu
def test_on_a_gpu_rows_are_those_of_the_loops(tokenizers: Made) -> None:
    path = tokenizers("llama3")
    texts: pa.LargeStringArray = column([TEXT * n for n in (1, 0, 7, 300, 2, 2, 2)])
    on_gpu = pack.engine(path, "cuda").blocks(texts, fit, 128, end=3, pad=4)
    on_cpu = Engine(path, Cpu).blocks(texts, fit, 128, end=3, pad=4)
    for name in ("ids", "positions", "mask", "boundaries"):
        assert np.array_equal(getattr(on_gpu, name).copy_to_host(), getattr(on_cpu, name)), name
