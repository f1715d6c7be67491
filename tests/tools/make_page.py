#!/usr/bin/env python3
"""Draws the page that the demo reads: docs/examples/page.png, and its text, page.txt.

Needs PIL and the Debian packages fonts-dejavu-core and fonts-wqy-zenhei. Run from the repository
root, by hand, when the README's first paragraph changes; then record the references again.
"""
import re
import textwrap

from PIL import Image, ImageDraw, ImageFont

LATIN = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
CHINESE = "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc"
SIZE, STEP, MARGIN, WIDTH = 26, 44, 32, 860

PRICES = [
    "Price list",
    "Oak boards from 4 mm: 18.50",
    "Mortise chisel, 12 mm: 24.90",
    "Marking gauge: 31.00",
    "Bench plane no. 4: 129.00",
    "Wood glue, 500 g: 7.25",
]
CHINESE_LINE = "模型只编译一次，在哪里都能运行"


def first_paragraph():
    """The first paragraph of the README below its title, as one line."""
    text = open("README.md", encoding="utf-8").read()
    paragraph = re.split(r"\n\s*\n", text.strip())[1]
    return " ".join(paragraph.split())


def main():
    lines = textwrap.wrap(first_paragraph(), 58)
    rows = [(line, LATIN) for line in lines] + [None]
    rows += [(line, LATIN) for line in PRICES] + [None]
    rows += [(CHINESE_LINE, CHINESE)]
    page = Image.new("L", (WIDTH, 2 * MARGIN + STEP * len(rows)), 255)
    draw = ImageDraw.Draw(page)
    y = MARGIN
    for row in rows:
        if row:
            draw.text((MARGIN, y), row[0], font=ImageFont.truetype(row[1], SIZE), fill=16)
        y += STEP if row else STEP // 2
    page = page.crop((0, 0, WIDTH, y + MARGIN // 2))
    page.save("docs/examples/page.png", optimize=True)
    with open("docs/examples/page.txt", "w", encoding="utf-8") as out:
        out.writelines(row[0] + "\n" for row in rows if row)


main()
