"""Ray finds what one process does, also when one of two machines is lost in the middle."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lastbit.models.shipped import resolve_model
from lastbit.sweep import Ray, sweep
from lastbit.sweep.run import no_limits
from soundness.small import certified
from support.swept import BOTH, images_at, random_images, swept

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two machines, of one processor each, and this process in the first."""
    utilities = pytest.importorskip("ray.cluster_utils")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = utilities.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        other = made.add_node(num_cpus=1)
        made.wait_for_nodes()
        ray.init(address=made.address, log_to_driver=False)
        yield made, other
        ray.shutdown()
        made.shutdown()


def test_ray_by_itself_finds_the_same(tmp_path: Path) -> None:
    model = certified(tmp_path) / "model.onnx"
    images = images_at(tmp_path / "i.npy", resolve_model(model), random_images(6, 6))
    right = swept(tmp_path / "right", images, model)
    found = sweep(resolve_model(model), images, tmp_path / "s", engine=Ray(2), goals=BOTH)
    assert found.content() == right.content()
    assert [*found.rows_of_each()] == [*right.rows_of_each()]
    assert not ray.is_initialized()


def test_one_of_two_machines_is_lost(tmp_path: Path, cluster: Any) -> None:
    made, other = cluster
    model = certified(tmp_path) / "model.onnx"
    images = images_at(tmp_path / "i.npy", resolve_model(model), random_images(150, 6))
    right = swept(tmp_path / "right", images, model, limits=no_limits)
    lost = []

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "running neighbours" and done > 40 and not lost:
            lost.append(done)
            made.remove_node(other, allow_graceful=False)

    found = sweep(
        resolve_model(model), images, tmp_path / "s", engine=Ray(1), goals=BOTH,
        limits=no_limits, progress=progress,
    )  # fmt: skip
    assert lost and found.content() == right.content()
    deadline = time.monotonic() + 60
    while sum(node["Alive"] for node in ray.nodes()) > 1 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert sum(node["Alive"] for node in ray.nodes()) == 1
