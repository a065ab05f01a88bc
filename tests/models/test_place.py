"""Which certificate a person means."""

from __future__ import annotations

from pathlib import Path

import pytest

from lastbit.models import shipped_models
from lastbit.models.place import certificate_of


def test_a_certificate_by_its_file_its_folder_or_a_shipped_model_s_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = {files.name: files.certificate for files in shipped_models()}
    assert certificate_of("zero") == shipped["zero"]
    assert certificate_of("nowhere") == Path("nowhere")
    Path("a.json").write_text("{}")
    assert certificate_of("a.json") == Path("a.json")
    Path("zero").mkdir()
    assert certificate_of("zero") == Path("zero/certificate.json")
