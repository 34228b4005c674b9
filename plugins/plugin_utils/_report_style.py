# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The style of a report's page: light, dark where the reader's screen is, and paper. It loads nothing.

WHY dark only on a screen: paper is white.
"""

from __future__ import annotations

_LIGHT = """
  color-scheme: light;
  --paper: #fbfaf7; --sheet: #ffffff; --ink: #1e2530; --soft: #59616e; --rule: #e3dfd6; --shade: #f3f0e9;
  --link: #1f5a8a; --good: #1b6b4c; --good-shade: #e4f1ea; --bad: #9a3412; --bad-shade: #fbe9df;
  --live-0: #c9d3cb; --live-1: #dbe2db; --on-live: #2c3a31;
  --frozen-0: #2c628f; --frozen-1: #3f78a6; --on-frozen: #ffffff; --cone: #e2ebf3;
"""
_DARK = """
  color-scheme: dark;
  --paper: #14171c; --sheet: #1a1e25; --ink: #e4e6ea; --soft: #a3abb8; --rule: #2d333d; --shade: #21262e;
  --link: #8fc1ea; --good: #7fd1a8; --good-shade: #193026; --bad: #f4a781; --bad-shade: #38231a;
  --live-0: #3a463e; --live-1: #46534a; --on-live: #dfe8e1;
  --frozen-0: #8cbde6; --frozen-1: #6fa8d6; --on-frozen: #0f1a24; --cone: #22303d;
"""
_PAGE = """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 62rem; padding: 3.5rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: break-word; }
a { color: var(--link); text-underline-offset: .2em; text-decoration-thickness: 1px; }
a:focus-visible { outline: 2px solid var(--link); outline-offset: 3px; border-radius: 2px; }
code, pre { font-family: ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", monospace; font-size: .85em; }
h1 { margin: .2rem 0 1.2rem; font-size: clamp(2rem, 6vw, 3rem); line-height: 1.15; font-weight: 650;
  letter-spacing: -.02em; overflow-wrap: anywhere; }
h2 { margin: 0 0 1rem; font-size: 1.35rem; line-height: 1.3; font-weight: 640; letter-spacing: -.01em; }
h3 { margin: 2rem 0 .6rem; font-size: 1rem; font-weight: 640; }
p { margin: 0 0 1rem; max-width: 44rem; }
section { margin-top: 3.5rem; scroll-margin-top: 1rem; }
.over { margin: 0; color: var(--soft); font-size: .9rem; }
.outcome { display: flex; gap: .75rem; align-items: flex-start; max-width: none; margin: 0; padding: .8rem 1rem;
  border-radius: .6rem; font-weight: 560; }
.outcome.good { color: var(--good); background: var(--good-shade); }
.outcome.bad { color: var(--bad); background: var(--bad-shade); }
.mark { flex: none; width: 1.5rem; height: 1.5rem; line-height: 1.5rem; text-align: center; border-radius: 50%;
  font-weight: 700; font-size: .9rem; }
.good > .mark { background: var(--good); color: var(--good-shade); }
.bad > .mark { background: var(--bad); color: var(--bad-shade); }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1.2rem;
  margin: 1.8rem 0 0; }
.numbers div { display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.numbers dt { color: var(--soft); font-size: .85rem; font-weight: 400; }
.numbers dd { margin: 0; font-size: 1.55rem; line-height: 1.25; font-weight: 560; letter-spacing: -.01em; }
nav { margin-top: 2.2rem; padding: .9rem 0; border-top: 1px solid var(--rule); border-bottom: 1px solid var(--rule); }
nav ul { display: flex; flex-wrap: wrap; gap: .1rem 1.4rem; max-width: none; margin: 0; padding: 0; list-style: none;
  font-size: .9rem; }
nav li { padding: 0; }
figure { margin: 0 0 1.6rem; }
figure svg { display: block; border-radius: .35rem; }
figure text { font-size: .78rem; font-weight: 600; }
figcaption { margin-top: .6rem; color: var(--soft); font-size: .85rem; }
.ends { display: flex; justify-content: space-between; gap: 1rem; margin-bottom: .4rem; color: var(--soft);
  font-size: .8rem; }
.ends span:last-child { text-align: right; }
.ends span:nth-child(2) { text-align: center; }
.live-0 rect { fill: var(--live-0); } .live-1 rect { fill: var(--live-1); }
.live-0 text, .live-1 text { fill: var(--on-live); }
.frozen-0 rect { fill: var(--frozen-0); } .frozen-1 rect { fill: var(--frozen-1); }
.frozen-0 text, .frozen-1 text { fill: var(--on-frozen); }
.cone { fill: var(--cone); }
.swatch { display: inline-block; min-width: 1.6rem; padding: 0 .3rem; border-radius: .3rem; text-align: center;
  font-size: .78rem; font-weight: 600; line-height: 1.5rem; }
.swatch.live-0 { background: var(--live-0); color: var(--on-live); }
.swatch.live-1 { background: var(--live-1); color: var(--on-live); }
.swatch.frozen-0 { background: var(--frozen-0); color: var(--on-frozen); }
.swatch.frozen-1 { background: var(--frozen-1); color: var(--on-frozen); }
.tag { display: inline-block; padding: 0 .4rem; border-radius: .3rem; background: var(--cone); color: var(--link);
  font-size: .75rem; font-weight: 560; }
.table { margin: 0 0 1.8rem; }
table { width: 100%; border-collapse: collapse; font-size: .92rem; line-height: 1.45; }
caption { padding: 0 0 .5rem; text-align: left; font-weight: 640; }
th, td { padding: .5rem .9rem .5rem 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top;
  overflow-wrap: anywhere; }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--soft); font-size: .8rem; font-weight: 500; overflow-wrap: normal; }
