"""The training loop.

Reproducible: the weights are bit-identical for the same recipe and data on the same machine, with
the same number of threads and the same versions. An interrupted training that is resumed ends in
the same weights as one that was not.
"""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from lastbit.data import LabelledImages
from lastbit.progress import Progress
from lastbit.training import checkpoint
from lastbit.training.augmentation import distort
from lastbit.training.bound import Core
from lastbit.training.checkpoint import Checkpoint
from lastbit.training.network import LiveNetwork
from lastbit.training.recipe import Recipe
from lastbit.training.sparsity import Masks, masks

LEAST_LEARNING_RATE = 1e-6

Record = dict[str, float]
Report = Callable[[Record], None]
"""Called at the end of each epoch with its record: `epoch`, `epochs`, `seconds`, `loss` and
`cross_entropy` (means over the epoch), `accuracy` and `nll` on the test images, and with a bound
`first_layer`, `rounding` (R; estimated) and `attained` (R of some images).

With a `DeepRecipe` it is called at each checkpoint; `passed` is how many epochs that were, `gain`
what a step of a byte does to R by the gains of all layers, gates and rounding left out."""


def run(
    recipe: Recipe,
    training: LabelledImages,
    test: LabelledImages,
    folder: Path,
    *,
    resume: bool,
    device: str,
    progress: Progress,
    report: Report,
) -> tuple[LiveNetwork, list[Record]]:
    """Train until the recipe's last epoch, with a checkpoint in `folder` after each."""
    with deterministic():
        loop = Loop(recipe, training, test, device)
        if resume:
            loop.restore(checkpoint.load(folder))
        total = recipe.epochs * loop.steps_per_epoch
        stage = f"training {recipe.name}"
        while loop.epoch < recipe.epochs:
            loop.run_epoch(lambda done: progress(stage, done, total))
            checkpoint.save(loop.checkpoint(), folder)
            report(loop.history[-1])
        return loop.result(), loop.history


