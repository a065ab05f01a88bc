"""`lastbit doctor`: what is installed, and whether any of it is known to break an assumption."""

from __future__ import annotations

import platform
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from lastbit import __version__
from lastbit.commands.terminal import JsonOption, Result
from lastbit.errors import EXIT_OK, EXIT_REJECTED

if TYPE_CHECKING:
    from lastbit.audit.machine import Machine


def doctor(as_json: JsonOption = False) -> Result:
    """Say what is installed here, what is missing, and whether an assumption is known to be broken.

    Looks at versions and settings; `lastbit audit` measures. Exit 1 if a setting breaks one.
    """
    from lastbit.audit.machine import machine

    found = machine()
    payload: dict[str, Any] = {
        "verdict": "broken" if found.breaks else "nothing known",
        "lastbit": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "system": platform.platform(),
        **asdict(found),
    }
    code = EXIT_REJECTED if found.breaks else EXIT_OK
    return Result(payload, _view(payload, found), as_json, code)


def _view(payload: dict[str, Any], found: Machine) -> RenderableType:
    head = Table(box=None, show_header=False)
    rows = {
        "lastbit": f"{payload['lastbit']}, Python {payload['python']} ({payload['executable']})",
        "system": payload["system"],
        "processor": f"{found.processor} ({', '.join(found.features) or 'features unknown'})",
        "threads": ", ".join(f"{name} {value}" for name, value in found.threads.items()),
    }
    for key, value in rows.items():
        head.add_row(key, escape(value))
    packages = Table("package", "version", "extra", "", box=None)
    for each in found.packages:
        packages.add_row(each.name, each.version or "missing", each.extra, escape(each.fix))
    settings = Table("setting", "assumptions", "what it does", "what mends it", box=None)
    for each in found.findings:
        settings.add_row(*map(escape, (each.what, each.status, each.does, each.mends)))
    verdict = (
        "An assumption is broken as things are set."
        if found.breaks
        else "Nothing here is known to break an assumption. `lastbit audit` measures."
    )
    return Group(head, "", packages, "", settings, "", verdict)
