"""The figures of a model as its files state them; nothing is computed or checked here."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lastbit.errors import CertificateError
from lastbit.models.shipped import ModelFiles
from lastbit_check.question import ANY_TWO, SAME_PROGRAM


@dataclass(frozen=True)
class Summary:
    """The figures of one model; None where no file states them.

    `accuracy` is a fraction of the 10,000 test images, `nll` their mean negative log-likelihood
    in nats, `certified` the fraction that every allowed execution labels rightly; `lower` and
    `upper` are L and U, changes of a probability, where one program runs both images, and
    `apart_lower` and `apart_upper` where any two executions run one each.
    """

    sha256: str
    accuracy: float | None
    nll: float | None
    certified: float | None
    lower: float | None
    upper: float | None
    apart_lower: float | None
    apart_upper: float | None

    @property
    def ratio(self) -> float | None:
        """U/L, the figure of merit."""
        return ratio(self.lower, self.upper)

    @property
    def apart_ratio(self) -> float | None:
        """U/L for any two executions."""
        return ratio(self.apart_lower, self.apart_upper)


def ratio(lower: float | None, upper: float | None) -> float | None:
    """U/L: 1 where they are equal, 0 included; None where one is not known, or L alone is 0."""
    if lower is None or upper is None:
        return None
    if lower == upper:
        return 1.0
    return upper / lower if lower > 0 else None


def says_nothing(lower: float | None, upper: float | None) -> bool:
    """Whether U = 1, more than which no probability can change, and L is not."""
    return upper is not None and upper >= 1 and lower != upper


def summarise(files: ModelFiles) -> Summary:
    """Read the figures of a model.

    Raises:
        ModelError: the model file cannot be read.
        CertificateError: a file is there but does not state its figure as it should.
    """
    return Summary(
        sha256=files.sha256(),
        accuracy=_figure(files.metrics, "accuracy", "test"),
        nll=_figure(files.metrics, "accuracy", "nll"),
        certified=_figure(files.decisions, "accuracy", "certified"),
        lower=_figure(files.witness, "lower"),
        upper=_figure(files.certificate, "claim", SAME_PROGRAM, "upper"),
        apart_lower=_figure(files.witness, "apart", "lower"),
        apart_upper=_figure(files.certificate, "claim", ANY_TWO, "upper"),
    )


def _figure(path: Path, *keys: str) -> float | None:
    """Return the number at `keys` in a JSON file; a string is a hexadecimal float.

    None where there is no file, or where it says null, as for an infinite likelihood.
    """
    try:
        value: Any = json.loads(path.read_bytes())
        for key in keys:
            value = value[key]
        if value is None:
            return None
        figure = float.fromhex(value) if isinstance(value, str) else float(value)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise _unreadable(path, keys) from error
    if not math.isfinite(figure):
        raise _unreadable(path, keys)
    return figure


def _unreadable(path: Path, keys: tuple[str, ...]) -> CertificateError:
    return CertificateError(f"no finite number at {'.'.join(keys)}", where=f"{path}")