class Loop:
    """A network in training; between epochs its whole state is a `Checkpoint`."""

    def __init__(
        self, recipe: Recipe, training: LabelledImages, test: LabelledImages, device: str
    ) -> None:
        self.recipe = recipe
        self.images, self.labels = tensors(training, device)
        self.test = tensors(test, device)
        self.device = device
        torch.manual_seed(recipe.seed)
        self.network = _placed(LiveNetwork(recipe), device)
        self.parameters = dict(self.network.named_parameters())
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.epoch = 0
        self.average: dict[str, Tensor] = {}
        self.masks: Masks = {}
        self.averaged = 0
        self.history: list[Record] = []

    @property
    def steps_per_epoch(self) -> int:
        """The last, smaller batch is left out; the order changes with each epoch."""
        return max(1, len(self.images) // self.recipe.batch_size)

    def restore(self, saved: Checkpoint) -> None:
        self.network.load_state_dict(saved.network)
        self.optimizer.load_state_dict(saved.optimizer)
        self.epoch, self.averaged, self.history = saved.epoch, saved.averaged, saved.history
        self.average = {name: value.to(self.device) for name, value in saved.average.items()}
        self.masks = {name: value.to(self.device) for name, value in saved.masks.items()}

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(
            self.recipe,
            self.epoch,
            self.network.state_dict(),
            self.optimizer.state_dict(),
            self.average,
            self.averaged,
            self.masks,
            self.history,
        )

    def result(self) -> LiveNetwork:
        """The averaged network, ready for inference; before averaging begins, the current one."""
        network = _placed(LiveNetwork(self.recipe), self.device)
        kept = {name: value * self.masks.get(name, 1) for name, value in self.average.items()}
        network.load_state_dict({**self.network.state_dict(), **kept})
        return network.eval()

    def run_epoch(self, step_done: Callable[[int], None]) -> None:
        start = time.monotonic()
        generator = Generator().manual_seed(self.recipe.seed * 1_000_003 + self.epoch)
        frozen = self.epoch >= self.recipe.batch_norm_epochs
        self.network.train(not frozen)  # only batch norm knows the difference
        order = torch.randperm(len(self.images), generator=generator)
        loss, cross_entropy = 0.0, 0.0
        for number, batch in enumerate(order.split(self.recipe.batch_size)):
            if number == self.steps_per_epoch:
                break
            step = self.epoch * self.steps_per_epoch + number
            losses = self._step(step, batch.to(self.device), generator)
            loss, cross_entropy = loss + losses[0], cross_entropy + losses[1]
            if frozen:
                self._update_average()
            step_done(step + 1)
        self.epoch += 1
        if self.epoch == self.recipe.batch_norm_epochs:
            self._measure_statistics(generator)
        record = {
            "epoch": self.epoch,
            "epochs": self.recipe.epochs,
            "loss": loss / self.steps_per_epoch,
            "cross_entropy": cross_entropy / self.steps_per_epoch,
            **self._evaluation(generator),
        }
        self.history.append({**record, "seconds": time.monotonic() - start})

    def _step(self, step: int, batch: Tensor, generator: Generator) -> tuple[float, float]:
        """One step; returns the loss and its cross-entropy part."""
        recipe, total = self.recipe, self.recipe.epochs * self.steps_per_epoch
        rate = recipe.learning_rate * min(1, step / recipe.warmup_steps)
        rate = rate * (1 + math.cos(math.pi * step / total)) / 2 + LEAST_LEARNING_RATE
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        pixels = self._batch(batch, generator)
        logits = self.network(pixels)
        cross_entropy = functional.cross_entropy(logits, self.labels[batch])
        loss = cross_entropy
        ramp = (step / total - recipe.bound_start) / recipe.bound_ramp
        weight = recipe.bound_weight * min(1, max(0, ramp))
        if weight > 0 and step % recipe.bound_every == 0:
            loss = loss + weight * self._bound_loss(pixels, generator)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), recipe.gradient_clip)
        self.optimizer.step()
        self._prune(step, pixels)
        return float(loss.detach()), float(cross_entropy.detach())

    def _prune(self, step: int, pixels: Tensor) -> None:
        """Choose anew, twice an epoch, which weights are kept; set all others to 0."""
        recipe, time = self.recipe, step / (self.recipe.epochs * self.steps_per_epoch)
        every = max(1, self.steps_per_epoch // 2)
        if step % every == 0 and time >= recipe.pruning_start:
            self.masks = masks(self.network, recipe, pixels, time)
        with torch.no_grad():
            for name, mask in self.masks.items():
                self.parameters[name].mul_(mask)

    def _batch(self, indices: Tensor, generator: Generator) -> Tensor:
        pixels = self.images[indices].float() / 255
        pixels = distort(pixels, self.recipe, generator)
        return pixels.contiguous(memory_format=torch.channels_last)

    def _bound_loss(self, pixels: Tensor, generator: Generator) -> Tensor:
        """Log of the ratio of the bound to what some images attain, and a cap on the first layer.

        The images are a few of the batch and as many of random pixels.
        """
        recipe = self.recipe
        core, first_layer, rounding = self._bound(self.network, generator)
        some = pixels[: recipe.attained_images]
        noise = torch.rand(some.shape, generator=generator).to(self.device)
        attained = core.attained(torch.cat([some, noise])).max()
        bound = first_layer.max() + (rounding.max() + rounding.mean()) / 2
        excess = torch.log(first_layer.max() / recipe.first_layer_target)
        cap = recipe.first_layer_weight * functional.relu(excess)
        return torch.log(bound) - torch.log(attained) + cap

    def _bound(self, network: LiveNetwork, generator: Generator) -> tuple[Core, Tensor, Tensor]:
        """The first layer's part of R and an estimate of the rounding part, (45,) each."""
        core = Core(network)
        columns = torch.randperm(core.columns, generator=generator)[: self.recipe.bound_columns]
        magnitudes = core.sampled_magnitudes(columns.to(self.device))
        return core, core.first_layer().worst(), core.rounding(magnitudes)

    @torch.no_grad()
    def _update_average(self) -> None:
        if not self.average:
            self.average = {name: value.clone() for name, value in self.parameters.items()}
        self.averaged += 1
        decay = min(self.recipe.average_decay, self.averaged / (self.averaged + 20))
        for name, value in self.parameters.items():
            self.average[name].lerp_(value, 1 - decay)

    @torch.no_grad()
    def _measure_statistics(self, generator: Generator) -> None:
        """Replace the moving statistics of batch norm, which lag, by those of the weights."""
        norms = [layer for layer in self.network.modules() if isinstance(layer, nn.BatchNorm2d)]
        momenta = [layer.momentum for layer in norms]
        for layer in norms:
            layer.reset_running_stats()
            layer.momentum = None  # the plain mean over batches
        order = torch.randperm(len(self.images), generator=generator)
        batches = order.split(self.recipe.batch_size)[: self.recipe.recalibration_batches]
        for batch in batches:
            self.network(self._batch(batch.to(self.device), generator))
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum

    @torch.no_grad()
    def _evaluation(self, generator: Generator) -> Record:
        """Figures of the result so far; no decision in training depends on them."""
        network = self.result()
        images, labels = self.test
        logits = torch.cat([network(part.float() / 255) for part in images.split(1000)])
        record = {
            "accuracy": float((logits.argmax(1) == labels).double().mean()),
            "nll": float(functional.cross_entropy(logits.double(), labels)),
        }
        if self.recipe.bound_weight:
            core, first_layer, rounding = self._bound(network, generator)
            record["first_layer"] = float(first_layer.max())
            record["rounding"] = float(rounding.max())
            record["attained"] = float(core.attained(images[:200].float() / 255).max())
        return record


@contextmanager
def deterministic() -> Iterator[None]:
    """Inside it PyTorch uses no algorithm whose results differ from run to run."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _placed(network: LiveNetwork, device: str) -> LiveNetwork:
    return network.to(device=device, memory_format=torch.channels_last)  # pyright: ignore


def tensors(data: LabelledImages, device: str) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 28, 28) as bytes and labels (N,)."""
    images = torch.tensor(data.images, device=device)[:, None]
    return images, torch.tensor(data.labels, device=device, dtype=torch.int64)
