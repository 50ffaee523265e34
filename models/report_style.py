"""The report's style sheet: light, for screen and paper, with no font or file from elsewhere."""

CSS = """
:root { --ink: #1f262d; --soft: #5d6770; --line: #e3e7eb; --blue: #1d5fa8; --good: #2e7d53; --bad: #b8382b;
  --amber: #9a6a10; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0; background: #f6f7f9; color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 24px 60px; }
header h1 { font-size: 22px; margin: 0; letter-spacing: -0.01em; }
header p { margin: 2px 0 18px; color: var(--soft); }
code, .id { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 0.93em; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 20px 24px;
  margin: 16px 0; }
h2 { font-size: 17px; margin: 0 0 4px; letter-spacing: -0.01em; }
h3 { font-size: 14px; margin: 18px 0 4px; }
p.lead { margin: 0 0 12px; color: var(--soft); max-width: 78ch; }
.verdict { border-left: 6px solid var(--soft); }
.verdict h2 { font-size: 21px; margin-bottom: 6px; }
.verdict p { margin: 4px 0; max-width: 82ch; }
.verdict.better { border-left-color: var(--good); } .verdict.better h2 { color: var(--good); }
.verdict.worse { border-left-color: var(--bad); } .verdict.worse h2 { color: var(--bad); }
.verdict.unclear { border-left-color: var(--amber); } .verdict.unclear h2 { color: var(--amber); }
.verdict.alone { border-left-color: var(--blue); } .verdict.alone h2 { color: var(--ink); }
.cards { display: grid; grid-template-columns: repeat(3, 1fr); gap: 12px; margin-top: 18px; }
.card { border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; }
.card .name { color: var(--soft); font-size: 13px; }
.card .value { font-size: 25px; font-weight: 600; letter-spacing: -0.02em;
  font-variant-numeric: tabular-nums; }
.card .more { color: var(--soft); font-size: 12.5px; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); }
ul.warnings { list-style: none; margin: 16px 0 0; padding: 0; }
ul.warnings li { background: #fdf6e7; border: 1px solid #f0dfb6; color: #6d4c0b; border-radius: 6px;
  padding: 6px 12px; margin: 6px 0; font-size: 14px; }
ul.warnings li.none { background: #eef7f1; border-color: #cfe6d8; color: #256642; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 20px; align-items: start; }
figure { margin: 8px 0; min-width: 0; }
figure svg { display: block; width: 100%; height: auto; }
figure svg text { font-family: inherit !important; }
figcaption { color: var(--soft); font-size: 13px; margin-top: 2px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums;
  margin: 8px 0; }
td { white-space: nowrap; }
th, td { padding: 5px 8px; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th { color: var(--soft); font-weight: 600; border-bottom-color: #c9d0d6; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
tr.warn td { background: #fdf6e7; }
tr.small td { color: var(--soft); }
td.sub { color: var(--soft); }
table.wide { font-size: 12px; } table.wide th, table.wide td { padding: 5px 4px; }
table.wide td:first-child { white-space: normal; min-width: 84px; }
table.matrix { width: auto; }
table.matrix td { min-width: 108px; border: 2px solid #fff; border-radius: 6px; }
table.matrix td.right { background: #e6f2ea; } table.matrix td.wrong { background: #fbeae8; }
table.matrix td small { display: block; color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 8px 0; font-size: 14px; }
dt { color: var(--soft); } dd { margin: 0; }
nav { font-size: 13.5px; margin: 0 0 8px; } nav a { margin-right: 14px; white-space: nowrap; }
a { color: var(--blue); text-decoration: none; } a:hover { text-decoration: underline; }
footer { color: var(--soft); font-size: 13px; margin-top: 20px; }
@media screen and (max-width: 760px) { .two, .cards { grid-template-columns: 1fr; }
  main { padding: 16px 12px; } }
@media print { body { background: #fff; font-size: 12px; } main { max-width: none; padding: 0; }
  nav { display: none; }
  section { border: 0; border-top: 1px solid var(--line); border-radius: 0; padding: 12px 0; margin: 0; }
  .verdict { padding-left: 14px; } figure, tr, .card { break-inside: avoid; }
  h2, h3, p.lead { break-after: avoid; }
  .scroll { overflow: visible; } table { font-size: 10px; } th, td { padding: 3px 4px; }
  td { white-space: normal; } td.text { white-space: nowrap; } table.matrix td { min-width: 76px; }
  .card .value { font-size: 19px; } .cards { gap: 8px; } .two { gap: 12px; } a { color: inherit; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; } }
"""
