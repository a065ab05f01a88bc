"""Certificates: from hints to a file."""

from lastbit.certificate.write import (
    Draft as Draft,
    draft as draft,
    write as write,
)
