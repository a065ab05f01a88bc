"""A Theorem.v of proofs/ compiled with other literals, in a copy of what `make proofs` built."""

import shutil
import subprocess
from pathlib import Path

PROOFS = Path(__file__).resolve().parents[2] / "proofs"


class Trial:
    """The theorem in ``proofs/<name>``, with whatever stands in the copy's Data.v."""

    def __init__(self, name: str, folder: Path) -> None:
        self.root = folder / "proofs"
        self.text = (PROOFS / name / "Theorem.v").read_text()
        leave = shutil.ignore_patterns("Data.*", "Theorem.*", "*.glob", ".*", "*.vos", "*.vok")
        shutil.copytree(PROOFS, self.root, ignore=leave)
        self.folder = self.root / name

    def coqc(self, file: Path) -> subprocess.CompletedProcess[str]:
        """A file of the copy, compiled."""
        command = ["coqc", "-Q", ".", "Lastbit", str(file.relative_to(self.root))]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, timeout=900)

    def data(self) -> None:
        """Compile the literals."""
        ran = self.coqc(self.folder / "Data.v")
        assert ran.returncode == 0, ran.stderr

    def proved(self, text: str = "") -> subprocess.CompletedProcess[str]:
        """The theorem, or ``text`` in its place, compiled; first the literals."""
        self.data()
        (self.folder / "Theorem.v").write_text(text or self.text)
        return self.coqc(self.folder / "Theorem.v")

    def failing(self, ran: subprocess.CompletedProcess[str]) -> str:
        """The theorem whose proof fails."""
        assert ran.returncode != 0
        line = int(ran.stderr.split("line ", 1)[1].split(",", 1)[0])
        above = self.text.splitlines()[:line]
        return next(s.split()[1] for s in reversed(above) if s.startswith("Theorem")).rstrip(":")
