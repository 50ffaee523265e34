"""Two kinds of plot, a few kilobytes each: bars, and lines over a logarithmic axis."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0")
_WIDTH, _TOP, _LEFT, _ROW = 640, 36, 150, 28

Points = Sequence[tuple[float, float]]


def bars(title: str, rows: Mapping[str, Sequence[float]], parts: Sequence[str] = ()) -> str:
    """One bar a row, of one value or of several on end, which `parts` name."""
    scale = (_WIDTH - _LEFT - 80) / (max(map(sum, rows.values())) or 1.0)
    bottom = _TOP + len(rows) * _ROW
    body = [text for i, row in enumerate(rows.items()) for text in _bar(_TOP + i * _ROW, *row, scale)]
    return _document(title, bottom + (24 if parts else 0), [*body, *_legend(parts, bottom + 14)])


def _bar(y: int, name: str, values: Sequence[float], scale: float) -> Iterator[str]:
    yield _text(_LEFT - 8, y + 14, name, "end")
    x = float(_LEFT)
    for value, colour in zip(values, COLOURS, strict=False):
        yield f'<rect x="{x:.1f}" y="{y}" width="{value * scale:.1f}" height="18" fill="{colour}"/>'
        x += value * scale
    yield _text(x + 6, y + 14, f"{sum(values):,.0f}")


@dataclass(frozen=True)
class _Frame:
    """Where values lie on the page: x by its logarithm, y from 0 up."""

    low: float
    high: float
    most: float
    left: float = 64.0
    right: float = _WIDTH - 30.0
    top: float = _TOP + 8.0
    bottom: float = 240.0

    def x(self, value: float) -> float:
        share = (math.log10(value) - self.low) / ((self.high - self.low) or 1.0)
        return self.left + share * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.bottom - value / self.most * (self.bottom - self.top)


def lines(title: str, x_name: str, series: Mapping[str, Points]) -> str:
    """Points joined by lines."""
    points = [point for line in series.values() for point in line]
    logs = [math.log10(x) for x, _ in points]
    frame = _Frame(min(logs), max(logs), max(y for _, y in points) or 1.0)
    body = [*_axes(frame, sorted({x for x, _ in points})), _text(320, 274, x_name, "middle")]
    for line, colour in zip(series.values(), COLOURS, strict=False):
        joined = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in line)
        body.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return _document(title, 304, [*body, *_legend(tuple(series), 296)])


def _axes(frame: _Frame, values: Sequence[float]) -> Iterator[str]:
    yield f'<path d="M{frame.left} {frame.top}V{frame.bottom}H{frame.right}" fill="none" stroke="#888"/>'
    for value in values:
        yield _text(frame.x(value), frame.bottom + 16, f"{value:,.0f}", "middle")
    for value in (frame.most, frame.most / 2, 0.0):
        yield _text(frame.left - 6, frame.y(value) + 4, f"{value:,.0f}", "end")


def _legend(names: Sequence[str], y: float) -> Iterator[str]:
    for i, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        x = 64 + i * 140
        yield f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/>' + _text(x + 15, y, name)


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(words)}</text>'


def _document(title: str, height: float, body: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height + 8:.0f}" '
        'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="#fff"/>'
    )
    named = f'<text x="12" y="20" font-weight="bold">{escape(title)}</text>'
    return "\n".join((head, named, *body, "</svg>\n"))
