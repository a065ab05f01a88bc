"""Command line of the checker: exit 0 accepted, 1 rejected, 2 unreadable, 130 interrupted."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from lastbit_check.certificate import ASSUMPTIONS, load, read_bytes
from lastbit_check.check import check
from lastbit_check.verdict import Rejected, Unreadable

USAGE = """usage: lastbit-check [--json] CERTIFICATE.json [MODEL.onnx]

Checks a certificate against a model (default: model.onnx beside the certificate).
Exit codes: 0 accepted, 1 rejected, 2 usage or a file that cannot be read, 130 interrupted."""


def main(arguments: list[str] | None = None) -> int:
    """Check one certificate and say so on standard output; return the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in given
    paths = [a for a in given if a != "--json"]
    if "-h" in paths or "--help" in paths:
        print(USAGE)
        return 0
    if not 1 <= len(paths) <= 2 or any(p.startswith("-") for p in paths):
        print(USAGE, file=sys.stderr)
        return 2
    path = Path(paths[0])
    model = Path(paths[1]) if len(paths) == 2 else path.with_name("model.onnx")
    start = time.monotonic()
    try:
        manifest, blob = load(path)
        derived = check(read_bytes(model), manifest, blob)
    except Rejected as error:
        verdict = {
            "accepted": False,
            "rule": error.rule,
            "node": error.node,
            "reason": error.message,
        }
        print(json.dumps(verdict) if as_json else f"REJECTED: {error}")
        return 1
    except (Unreadable, MemoryError) as error:
        print(f"lastbit-check: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lastbit-check: interrupted", file=sys.stderr)
        return 130
    seconds = time.monotonic() - start
    if as_json:
        said = {"accepted": True, "upper": manifest.claim.upper, "model": manifest.model_sha256}
        print(json.dumps({**said, "assumptions": ASSUMPTIONS, "seconds": seconds}))
        return 0
    c, j, pixel = derived.worst
    print(
        f"ACCEPTED: no image's last bit changes a probability by more than {manifest.claim.upper!r}"
    )
    print(f"  model       {manifest.model_sha256}")
    print(f"  worst       classes {c} and {j}, pixel number {pixel}; checked in {seconds:.1f} s")
    print(f"  trusted     {', '.join(ASSUMPTIONS)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
