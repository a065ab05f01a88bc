"""Writing certificates."""

from lastbit.certificate.write import (
    Draft as Draft,
    draft as draft,
    hints_for as hints_for,
    write as write,
)
