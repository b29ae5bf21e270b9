"""The style of the HTML page: light and dark by the reader's setting, colours that can be told apart in both."""

from typing import Final

CSS: Final = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--soft:#59636e;--line:#d5dae0;--tint:#f4f6f8;
--link:#0a5bb5;--good:#137333;--bad:#b3261e;--note:#fff8e6;--noteline:#e3b341;
--c0:#b35900;--c1:#e39a3b;--c2:#7a5ba8;--c3:#b59ad8;--c4:#a8324a;--c5:#e0788c;--c6:#0f7b3f;--c7:#0a5bb5;--c8:#8c5a2b;
--c9:#6b8e23;--c10:#7fb2ef;--c11:#d9b400;--c12:#111418;--c13:#00a0a8}
@media (prefers-color-scheme:dark){:root{--paper:#14171a;--ink:#e4e8ec;--soft:#9aa5b1;--line:#363d45;--tint:#1c2126;
--link:#74b4ff;--good:#5fd08a;--bad:#ff8a80;--note:#262213;--noteline:#9a7a22;
--c0:#ff9a3d;--c1:#c98a4b;--c2:#b79af0;--c3:#8069ad;--c4:#ff7c93;--c5:#b85068;--c6:#4fd08a;--c7:#6db1ff;--c8:#d9a56b;
--c9:#b5d455;--c10:#2f6fc0;--c11:#f2d64b;--c12:#f4f6f8;--c13:#4fd3e6}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:1rem}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif;
display:grid;grid-template-columns:15rem minmax(0,1fr);gap:2rem;max-width:92rem;padding:0 1.5rem}
nav{position:sticky;top:0;align-self:start;padding:2rem 0;max-height:100vh;overflow:auto;font-size:.92rem}
nav ol{list-style:none;margin:0;padding:0;border-left:2px solid var(--line)}
nav a{display:block;padding:.25rem .8rem;color:var(--soft);text-decoration:none}
nav a:hover,nav a:focus{color:var(--ink);background:var(--tint)}
main{padding:1.5rem 0 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:.2rem 0 1rem}
h2{font-size:1.4rem;margin:3rem 0 .5rem;padding-top:1rem;border-top:1px solid var(--line)}
p{max-width:46rem;margin:.6rem 0}
a{color:var(--link)}
code{font:.9em ui-monospace,monospace;background:var(--tint);padding:.05em .3em;border-radius:3px}
.shows{color:var(--soft);font-size:1.05rem}
.note{color:var(--soft);font-size:.88rem}
.good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:700}.plain{color:var(--soft)}
.wide{overflow-x:auto}
table{border-collapse:collapse;margin:1.2rem 0 .4rem;font-size:.9rem}
caption{text-align:left;font-weight:600;font-size:1rem;padding:.3rem 0;white-space:nowrap}
th,td{padding:.3rem .7rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
thead th{color:var(--soft);font-weight:600;border-bottom:2px solid var(--line);vertical-align:bottom}
tbody th{font-weight:500;white-space:nowrap}
tbody tr:hover{background:var(--tint)}
.n,thead th.n{text-align:right;font-variant-numeric:tabular-nums}td.n{white-space:nowrap}
.summary td,.summary th{padding:.5rem .7rem}
.paper{background:var(--note)}
aside.paper{border-left:4px solid var(--noteline);padding:.6rem 1.2rem 1rem;margin:1.5rem 0;border-radius:0 6px 6px 0}
.paper .mark{margin:0;font-size:.8rem;font-weight:700;text-transform:uppercase;letter-spacing:.06em;color:var(--soft)}
figure{margin:1.5rem 0}
figcaption{font-weight:600}
figure svg{display:block;width:100%;min-width:34rem;max-width:58rem;height:auto}
figure.front .narrow{display:none}
figure.front .narrow svg{min-width:0}
details{margin:1.2rem 0}summary{cursor:pointer;font-weight:600}
@media (max-width:60rem){body{display:block}nav{position:static;padding:1rem 0 0;max-height:none}}
@media (max-width:40rem){body{padding:0 1rem}figure.front .broad{display:none}figure.front .narrow{display:block}
.summary thead{display:none}.summary tr,.summary th,.summary td{display:block}.summary td,.summary th{border:0}
.summary tr{border-bottom:1px solid var(--line);padding:.4rem 0}.summary td.paper:before{content:"the paper: "}}
@media print{body{display:block}nav{display:none}}
"""
