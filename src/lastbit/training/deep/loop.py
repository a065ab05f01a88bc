"""The training loop of a network of gain 1.

Reproducible: the weights are bit-identical for the same recipe and data on the same machine, with
the same number of threads and the same versions. An interrupted training that is resumed ends in
the same weights as one that was not.
"""

import copy
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional

from lastbit.data import LabelledImages
from lastbit.progress import Progress
from lastbit.training import checkpoint
from lastbit.training.augmentation import distort
from lastbit.training.checkpoint import Checkpoint
from lastbit.training.deep.attained import attained
from lastbit.training.deep.layers import Centred, Curve, SqueezeExcite
from lastbit.training.deep.network import DeepNetwork
from lastbit.training.deep.recipe import DeepRecipe
from lastbit.training.loop import Record, Report, deterministic, tensors

PER_BYTE = 255


def run(
    recipe: DeepRecipe,
    training: LabelledImages,
    test: LabelledImages,
    folder: Path,
    *,
    resume: bool,
    device: str,
    progress: Progress,
    report: Report,
) -> tuple[DeepNetwork, list[Record]]:
    """Train until the recipe's last step, with a checkpoint in `folder` every few minutes."""
    with deterministic():
        loop = DeepLoop(recipe, training, test, device)
        if resume:
            loop.restore(checkpoint.load(folder))
        stage = f"training {recipe.name}"
        while loop.step < loop.total:
            loop.advance(lambda done: progress(stage, done, loop.total))
            checkpoint.save(loop.checkpoint(), folder)
            report(loop.history[-1])
        return loop.result(), loop.history


