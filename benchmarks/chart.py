"""The chart: for each row a dot for each peer, at its median as a multiple of Tenon's, on a logarithmic axis.

Right of the line at 1 a peer is slower than Tenon. Plain SVG, made here.
"""
import math

COLORS = {"onnxruntime": "#1f77b4", "openvino": "#9467bd", "torch": "#d62728", "torch.compile": "#ff7f0e", "jax": "#2ca02c"}
LEFT, WIDTH, STEP, TOP, LEAST, MOST = 275, 620, 20, 60, 0.25, 8


def x_of(multiple):
    share = math.log(min(max(multiple, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LEFT + share * WIDTH


def text(x, y, words, anchor="start", color="#333"):
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{words}</text>'


def legend(peers):
    parts, x = [], LEFT
    for peer in peers:
        parts.append(f'<circle cx="{x}" cy="20" r="5" fill="{COLORS.get(peer, "#777")}"/>' + text(x + 9, 24, peer))
        x += 30 + 7 * len(peer)
    return parts


def axis(bottom):
    parts = []
    for tick in (0.25, 0.5, 1, 2, 4, 8):
        x = x_of(tick)
        color = "#333" if tick == 1 else "#ddd"
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="{color}"/>')
        beyond = {LEAST: " or less", MOST: " or more"}.get(tick, "")
        parts.append(text(x, TOP - 13, f"{tick:g}x{beyond}", "middle"))
    return parts


def dots(told, y):
    own = told["peers"].get("tenon", {}).get("median_ms")
    parts = [text(LEFT - 10, y + 4, f"{told['title']}, {told['threads']}t", "end", "#999" if "void" in told or not own else "#333")]
    parts.append(f'<line x1="{LEFT}" y1="{y}" x2="{LEFT + WIDTH}" y2="{y}" stroke="#f0f0f0"/>')
    for peer, result in told["peers"].items():
        if peer != "tenon" and own and "median_ms" in result and "void" not in told:
            x = x_of(result["median_ms"] / own)
            parts.append(f'<circle cx="{x:.1f}" cy="{y}" r="5" fill="{COLORS.get(peer, "#777")}" fill-opacity="0.85"/>')
    return parts


def draw(results, peers):
    bottom = TOP + STEP * len(results)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 50}" height="{bottom + 40}" '
             'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>']
    parts += legend([p for p in peers if p != "tenon"]) + axis(bottom)
    for i, told in enumerate(results):
        parts += dots(told, TOP + STEP * i + STEP // 2)
    parts.append(text(LEFT + WIDTH / 2, bottom + 25, "time as a multiple of Tenon's: right of 1x the peer is slower", "middle"))
    return "\n".join(parts + ["</svg>"]) + "\n"
