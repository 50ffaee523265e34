"""A plot of lines as SVG: no library is worth its weight for one picture."""

from collections.abc import Mapping, Sequence

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 860, 320, 60, 40, 20
_COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8e6c8a", "#c98b1d", "#555555")


def svg(title: str, lines: Mapping[str, Points], marks: Sequence[float], unit: str) -> str:
    """`lines`: name → points (minutes, value); `marks`: minutes that get a vertical line."""
    right = max((x for points in lines.values() for x, _ in points), default=1.0) or 1.0
    high = max((y for points in lines.values() for _, y in points), default=1.0) * 1.1 or 1.0

    def place(x: float, y: float) -> str:
        across = _LEFT + x / right * (_WIDTH - _LEFT - 160)
        return f"{across:.1f},{_HEIGHT - _BOTTOM - y / high * (_HEIGHT - _BOTTOM - _TOP):.1f}"

    def text(x: float, y: float, words: str, more: str = "") -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{words}</text>'

    def line(a: str, b: str, colour: str) -> str:
        (x1, y1), (x2, y2) = a.split(","), b.split(",")
        return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}"/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        text(_LEFT, 14, title),
        *(line(place(x, 0), place(x, high), "#e4e4e4") for x in marks),
        line(place(0, 0), place(right, 0), "black"),
        line(place(0, 0), place(0, high), "black"),
    ]
    for i in range(5):
        x, y = place(0, high * i / 4).split(",")
        parts.append(text(float(x) - 6, float(y) + 4, f"{high * i / 4:.0f}", ' text-anchor="end"'))
        x, y = place(right * i / 4, 0).split(",")
        parts.append(text(float(x), float(y) + 18, f"{right * i / 4:.0f} min", ' text-anchor="middle"'))
    for i, (name, points) in enumerate(lines.items()):
        colour, path = _COLOURS[i % len(_COLOURS)], " ".join(place(x, y) for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(text(_WIDTH - 150, 40 + 18 * i, f"{name} ({unit})", f' fill="{colour}"'))
    return "\n".join([*parts, "</svg>", ""])
