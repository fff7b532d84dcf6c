r"""Maths: which formulas of a student's answer are typeset.

MathJax has commands that make links, load extensions, set styles and draw over the page (`\href`, `\require`, `\bbox`,
`\mmlToken`, `\rule`), and commands that define others. So there is no list of bad commands: a formula is typeset if
every command and every environment in it is listed here. Any other formula is shown as it was typed.
"""

from __future__ import annotations

import re

from autograder.limits import FORMULA_LETTERS, FORMULA_NESTING

COMMANDS = frozenset(
    """
    alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi omicron pi varpi rho
    varrho sigma varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi
    Omega aleph ell hbar imath jmath Re Im wp partial nabla infty emptyset varnothing angle triangle square prime
    forall exists nexists neg lnot top bot checkmark dagger ddagger star ast circ bullet cdot cdotp
    pm mp times div setminus cap cup sqcap sqcup vee wedge lor land oplus ominus otimes oslash odot bigcirc amalg
    sum prod coprod int iint iiint oint bigcap bigcup bigvee bigwedge bigoplus bigotimes bigodot biguplus uplus
    le leq leqslant ge geq geqslant ll gg lll ggg ne neq lt gt equiv sim simeq approx approxeq cong propto asymp doteq
    triangleq prec succ preceq succeq subset supset subseteq supseteq subsetneq supsetneq in ni notin not mid nmid
    parallel perp models vdash dashv vDash lesssim gtrsim because therefore
    to gets leftarrow rightarrow leftrightarrow uparrow downarrow updownarrow Leftarrow Rightarrow Leftrightarrow
    Uparrow Downarrow longleftarrow longrightarrow Longleftarrow Longrightarrow longmapsto mapsto hookrightarrow
    hookleftarrow rightharpoonup rightleftharpoons nearrow searrow swarrow nwarrow implies impliedby iff leadsto
    xrightarrow xleftarrow
    arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf injlim ker lg lim liminf limsup ln log
    max min Pr projlim sec sin sinh sup tan tanh bmod pmod mod operatorname
    hat widehat bar overline underline vec dot ddot tilde widetilde check breve acute grave overbrace underbrace
    overrightarrow overleftarrow overset underset stackrel
    frac dfrac tfrac cfrac binom dbinom tbinom choose over sqrt left right middle big Big bigg Bigg bigl bigr Bigl
    Bigr biggl biggr Biggl Biggr bigm Bigm lvert rvert lVert rVert vert Vert langle rangle lfloor rfloor lceil rceil
    lbrace rbrace lbrack rbrack backslash
    dots ldots cdots vdots ddots dotsb dotsc dotsm quad qquad enspace thinspace
    mathbb mathbf mathcal mathfrak mathit mathrm mathscr mathsf mathtt boldsymbol pmb text textbf textit textrm textsf
    texttt mbox rm bf it sf tt cal
    displaystyle textstyle scriptstyle limits nolimits substack begin end hline nonumber notag
    """.split()
) | frozenset(r",;:!>{}|%$&#_\ ")
ENVIRONMENTS = frozenset(
    """
    equation equation* align align* aligned gather gather* gathered multline multline*
    eqnarray eqnarray* split cases array matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix
    """.split()
)
_COMMAND = re.compile(r"\\([A-Za-z]+|.|$)", re.DOTALL)
#: what must follow these commands so that they are harmless
_BEGIN = re.compile(r"\{([a-z]{1,20}\*?)\}")
_COLUMNS = re.compile(r"\{[lcr| ]{1,40}\}")
_GAP = re.compile(r"\s*\*?\s*\[")  #: after the end of a line: a distance, which may be very long


def is_tame(formula: str) -> bool:
    """Whether a formula, with or without its dollars, can do nothing but be typeset."""
    if len(formula) > FORMULA_LETTERS or _depth(formula) > FORMULA_NESTING:
        return False
    return all(_is_tame(found[1], formula, found.end()) for found in _COMMAND.finditer(formula))


def _is_tame(command: str, formula: str, at: int) -> bool:
    if command == "\\":
        return not _GAP.match(formula, at)
    if command not in ("begin", "end"):
        return command in COMMANDS
    name = _BEGIN.match(formula, at)
    if not name or name[1] not in ENVIRONMENTS:
        return False
    return command == "end" or name[1] != "array" or bool(_COLUMNS.match(formula, name.end()))


def _depth(formula: str) -> int:
    depth = deepest = 0
    for letter in formula:
        depth += (letter == "{") - (letter == "}")
        deepest = max(deepest, depth)
    return deepest
