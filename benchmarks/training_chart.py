"""Losses over steps, a panel for each model: PyTorch's as a wide pale line, Tenon's thin upon it. Plain SVG, made here."""
from chart import text

PEN = {"PyTorch": ("#f4a582", 5), "Tenon": ("#2166ac", 1.3)}
LEFT, TOP, WIDTH, HEIGHT, GAP = 60, 50, 300, 200, 60


def nice_top(value):
    """The least of 1, 2, 5 times a power of ten that is not below."""
    power = 1e-6
    while True:
        for factor in (1, 2, 5):
            if factor * power >= value:
                return factor * power
        power *= 10


def line(losses, x0, most, pen):
    color, width = pen
    points = " ".join(f"{x0 + WIDTH * i / (len(losses) - 1):.1f},{TOP + HEIGHT * (1 - v / most):.1f}" for i, v in enumerate(losses))
    return f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="{width}" stroke-linejoin="round"/>'


def axes(x0, most, steps):
    parts = []
    for i in range(5):
        y = TOP + HEIGHT * i / 4
        parts.append(f'<line x1="{x0}" y1="{y}" x2="{x0 + WIDTH}" y2="{y}" stroke="#ddd"/>')
        parts.append(text(x0 - 6, y + 4, f"{most * (1 - i / 4):g}", "end"))
    for step in (0, steps // 2, steps):
        parts.append(text(x0 + WIDTH * step / steps, TOP + HEIGHT + 16, str(step), "middle"))
    return parts


def draw(curves):
    """curves: [Tenon's losses, PyTorch's] by title."""
    width = LEFT + (WIDTH + GAP) * len(curves)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{TOP + HEIGHT + 50}" font-family="sans-serif" '
             'font-size="11"><rect width="100%" height="100%" fill="white"/>']
    for k, (title, (own, other)) in enumerate(curves.items()):
        x0, most = LEFT + (WIDTH + GAP) * k, nice_top(max(own + other))
        parts.append(text(x0 + WIDTH / 2, TOP - 12, title, "middle"))
        parts += axes(x0, most, len(own)) + [line(other, x0, most, PEN["PyTorch"]), line(own, x0, most, PEN["Tenon"])]
    x = LEFT
    for name, (color, stroke) in PEN.items():
        y = TOP + HEIGHT + 36
        parts.append(f'<line x1="{x}" y1="{y}" x2="{x + 24}" y2="{y}" stroke="{color}" stroke-width="{stroke}"/>' + text(x + 30, y + 4, name))
        x += 100
    return "\n".join(parts + [text(LEFT + 230, TOP + HEIGHT + 40, "loss in f32 over steps"), "</svg>"]) + "\n"
