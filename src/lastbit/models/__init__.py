"""The networks: where the shipped ones lie, and how EfficientNet-B0 is defined.

Importing this package needs no PyTorch; the modules that define a network do.
"""

from lastbit.models.shipped import (
    DEFAULT_MODEL as DEFAULT_MODEL,
    ModelFiles as ModelFiles,
    resolve_model as resolve_model,
    shipped_models as shipped_models,
)
