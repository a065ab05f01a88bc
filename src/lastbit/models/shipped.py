"""Which files belong to a model, and where the shipped ones lie."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from lastbit.asked import Asked, Model, question_said
from lastbit.errors import ModelError, UsageError
from lastbit.files import starts_as_json
from lastbit.models.moves import NOTHING_SAID, Said, folder_name, moving
from lastbit_check.question import Question

DEFAULT_MODEL = "tight"
MODEL_FILE = "model.onnx"

_PACKAGE = Path(__file__).resolve().parents[1]
_CHECKOUT = _PACKAGE.parents[1]


@dataclass(frozen=True)
class ModelFiles:
    """A model and what goes with it. Only `model` is sure to exist.

    `name` is for people; the model's real name is `sha256()`. `folder` holds everything that is
    written about the model; what is about other moves than the last bit of one place goes to a
    folder in it. `question` is what a person says of its inputs and moves, if anything.
    """

    name: str
    model: Path
    folder: Path
    question: Question | None = None

    @property
    def asked(self) -> Model:
        """The model with what is said of its inputs; its path, if nothing is."""
        return self.model if self.question is None else Asked(self.model, self.question)

    @property
    def recipe(self) -> Path:
        """How it was trained."""
        return self.folder / "recipe.json"

    @property
    def metrics(self) -> Path:
        """Its accuracy and negative log-likelihood on the test images."""
        return self.folder / "metrics.json"

    @property
    def decisions(self) -> Path:
        """How many test images every allowed execution labels rightly."""
        return self.folder / "accuracy.json"

    @property
    def moves(self) -> str:
        """The name of the folder for what is about the question's moves; "" for the last bit."""
        return folder_name(self.question) if self.question else ""

    @property
    def witness(self) -> Path:
        """The pair of images that attains the lower bound."""
        return self.folder / self.moves / "witness.json"

    @property
    def certificate(self) -> Path:
        """The upper bound's certificate."""
        return self.folder / self.moves / "certificate.json"

    def sha256(self) -> str:
        """Return the SHA-256 of the model file, in hexadecimal.

        Raises:
            ModelError: the file cannot be read.
        """
        try:
            with self.model.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            message = f"the model cannot be read: {error.strerror}"
            raise ModelError(message, where=f"{self.model}") from error


def shipped_folder() -> Path:
    """Return the folder of the shipped models: in the wheel, else in the checkout."""
    in_wheel = _PACKAGE / "shipped"
    return in_wheel if in_wheel.is_dir() else _CHECKOUT / "models"


def shipped_models() -> list[ModelFiles]:
    """Return the shipped models, the default one first, the others by name."""
    folders = [path.parent for path in shipped_folder().glob(f"*/{MODEL_FILE}")]
    folders.sort(key=lambda folder: (folder.name != DEFAULT_MODEL, folder.name))
    return [ModelFiles(folder.name, folder / MODEL_FILE, folder) for folder in folders]


def is_shipped(files: ModelFiles) -> bool:
    """Whether it is one of those that come with lastbit."""
    return files.folder.resolve().parent == shipped_folder().resolve()


def resolve_model(
    name_or_path: str | Path,
    pixels: str | None = None,
    box: str | None = None,
    said: Said = NOTHING_SAID,
) -> ModelFiles:
    """Return the model that a person means, with what is said of its inputs by --pixels or --box.

    And of what may change: for that the model is read.

    In this order: the name of a shipped model; a folder that holds `model.onnx`; an ONNX file.
    For a file `digits.onnx` by itself, what is written about it goes to the folder `digits` beside
    it; a file called `model.onnx` names its own folder.

    Raises:
        UsageError: it is none of these, or what is said is not understood.
        ModelError: the model cannot be read.
        MissingExtraError: a mask cannot be read without another package.
    """
    files = replace(_found(name_or_path), question=question_said(pixels, box))
    if not said.anything:
        return files
    from lastbit.graph import read_onnx

    network = read_onnx(files.asked)
    return replace(files, question=moving(said, network.question, network.input_shape))


def _found(name_or_path: str | Path) -> ModelFiles:
    shipped = shipped_models()
    for files in shipped:
        if files.name == str(name_or_path):
            return files
    path = Path(name_or_path).expanduser()
    if (path / MODEL_FILE).is_file():
        return ModelFiles(path.resolve().name, path / MODEL_FILE, path)
    if path.is_file():
        if starts_as_json(path):
            raise UsageError(
                "this is JSON, not an ONNX file",
                where=str(path),
                fix="give a model; certificates go to `lastbit check` and `lastbit replay`",
            )
        if path.name == MODEL_FILE:
            return ModelFiles(path.resolve().parent.name, path, path.parent)
        return ModelFiles(path.stem, path, path.parent / path.stem)
    names = ", ".join(files.name for files in shipped) or "none here"
    raise UsageError(
        f"there is no model {str(name_or_path)!r}",
        fix=f"give a shipped model ({names}), a folder with {MODEL_FILE}, or an ONNX file",
    )
