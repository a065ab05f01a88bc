"""Brackets at given images: hints for the bound there, the certificate, and what it says."""

from lastbit.around.answers import answers_at as answers_at
from lastbit.around.prove import (
    Bracket as Bracket,
    ImagesProof as ImagesProof,
    prove_images as prove_images,
)