tbody th { font-weight: 560; }
.number { text-align: right; white-space: nowrap; }
.time, .began, .stage { white-space: nowrap; }
.swatches { width: 2.6rem; }
.none { color: var(--soft); }
td .good { color: var(--good); } td .bad { color: var(--bad); font-weight: 640; }
.aside { color: var(--soft); font-size: .85em; font-weight: 400; }
.more { margin: .6rem 0 0; color: var(--soft); font-size: .9rem; }
.left .stacks th { width: 28%; }
dl { margin: 0; }
section dl { display: grid; grid-template-columns: minmax(10rem, 17rem) 1fr; font-size: .92rem; }
section dt, section dd { margin: 0; padding: .4rem .9rem .4rem 0; border-bottom: 1px solid var(--rule);
  overflow-wrap: anywhere; }
section dt { color: var(--soft); }
ul, ol { margin: 0 0 1rem; padding-left: 1.3rem; max-width: 48rem; }
li { margin: .35rem 0; padding-left: .2rem; }
.steps li { margin: .9rem 0; }
.steps li::marker { color: var(--soft); font-weight: 600; }
.on { display: block; color: var(--soft); font-size: .85rem; }
pre { margin: .5rem 0 0; padding: .6rem .8rem; border-radius: .4rem; background: var(--shade); white-space: pre-wrap;
  overflow-wrap: anywhere; line-height: 1.5; }
.code-point { padding: 0 .15em; border-radius: .2em; background: var(--bad-shade); color: var(--bad);
  font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .85em; }
footer { margin-top: 4rem; padding-top: 1.2rem; border-top: 1px solid var(--rule); color: var(--soft);
  font-size: .85rem; }
footer p { margin: 0 0 .4rem; }
"""
_NARROW = """
  body { padding: 1.6rem 1rem 3rem; }
  section { margin-top: 2.6rem; }
  .numbers { grid-template-columns: 1fr 1fr; }
  .long, .began, .ends span:nth-child(2) { display: none; }
  section dl { display: block; }
  section dt { padding-bottom: 0; border: 0; font-size: .85rem; }
  section dd { padding-top: 0; }
  th, td { padding-right: .6rem; }
  .stacks, .stacks caption, .stacks tbody, .stacks tr, .stacks td, .stacks tbody th { display: block; width: auto; }
  .stacks thead { display: none; }
  .stacks tr { padding: .7rem 0; border-bottom: 1px solid var(--rule); }
  .stacks td, .stacks tbody th { padding: .1rem 0; border: 0; }
  .left .stacks th { width: auto; }
  .stacks td::before { content: attr(data-label) " "; color: var(--soft); font-size: .85em; }
  .stacks td.number { display: inline-block; margin-right: 1.1rem; text-align: left; }
"""
_PAPER = """
  @page { margin: 16mm 15mm; }
  :root { --paper: #ffffff; --shade: #f5f5f3; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  table, section dl { font-size: 8.5pt; }
  .numbers { grid-template-columns: repeat(5, auto); }
  .numbers dd { font-size: 1.25rem; }
  nav { display: none; }
  h2, h3, caption { break-after: avoid; }
  tr, li, figure, .outcome, dt, dd { break-inside: avoid; }
  thead { display: table-header-group; }
  section { margin-top: 1.8rem; }
  a { color: inherit; text-decoration: none; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
"""
STYLE = (
    f"\n:root {{{_LIGHT}}}\n@media screen and (prefers-color-scheme: dark) {{\n:root {{{_DARK}}}\n}}\n{_PAGE}"
    f"@media screen and (max-width: 40rem) {{{_NARROW}}}\n@media print {{{_PAPER}}}\n"
)
