"""What a certificate says besides its claim: the pair of images that shows how large Q is."""

from pathlib import Path

from lastbit.errors import CertificateError
from lastbit.graph import Asked, read_onnx
from lastbit.models.place import model_of
from lastbit.models.shipped import ModelFiles
from lastbit.witness.files import Witness, read_witness, witness_from
from lastbit_check.certificate import load, question_as_data, question_of
from lastbit_check.verdict import Rejected, Unreadable


def certified_witness(certificate: Path, model: Path | None = None) -> tuple[ModelFiles, Witness]:
    """The witness in a certificate, else its model's stored one; and the model.

    Args:
        certificate: its file.
        model: where the model is; by default it is looked for (`lastbit.models.place`).

    Raises:
        CertificateError: the certificate cannot be read or was changed, or there is no witness.
        UsageError: there is no model.
        ModelError: the model cannot be read.
    """
    try:
        manifest = load(certificate)
    except (Rejected, Unreadable) as error:
        fix = "see `lastbit check`, or make a new one with `lastbit prove`"
        raise CertificateError(str(error), where=str(certificate), fix=fix) from error
    files = model_of(certificate, manifest["model_sha256"], model)
    if not manifest["witness"]:
        if files.witness.exists():
            return files, read_witness(files.witness)
        raise CertificateError(
            "the certificate has no witness: it proves U and shows no L",
            where=str(certificate),
            fix=f"make one with `lastbit search {files.model}`",
        )
    question = question_of(manifest)
    shape = read_onnx(Asked(files.model, question)).input_shape
    shape = shape if shape[0] > 1 else shape[1:]
    content = {"model_sha256": manifest["model_sha256"], "shape": [*shape], "runtimes": {}}
    content["question"] = question_as_data(question)
    return files, witness_from({**content, **manifest["witness"]}, str(certificate))
