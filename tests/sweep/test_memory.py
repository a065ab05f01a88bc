"""Memory does not grow with the number of images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support.absorbing import absorber

SCRIPT = """
import resource, sys
from pathlib import Path
from lastbit.data import image_set, open_images
from lastbit.graph import read_onnx
from lastbit.models.shipped import resolve_model
from lastbit.sweep import Goals, Local, sweep
folder = Path(sys.argv[1])
files = resolve_model(folder / "model.onnx")
network = read_onnx(files.asked)
images = image_set(open_images(sys.argv[2]), network.input_shape, network.question)
found = sweep(files, images, folder / sys.argv[3], engine=Local(1), goals=Goals(each=True))
assert found.executions >= len(images)
for part in found.rows_of_each():
    assert part
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def most_kib(folder: Path, data: Path, out: str) -> int:
    """The most memory of a process that sweeps these images, in KiB."""
    source = Path(__file__).resolve().parents[2] / "src"
    command = [sys.executable, "-c", SCRIPT, str(folder), str(data), out]
    environment = os.environ | {"PYTHONPATH": str(source)}
    return int(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)


@pytest.mark.slow
def test_memory_is_flat_in_the_number_of_images(tmp_path: Path) -> None:
    """Ten times as many images, 2.8 MB more of them, of whose limits there are 22 MB more."""
    (tmp_path / "model.onnx").write_bytes(absorber(side=28))
    random = np.random.default_rng(0)
    few = random.integers(0, 256, (400, 28, 28), dtype=np.uint8)
    np.save(tmp_path / "few.npy", few)
    np.save(tmp_path / "many.npy", random.integers(0, 256, (4_000, 28, 28), dtype=np.uint8))
    before = most_kib(tmp_path, tmp_path / "few.npy", "few")
    after = most_kib(tmp_path, tmp_path / "many.npy", "many")
    assert after - before < 2 * 1024
