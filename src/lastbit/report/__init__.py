"""A verdict or a certificate as one page that works offline."""

from lastbit.report.contents import (
    Bracket as Bracket,
    Page as Page,
)
from lastbit.report.given import ImagesPage as ImagesPage
from lastbit.report.numbers import shortened as shortened
from lastbit.report.page import (
    available as available,
    render as render,
    render_part as render_part,
    render_rows as render_rows,
)
from lastbit.report.verdict import page_of as page_of
