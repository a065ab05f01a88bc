"""What a sweep takes, beside brute force; and engines beside each other.

    python bench/sweep.py [MODEL ...] [--data test] [--images N] [--engines K]

For each model: the executions of a sweep by one process, and of brute force; the CPU time of the
sweep, the bounds for all images included, and that of brute force by ONNX Runtime. The latter is
extrapolated from executions that are timed right before and after the sweep, because brute force of
MNIST's test images is 7.85 million executions. Then the neighbours of K images are all run by one
process, by two, and, where it is installed, by Ray on two local nodes of one processor each: time
by the clock, which on a machine that others use says little. They have to find the same bytes.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from lastbit.data import ImageSet, image_set, open_images
from lastbit.graph import read_onnx
from lastbit.models.shipped import ModelFiles, resolve_model
from lastbit.runtimes import OnnxRuntime
from lastbit.sweep import Engine, Local, Ray, no_limits, sweep

SAMPLE = 300
"""Executions that are timed, before and after."""


def images_of(files: ModelFiles, data: str, count: int | None) -> ImageSet:
    """The first so many images, for this model."""
    network = read_onnx(files.asked)
    return image_set(open_images(data), network.input_shape, network.question, first=count)


def seconds_of_one(files: ModelFiles, images: ImageSet) -> float:
    """CPU time of an execution of one image by ONNX Runtime, at its defaults, with one thread."""
    run = OnnxRuntime().load(files.asked)
    given = images.take([k % len(images) for k in range(SAMPLE)])
    run(given[:1])
    start = time.process_time()
    for image in given:
        run(image[None])
    return (time.process_time() - start) / SAMPLE


def against_brute_force(files: ModelFiles, images: ImageSet) -> None:
    """Print what a sweep by one process takes, and what brute force would."""
    before = seconds_of_one(files, images)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        found = sweep(files, images, Path(folder), engine=Local(1))
        spent = time.process_time() - start
    one = (before + seconds_of_one(files, images)) / 2
    brute = one * found.brute_force
    top = found.largest[0]
    print(f"{files.name}: {len(images)} images, the largest change {top.change.high!r}")
    print(f"  known       {found.limits}")
    print(f"  executions  {found.executions} of {found.brute_force}", end="")
    print(f", 1/{found.brute_force / found.executions:.1f}")
    print(f"  CPU time    {spent:.0f} s of {brute:.0f} s, 1/{brute / spent:.1f}", end="")
    print(f" ({one * 1e3:.2f} ms an execution; brute force extrapolated)", flush=True)


@contextmanager
def two_nodes() -> Iterator[None]:
    """A Ray cluster of two local nodes, of one processor each."""
    ray: Any = importlib.import_module("ray")
    made = importlib.import_module("ray.cluster_utils").Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1}
    )
    try:
        made.add_node(num_cpus=1)
        made.wait_for_nodes()
        ray.init(address=made.address, log_to_driver=False)
        yield
    finally:
        ray.shutdown()
        made.shutdown()


def engines_beside_each_other(files: ModelFiles, images: ImageSet) -> None:
    """Print how long each engine takes for the same brute force."""
    engines: dict[str, tuple[Engine, Any]] = {
        "one process": (Local(1), nullcontext()),
        "two processes": (Local(2), nullcontext()),
    }
    if importlib.util.find_spec("ray"):
        engines["Ray, two nodes"] = (Ray(2), two_nodes())
    contents, first = set[bytes](), 0.0
    for name, (engine, around) in engines.items():
        with tempfile.TemporaryDirectory() as folder, around:
            start = time.perf_counter()
            found = sweep(files, images, Path(folder), engine=engine, limits=no_limits)
            took = time.perf_counter() - start
        contents.add(found.content())
        first = first or took
        print(f"  {name:15} {took:7.1f} s for {found.executions} executions", end="")
        print(f", {first / took:.2f} times as fast as one process", flush=True)
    if len(contents) != 1:
        raise SystemExit("the engines do not find the same")


def main() -> None:
    """Print the figures of each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["zero", "tight"])
    parser.add_argument("--data", default="test")
    parser.add_argument("--images", type=int)
    parser.add_argument("--engines", type=int, default=10)
    given = parser.parse_args()
    for name in given.models:
        files = resolve_model(name)
        against_brute_force(files, images_of(files, given.data, given.images))
        if given.engines:
            engines_beside_each_other(files, images_of(files, given.data, given.engines))


if __name__ == "__main__":
    main()
