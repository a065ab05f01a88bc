"""Certificates: from hints to a file."""

from lastbit.certificate.read import certified_witness as certified_witness
from lastbit.certificate.write import (
    Draft as Draft,
    draft as draft,
    write as write,
)