class DeepLoop:
    """A network in training; between stretches of steps its whole state is a `Checkpoint`."""

    def __init__(
        self, recipe: DeepRecipe, training: LabelledImages, test: LabelledImages, device: str
    ) -> None:
        self.recipe, self.device = recipe, device
        self.images, self.labels = tensors(training, device)
        self.test = tensors(test, device)
        torch.manual_seed(recipe.seed)
        self.network = DeepNetwork(recipe).to(device=device)
        self.network.to(memory_format=torch.channels_last)  # pyright: ignore
        self.average = copy.deepcopy(self.network)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=recipe.learning_rate)
        self.step = 0
        self.order = torch.arange(0)
        self.history: list[Record] = []
        self._begin()

    @property
    def steps_per_epoch(self) -> int:
        """The last, smaller batch is left out; the order changes with each epoch."""
        return max(1, len(self.images) // self.recipe.batch_size)

    @property
    def total(self) -> int:
        return self.recipe.epochs * self.steps_per_epoch

    @torch.no_grad()
    def _begin(self) -> None:
        """Deviations and the answers' means on some images, before the first step."""
        order = torch.randperm(len(self.images), generator=self._random(-1))
        pixels = self._pixels(order[: 5 * self.recipe.batch_size])
        self.network.train()
        for _ in range(2):
            self.network(pixels)
        self.network.bias.sub_(self.network(pixels).mean(0))
        self.average.load_state_dict(self.network.state_dict())

    def restore(self, saved: Checkpoint) -> None:
        self.network.load_state_dict(saved.network)
        self.average.load_state_dict(saved.average)
        self.optimizer.load_state_dict(saved.optimizer)
        self.step, self.history = saved.epoch, saved.history

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(
            self.recipe,
            self.step,
            self.network.state_dict(),
            self.optimizer.state_dict(),
            self.average.state_dict(),
            self.step,
            {},
            self.history,
        )

    def _random(self, step: int) -> Generator:
        """Random numbers of one step: they need no state."""
        return Generator().manual_seed(self.recipe.seed * 1_000_003 + step + 1)

    def advance(self, step_done: Callable[[int], None]) -> None:
        """As many steps as there are from one checkpoint to the next."""
        start, first = time.monotonic(), self.step
        stop = min(self.total, first + self.recipe.checkpoint_steps)
        sums = torch.zeros(2, dtype=torch.float64)
        while self.step < stop:
            sums += self._step()
            self.step += 1
            step_done(self.step)
        loss, cross_entropy = (sums / (stop - first)).tolist()
        self.history.append(
            {
                "epoch": self.step / self.steps_per_epoch,
                "epochs": self.recipe.epochs,
                "passed": (stop - first) / self.steps_per_epoch,
                "loss": loss,
                "cross_entropy": cross_entropy,
                **self._evaluation(),
                "seconds": time.monotonic() - start,
            }
        )

    def _rate(self) -> float:
        recipe, time = self.recipe, self.step / self.total
        warm = min(1.0, (self.step + 1) / recipe.warmup_steps)
        cool = min(1.0, (1 - time) / (1 - recipe.cooling_start))
        return recipe.learning_rate * warm * cool

    def _step(self) -> Tensor:
        """One step; returns the loss and its cross-entropy part, (2,)."""
        recipe, network = self.recipe, self.network
        epoch, number = divmod(self.step, self.steps_per_epoch)
        if len(self.order) == 0 or number == 0:
            self.order = torch.randperm(len(self.images), generator=self._random(-2 - epoch))
        batch = self.order[number * recipe.batch_size : (number + 1) * recipe.batch_size]
        generator = self._random(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        pixels = distort(self._pixels(batch), recipe, generator)
        network.train()
        logits = network(pixels.contiguous(memory_format=torch.channels_last))
        cross_entropy = functional.cross_entropy(logits, self.labels[batch.to(self.device)])
        loss = cross_entropy + self._penalties()
        if self.step % recipe.ratio_every == 0 and self.step >= recipe.ratio_start * self.total:
            loss = loss + recipe.ratio_weight * self._ratio(pixels, generator)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_clip)
        self.optimizer.step()
        network.settle()
        self._update_average()
        return torch.stack([loss.detach(), cross_entropy.detach()]).double().cpu()

    def _ratio(self, pixels: Tensor, generator: Generator) -> Tensor:
        """Log of the ratio of temperature to what a pixel of some images attains."""
        count = self.recipe.attained_images
        some = pixels[:count]
        noise = torch.rand(some.shape, generator=generator).to(self.device)
        share = torch.rand((count, 1, 1, 1), generator=generator).to(self.device) * 0.5
        share[::2] = 0
        mixed = (1 - share) * some + share * noise
        self.network.eval()  # these images are not to be seen by means and deviations
        moved = attained(self.network, mixed).amax()
        self.network.train()
        return self.network.log_temperature - torch.log(moved)

    def _penalties(self) -> Tensor:
        """Against faint channels, biases far off, kernels that choose frequencies, faint gates."""
        recipe, network = self.recipe, self.network
        curves = [layer for layer in network.modules() if isinstance(layer, Curve)]
        gates = [layer for layer in network.modules() if isinstance(layer, SqueezeExcite)]
        excess = functional.relu(
            network.log_temperature - torch.tensor(recipe.most_temperature).log()
        )
        return (
            recipe.uneven_weight * _sum([curve.uneven for curve in curves])
            + recipe.bias_weight * _sum([curve.bias.square().mean() for curve in curves])
            + recipe.spectrum_weight * _sum([block.spectrum for block in network.deep_blocks()])
            + recipe.faint_weight * _sum([gate.faint for gate in gates])
            + excess
        )

    def _pixels(self, indices: Tensor) -> Tensor:
        return self.images[indices.to(self.device)].float() / PER_BYTE

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.recipe.average_decay, (self.step + 1) / (self.step + 20))
        pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
        for mean, value in pairs:
            mean.lerp_(value, 1 - decay)

    @torch.no_grad()
    def result(self) -> DeepNetwork:
        """The averaged network for inference, its means those of undistorted images."""
        network = copy.deepcopy(self.average)
        for buffer, now in zip(network.buffers(), self.network.buffers(), strict=True):
            buffer.copy_(now)
        network.settle()
        centred = [layer for layer in network.modules() if isinstance(layer, Centred)]
        for layer in network.modules():
            if isinstance(layer, Curve):
                layer.holding = False
        network.train()
        order = torch.randperm(len(self.images), generator=self._random(-1))
        batches = order.split(self.recipe.batch_size)[: self.recipe.recalibration_batches]
        for number, batch in enumerate(batches):
            for layer in centred:
                layer.seen.fill_(number)
            network(self._pixels(batch).contiguous(memory_format=torch.channels_last))
        for layer in network.modules():
            if isinstance(layer, Curve):
                layer.holding = True
        return network.eval()

    def _evaluation(self) -> Record:
        """Figures of the result so far; no decision in training depends on them."""
        network = self.result()
        images, labels = self.test
        with torch.no_grad():
            logits = torch.cat([network(part.float() / PER_BYTE) for part in images.split(500)])
        temperature = float(network.log_temperature.detach().exp())
        moved = [
            float(attained(network, part.float() / PER_BYTE, keep=False).max())
            for part in images[:200].split(50)
        ]
        return {
            "accuracy": float((logits.argmax(1) == labels).double().mean()),
            "nll": float(functional.cross_entropy(logits.double(), labels)),
            "gain": temperature / PER_BYTE,
            "attained": max(moved) / PER_BYTE,
        }


def answers(network: DeepNetwork) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """Probabilities (N, 10) of images (N, 28, 28) in bytes."""

    @torch.no_grad()
    def probabilities(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        pixels = torch.as_tensor(images)[:, None].float() / PER_BYTE
        return network(pixels).double().softmax(1).numpy()

    return probabilities


def _sum(parts: list[Tensor | None]) -> Tensor:
    return torch.stack([part for part in parts if part is not None]).sum()
