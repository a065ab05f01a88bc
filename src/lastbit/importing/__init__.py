"""From what others save to one ONNX file that lastbit reads. PyTorch is needed for checkpoints."""

from lastbit.importing.checkpoint import (
    Checkpoint as Checkpoint,
    read_checkpoint as read_checkpoint,
)
from lastbit.importing.imported import (
    Imported as Imported,
    import_checkpoint as import_checkpoint,
    import_onnx as import_onnx,
)
