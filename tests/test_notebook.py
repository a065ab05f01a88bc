"""The notebook runs as it stands, and is stored with what it printed."""

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "docs" / "notebook" / "flip_a_bit.ipynb"


def test_every_result_is_stored() -> None:
    cells = json.loads(NOTEBOOK.read_bytes())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 6 and all(cell["outputs"] for cell in code)
    assert not [out for cell in code for out in cell["outputs"] if out["output_type"] == "error"]
    assert "text/html" in code[-1]["outputs"][0]["data"]


def test_it_runs(tmp_path: Path) -> None:
    """Its own assertions hold each change against the bound."""
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient").NotebookClient
    pytest.importorskip("ipykernel")
    book = nbformat.read(NOTEBOOK, as_version=4)
    stored = [len(cell.get("outputs", ())) for cell in book.cells]
    client(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert [len(cell.get("outputs", ())) for cell in book.cells] == stored
