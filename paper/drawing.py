"""The map as a picture (SVG): a column for each kind, what stands behind a box in colour and words.

Inside of a column, and in the columns that have one, boxes stand near what they are connected with:
each is moved to the mean place of its neighbours, some times over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from paper.graph import (
    ASSUMPTIONS,
    CHECKED,
    CLAIMS,
    CLASSES,
    IS_ASSUMED,
    LEMMAS,
    MEASURED,
    PROVED,
    RULES,
    TITLES,
    Map,
    Node,
)

WIDTH, GAP, ROW, TOP, MARGIN = 310, 110, 23, 116, 16
TAG = 62  # of the word at the left of a box
SWEEPS = 12
COLOURS = {
    PROVED: ("#cfe2f7", "#1f5a96"),
    CHECKED: ("#d3ecd6", "#2a6b36"),
    IS_ASSUMED: ("#fbe5bd", "#8a5a00"),
    MEASURED: ("#e7def3", "#5f3f8c"),
}
STYLE = (
    "text{font:11px DejaVu Sans Mono,Menlo,Consolas,monospace;fill:#1a1a1a}"
    ".t{font-size:13px;font-weight:600}.w{font-size:9px;font-weight:600}"
    "path{fill:none;stroke:#5a6472;stroke-width:.7;opacity:.4}"
)

Key = tuple[int, str]
Place = dict[Key, int]


def drawn(made: Map) -> str:
    """The picture of a map."""
    places = placed(made)
    columns, rows = len(TITLES), max(places.values()) + 1
    width = 2 * MARGIN + columns * WIDTH + (columns - 1) * GAP + GAP // 2
    height = TOP + rows * ROW + MARGIN
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-labelledby="map-title"><title id="map-title">The map of the proof: claims, rules, '
        f"theorems, assumptions</title><style>{STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        *_legend(),
        *(f'<text class="t" x="{_left(k)}" y="{TOP - 12}">{title}</text>'
          for k, title in enumerate(TITLES)),
        *_lines(made, places),
        *(_box(made, node, places[key]) for key, node in made.nodes.items()),
        "</svg>\n",
    ])  # fmt: skip


def placed(made: Map) -> Place:
    """The row of every box, the claims in the order in which they come."""
    order = {k: [(k, node.name) for node in made.inside(k)] for k in range(len(TITLES))}
    near: dict[Key, list[Key]] = {key: [] for key in made.nodes}
    for a, b in sorted(made.edges):
        near[a].append(b)
        near[b].append(a)
    tallest = max(map(len, order.values()))
    for _ in range(SWEEPS):
        at = {
            key: (row + 0.5) / len(keys) for keys in order.values() for row, key in enumerate(keys)
        }
        for column in list(order)[1:]:
            order[column].sort(key=lambda key: _wanted(key, near[key], at))
    return {
        key: row + (tallest - len(keys)) // 2
        for keys in order.values()
        for row, key in enumerate(keys)
    }


def _wanted(key: Key, near: list[Key], at: Mapping[Key, float]) -> float:
    """Where a box would stand; what measures the assumptions is last."""
    found = [at[other] for other in near if other[0] != key[0] or other[0] == LEMMAS]
    return sum(found) / len(found) if found else 1 + at[key]


def _left(column: int) -> int:
    return MARGIN + column * (WIDTH + GAP)


def _legend() -> Iterator[str]:
    for k, (word, says) in enumerate(CLASSES.items()):
        (fill, edge), y = COLOURS[word], MARGIN + 18 * k
        text = f"{word}: {says.replace('`', '')}"
        yield (
            f'<rect x="{MARGIN}" y="{y}" width="13" height="13" fill="{fill}" stroke="{edge}"/>'
            f'<text x="{MARGIN + 20}" y="{y + 11}">{escape(text)}</text>'
        )


def _lines(made: Map, places: Place) -> Iterator[str]:
    for a, b in sorted(made.edges):
        (one, _), (other, _) = a, b
        if one == ASSUMPTIONS or (one == CLAIMS and other == ASSUMPTIONS):
            continue  # every one of them is listed on the page
        x, y = _left(one) + WIDTH, _middle(places[a])
        if one == other == LEMMAS:
            out = min(GAP // 2, 16 + 3 * abs(places[a] - places[b]))
            end = _middle(places[b])
            yield f'<path d="M{x},{y} C{x + out},{y} {x + out},{end} {x},{end}"/>'
        else:
            end, bow = _left(other), GAP * 0.6
            y2 = _middle(places[b])
            yield f'<path d="M{x},{y} C{x + bow:g},{y} {end - bow:g},{y2} {end},{y2}"/>'


def _middle(row: int) -> float:
    return TOP + row * ROW + (ROW - 4) / 2


def _box(made: Map, node: Node, row: int) -> str:
    fill, edge = COLOURS[node.behind]
    x, y = _left(node.column), TOP + row * ROW
    text = node.says if node.column == CLAIMS and node.behind == CHECKED else node.name
    right = made.argued(node.name) if node.column == RULES else ""
    return (
        f"<g><title>{escape(f'{node.name} ({node.behind}): {node.says}')}</title>"
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{ROW - 4}" rx="3" fill="{fill}" '
        f'stroke="{edge}"/><text class="w" x="{x + 5}" y="{y + 13}" style="fill:{edge}">'
        f'{node.behind}</text><text x="{x + TAG}" y="{y + 13}">{escape(text)}</text>'
        f'<text class="w" text-anchor="end" x="{x + WIDTH - 5}" y="{y + 13}">{right}</text></g>'
    )
