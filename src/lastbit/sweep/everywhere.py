"""What is known of a model for all images, from its certificate or from hints made anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations
from math import prod
from pathlib import Path

import numpy as np

from lastbit.errors import ModelError
from lastbit.files import write_whole
from lastbit.graph import Network
from lastbit.hints import hints_for
from lastbit.models.shipped import ModelFiles
from lastbit.progress import Progress, counted
from lastbit.questions import absorbed_node
from lastbit.sweep.limits import (
    MOST,
    MOST_CLASSES,
    Absorbed,
    Everywhere,
    Limits,
    Nothing,
    restored,
    saved,
)
from lastbit_check.certificate import Manifest, hints_of, load, question_of
from lastbit_check.check import ceil_float, network_in
from lastbit_check.derive.conclude import Balance
from lastbit_check.derive.derivation import derive
from lastbit_check.question import EXECUTIONS, SAME_PROGRAM
from lastbit_check.refine.byte_tables import absorbs
from lastbit_check.refine.together import taken_together
from lastbit_check.verdict import Rejected, Unreadable


@dataclass(frozen=True)
class Stored:
    """A model's certificate, as it was found.

    `sha256` is that of its file, empty if there is none; then `manifest` is empty, too.
    """

    sha256: str
    manifest: Manifest

    @property
    def upper(self) -> Mapping[str, float]:
        """The U that it claims, by executions; `lastbit check` tells whether it is so."""
        return {name: self.manifest["claim"][name]["upper"] for name in EXECUTIONS if self.sha256}


def stored_certificate(files: ModelFiles, network: Network) -> Stored:
    """The certificate beside a model, if it is about this model and these inputs."""
    try:
        content = files.certificate.read_bytes()
        manifest = load(files.certificate)
    except (OSError, Rejected, Unreadable):
        return Stored("", {})
    about = manifest["model_sha256"] == network.sha256 and question_of(manifest) == network.question
    return Stored(sha256(content).hexdigest(), manifest) if about else Stored("", {})


def limits_everywhere(
    files: ModelFiles, network: Network, certificate: Stored, folder: Path, progress: Progress
) -> Limits:
    """Limits for all images, by the checker's own rules; no certificate is believed.

    They are kept in the folder of the sweep, and found there again.

    Raises:
        ModelError: the model cannot be read.
        OutputError: they cannot be written.
    """
    path = folder / f"limits-{certificate.sha256[:12] or 'none'}.npz"
    found = restored(path.read_bytes()) if path.exists() else None
    if found is None:
        found = _derived(files, network, certificate, progress)
        write_whole(path, saved(found))
    return found


def _derived(
    files: ModelFiles, network: Network, certificate: Stored, progress: Progress
) -> Everywhere | Absorbed | Nothing:
    question, places = network.question, prod(network.input_shape)
    if network.classes > MOST_CLASSES:
        return Nothing(places, f"there are more than {MOST_CLASSES} classes")
    try:
        model = files.model.read_bytes()
        normal = network_in(model, question)
        hints = hints_of(certificate.manifest) if certificate.sha256 else hints_for(network)
        node = hints.absorbed or absorbed_node(model, question)
        if node:
            absorbs(normal, question, node)
            return Absorbed(places, node)
        observe = counted(progress, "bounding all images")
        derivation = taken_together(derive(normal, question, hints, observe))
    except Rejected as error:
        return Nothing(places, str(error))
    except (OSError, Unreadable) as error:
        raise ModelError(f"the model cannot be read: {error}", where=str(files.model)) from error
    balance, pairs = Balance(derivation, SAME_PROGRAM), derivation.ledger.pairs
    if {*pairs} != {*combinations(range(network.classes), 2)}:
        return Nothing(places, "not every pair of classes has a bound")
    bounds = np.empty((len(pairs), places))
    for row in range(len(pairs)):
        for place in range(places):
            bounds[row, place] = ceil_float(balance.bound(row, place, None))
        progress("bounding all pairs of classes", row + 1, len(pairs))
    source = f"certificate {certificate.sha256[:12]}" if certificate.sha256 else "no certificate"
    if not (np.isfinite(bounds).all() and bounds.max(axis=0).min() <= MOST):
        return Nothing(places, f"logits may move by {bounds.max():.3g} on some image")
    return Everywhere(bounds, np.array(pairs, np.int64).reshape(-1, 2), source)
