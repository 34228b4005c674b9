# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw docs/pictures/migration.svg: who serves during a migration, and what goes from one side to the other.

python3 .ci/pictures.py            writes it
python3 .ci/pictures.py --check    exits with 1 where the file is another one
One file for light and dark: its colours follow the reader's. A test holds that the file is what this draws.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "migration.svg"
WIDTH, HEIGHT = 980, 340
LEFT, STEP = 108, 84  # of the first stage; from one stage to the next
SOURCE_Y, DESTINATION_Y, LANE = 72, 208, 46
FREEZE = (5, 9)  # stages in which neither side serves: first, and the one after the last

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .side { font-weight: 600 } .small { font-size: 12px; fill: #57606a }
  .lane { fill: #eef1f4 } .serves { fill: #1a7f37 } .on { fill: #ffffff; font-weight: 600 }
  .freeze { fill: #fff1e5; stroke: #bc4c00; stroke-dasharray: 4 3 } .frozen { fill: #953800; font-weight: 600 }
  .way { stroke: #0969da; fill: none; stroke-width: 2 } .tip { fill: #0969da }
  .back { stroke: #cf222e; fill: none; stroke-width: 2; stroke-dasharray: 6 4 } .backtip { fill: #cf222e }
  .backward { fill: #a40e26 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .lane { fill: #21262d }
    .serves { fill: #238636 } .on { fill: #ffffff }
    .freeze { fill: #341a00; stroke: #db6d28 } .frozen { fill: #ffa657 } .way { stroke: #4493f8 } .tip { fill: #4493f8 }
    .back { stroke: #f85149 } .backtip { fill: #f85149 } .backward { fill: #ff7b72 }
  }
"""


@dataclass(frozen=True)
class Stage:
    """side: who works. way: whether something goes to the other side."""

    name: str
    side: str
    way: bool = False


STAGES = (
    Stage("preflight", "both"),
    Stage("backup", "source"),
    Stage("export", "source", way=True),
    Stage("install", "destination"),
    Stage("import", "destination"),
    Stage("stop", "source"),
    Stage("differences", "source", way=True),
    Stage("proof", "destination"),
    Stage("acceptance", "destination"),
    Stage("start", "destination"),
)


def x_of(number: float) -> float:
    """Return where a stage begins."""
    return LEFT + number * STEP


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{named}>{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5" class="{kind}"/>'


def lanes() -> list[str]:
    """Both sides, and when each serves."""
    first, after = FREEZE
    end = x_of(len(STAGES))
    drawn = [text(8, SOURCE_Y + 20, "source", "side"), text(8, SOURCE_Y + 37, "old KEK", "small")]
    drawn += [text(8, DESTINATION_Y + 20, "destination", "side"), text(8, DESTINATION_Y + 37, "new KEK", "small")]
    drawn += [box(LEFT, y, end - LEFT, LANE, "lane") for y in (SOURCE_Y, DESTINATION_Y)]
    drawn += [box(x_of(first), 30, x_of(after) - x_of(first), HEIGHT - 74, "freeze")]
    drawn += [text((x_of(first) + x_of(after)) / 2, 22, "freeze: nothing serves", "frozen", "middle")]
    drawn += [box(LEFT, SOURCE_Y, x_of(first) - LEFT, LANE, "serves"), text(LEFT + 12, SOURCE_Y + 28, "serves", "on")]
    drawn += [box(x_of(after), DESTINATION_Y, end - x_of(after), LANE, "serves")]
    return [*drawn, text(x_of(after) + STEP / 2, DESTINATION_Y + 28, "serves", "on", "middle")]


def stages() -> list[str]:
    """The stages' names at who works, and arrows where something goes over."""
    drawn = []
    for number, stage in enumerate(STAGES):
        middle = x_of(number) + STEP / 2
        if stage.side in ("source", "both"):
            drawn.append(text(middle, SOURCE_Y - 10, stage.name, anchor="middle"))
        if stage.side in ("destination", "both"):
            drawn.append(text(middle, DESTINATION_Y + LANE + 20, stage.name, anchor="middle"))
        if stage.way:
            top, bottom = SOURCE_Y + LANE + 4, DESTINATION_Y - 12
            drawn.append(f'<path d="M{middle:g} {top}V{bottom}" class="way"/>')
            drawn.append(f'<path d="M{middle - 6:g} {bottom}h12l-6 9z" class="tip"/>')
    bundle, changes = x_of(2) + STEP / 2 + 10, x_of(6) + STEP / 2 + 10
    drawn.append(text(bundle, 160, "bundle, encrypted to", "small") + text(bundle, 176, "the destination", "small"))
    return [*drawn, text(changes, 160, "what changed", "small") + text(changes, 176, "since then", "small")]


def way_back() -> list[str]:
    """What happens where a stage fails."""
    y, start, end = HEIGHT - 10, x_of(FREEZE[1]), x_of(0)
    line = f'<path d="M{start:g} {y}H{end + 10:g}" class="back"/>'
    tip = f'<path d="M{end + 12:g} {y - 6}v12l-12 -6z" class="backtip"/>'
    words = "a stage fails, the controller dies, a host reboots: the source serves again, its records untouched"
    return [line, tip, text(LEFT + 14, y - 9, words, "backward")]


def picture() -> str:
    """Return the whole picture as SVG."""
    title = "A migration: the source serves until the freeze, the destination after it"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
    return "\n".join(
        [head, f"<title>{title}</title>", f"<style>{STYLE}</style>", *lanes(), *stages(), *way_back(), "</svg>\n"]
    )


def main(arguments: list[str]) -> int:
    """Write the picture, or compare it."""
    drawn = picture()
    if arguments == ["--check"]:
        return int(PICTURE.read_text(encoding="utf-8") != drawn)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(drawn, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
