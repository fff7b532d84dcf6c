"""Uses: the full names of what a module's text takes from libraries, under whatever name it goes there.

`F.conv2d` after `from torch.nn import functional as F`, `getattr(F, "conv2d")`, `conv = F.conv2d`,
`import_module("torch.nn.functional").conv2d` and `vars(F)["conv2d"]` are one: torch.nn.functional.conv2d. A text that
means to hide a name can; what is computed only when it runs is "?" here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_ROUNDS = 5  #: how often a name may be handed on to another name
#: names within what is looked for that one name of the module may stand for, and the parts of each: more say no more
_MOST, _LONGEST = 8, 12
_COMPUTED = "?"
_NOTHING: frozenset[str] = frozenset()
_TYPE_TESTS = {"isinstance", "issubclass"}
#: what looks up an attribute by a text, and what finds a module or what lies in it
_LOOK_UP, _LOCATE = {"getattr", "getattr_static"}, {"import_module", "resolve_name", "locate"}


#: nodes from which Names learns (see _learn)
_TEACHING = (
    ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.For, ast.FunctionDef, ast.withitem, ast.ClassDef, ast.Call,
    ast.arguments,
)  # fmt: skip


@dataclass(frozen=True)
class Use:
    """A name of a library's, and the line that says it."""

    name: str
    line: int


class Text:
    """What there is to learn from in a module's text, whatever is looked for in it."""

    def __init__(self, tree: ast.Module) -> None:
        nodes = list(ast.walk(tree))
        functions = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        self.imports = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
        self.teaching = [node for node in nodes if isinstance(node, _TEACHING)]
        #: a function's node -> what its `return`s give back, those of functions within it too
        self.given_back = {
            id(node): [
                inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return) and inner.value
            ]
            for node in functions
        }
        self.parameters = {
            node.name: [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            for node in functions
        }
        self.defined = {
            node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        self.defined |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        self.defined |= {node.name for node in functions}
        self.defined |= {node.name for node in nodes if isinstance(node, ast.ClassDef)}


class Names:
    """What each name of a module stands for, as far as its text tells: {"F": {"torch.nn.functional"}}.

    Only names that lie in what is looked for, or lead to it, are followed: `x = x.a`, four times with other
    attributes, would stand for half a million.
    """

    def __init__(self, text: Text, wanted: frozenset[str]) -> None:
        """Args: wanted: what to look for, such as "torch.nn.functional.conv2d"; and all that lies in it."""
        self._wanted = wanted
        self._inside = tuple(f"{name}." for name in wanted)
        parts = [name.split(".") for name in wanted]
        self._leading = {".".join(name[:count]) for name in parts for count in range(1, len(name))}
        self._meant: dict[str, frozenset[str]] = {}
        self._attributes: dict[str, frozenset[str]] = {}
        self._returned: dict[str, frozenset[str]] = {}
        self._stars = _NOTHING
        self._text = text
        for statement in text.imports:
            self._learn_import(statement)
        self._found: dict[int, frozenset[str]] | None = None  # by a node's id, once all is learnt
        for _ in range(_ROUNDS):
            self._has_learnt = False
            for node in text.teaching:
                self._learn(node)
            if not self._has_learnt:
                break
        self._found = {}

    def uses(self, nodes: Iterable[ast.AST]) -> Iterator[Use]:
        """Give each use of what is looked for within some nodes; no types that are only named."""
        for node in nodes:
            for name in sorted(self.meant(node)):
                if self._is_wanted(name):
                    yield Use(name, int(getattr(node, "lineno", 0)))
            yield from self.uses(self._parts(node))

    def _parts(self, node: ast.AST) -> Iterator[ast.AST]:
        """Give the parts of a node in which further names may stand."""
        is_named = bool(self.meant(node))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _TYPE_TESTS:
            yield from node.args[:1]
            return
        for key, child in ast.iter_fields(node):
            if key in ("annotation", "returns") or (is_named and key in ("value", "func")):
                continue
            yield from (
                item for item in (child if isinstance(child, list) else [child]) if isinstance(item, ast.AST)
            )

    def _is_wanted(self, name: str) -> bool:
        return name in self._wanted or name.startswith(self._inside)

    def _kept(self, names: Iterable[str]) -> frozenset[str]:
        """Return those of some names that are to be followed."""
        inside = sorted(name for name in names if self._is_wanted(name))[:_MOST]
        inside = [".".join(name.split(".")[:_LONGEST]) for name in inside]
        return frozenset(self._leading.intersection(names).union(inside))

    def _within(self, owners: frozenset[str], name: str | None) -> frozenset[str]:
        return self._kept({f"{owner}.{name or _COMPUTED}" for owner in owners}) if owners else _NOTHING

    # --- what is meant ---------------------------------------------------------------------------------------------

    def meant(self, node: ast.AST) -> frozenset[str]:
        """Return the full names that an expression may stand for."""
        if self._found is None:
            return self._meaning(node)
        if id(node) not in self._found:
            self._found[id(node)] = self._meaning(node)
        return self._found[id(node)]

    def _meaning(self, node: ast.AST) -> frozenset[str]:
        match node:
            case ast.Name(id=name):
                stars = _NOTHING if name in self._text.defined or name in self._meant else self._stars
                return self._meant.get(name, _NOTHING) | self._within(stars, name)
            case ast.ImportFrom(module=str(module), names=aliases):
                return self._kept({f"{module}.{alias.name}" for alias in aliases})
            case ast.Attribute(value=owner, attr=attribute):
                owners = self.meant(owner)
                if attribute == "__dict__":
                    return owners
                return self._within(owners, attribute) or self._attributes.get(attribute, _NOTHING)
            case ast.NamedExpr(value=value):
                return self.meant(value)
            case ast.IfExp(body=body, orelse=orelse):
                return self._kept(self.meant(body) | self.meant(orelse))
            case (
                ast.Subscript(value=ast.Attribute(attr="modules"), slice=key)
                | ast.Call(
                    func=ast.Attribute(value=ast.Attribute(attr="modules"), attr="get"), args=[key, *_]
                )
            ):
                return frozenset({text_of(key) or _COMPUTED})
            case (
                ast.Subscript(value=owner, slice=key)
                | ast.Call(func=ast.Attribute(value=owner, attr="get"), args=[key, *_])
            ) if _is_a_table(owner):
                return self._within(self.meant(owner), text_of(key))
            case ast.Call(func=ast.Name(id="vars"), args=[owner]):
                return self.meant(owner)
            case ast.Call(func=function, args=[owner, key, *_]) if _called(function) in _LOOK_UP:
                return self._within(self.meant(owner), text_of(key))
            case ast.Call(
                func=ast.Attribute(value=owner, attr="__getattribute__" | "__getattr__"), args=[key]
            ):
                return self._within(self.meant(owner), text_of(key))
            case ast.Call(func=ast.Call(func=function, args=[key]), args=[owner]) if (
                _called(function) == "attrgetter"
            ):
                return self._within(self.meant(owner), text_of(key))
            case ast.Call(func=function, args=[key, *_]) if _called(function) in _LOCATE:
                return frozenset({(text_of(key) or _COMPUTED).replace(":", ".")})
            case ast.Call(func=function, args=[key, *_], keywords=keywords) if (
                _called(function) == "__import__"
            ):
                name = text_of(key) or _COMPUTED
                return frozenset({name if keywords or len(node.args) > 3 else name.partition(".")[0]})
            case ast.Call(func=ast.Name(id=name)):
                return self._returned.get(name, _NOTHING)
        return _NOTHING

    # --- what is learnt --------------------------------------------------------------------------------------------

    def _learn_import(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                self._add(alias.asname or top, {alias.name if alias.asname else top})
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if alias.name == "*":
                    self._stars = self._kept({*self._stars, node.module})
                else:
                    self._add(alias.asname or alias.name, {f"{node.module}.{alias.name}"})

    def _learn(self, node: ast.AST) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._bind(target, value)
            case (
                ast.AnnAssign(target=target, value=ast.expr() as value)
                | ast.NamedExpr(target=target, value=value)
            ):
                self._bind(target, value)
            case ast.For(target=target, iter=ast.Tuple(elts=items) | ast.List(elts=items)):
                for item in items:
                    self._bind(target, item)
            case ast.FunctionDef(name=name):
                for value in self._text.given_back[id(node)]:
                    self._returns(name, value)
            case ast.withitem(context_expr=ast.Call(args=[value]), optional_vars=ast.expr() as target):
                self._bind(target, value)
            case ast.ClassDef(body=body):  # what a class imports is its attribute
                for statement in body:
                    if isinstance(statement, ast.ImportFrom):
                        for alias in statement.names:
                            known = {f"{statement.module}.{alias.name}"}
                            self._add_attribute(alias.asname or alias.name, known)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if (
                name in self._text.parameters
            ):
                for parameter, value in zip(self._text.parameters[name], args, strict=False):
                    self._add(parameter, self.meant(value))
                for keyword in keywords:
                    self._add(keyword.arg or "", self.meant(keyword.value))
            case ast.arguments():
                positional = [*node.posonlyargs, *node.args][-len(node.defaults) :] if node.defaults else []
                for argument, default in zip(positional, node.defaults, strict=True):
                    self._add(argument.arg, self.meant(default))
                for argument, value_or_none in zip(node.kwonlyargs, node.kw_defaults, strict=True):
                    if value_or_none is not None:
                        self._add(argument.arg, self.meant(value_or_none))

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        match target, value:
            case ast.Name(id=name), ast.Lambda(body=body):
                self._returns(name, body)
            case ast.Name(id=name), _:
                self._add(name, self.meant(value))
            case ast.Attribute(attr=attribute), _:
                self._add_attribute(attribute, self.meant(value))
            case (
                (ast.Tuple(elts=targets) | ast.List(elts=targets)),
                (ast.Tuple(elts=values) | ast.List(elts=values)),
            ):
                for one, other in zip(targets, values, strict=False):
                    self._bind(one, other)

    def _add(self, name: str, meant: Iterable[str]) -> None:
        self._note(self._meant, name, self._kept(frozenset(meant)))

    def _returns(self, name: str, value: ast.expr) -> None:
        self._note(self._returned, name, self.meant(value))

    def _add_attribute(self, name: str, meant: Iterable[str]) -> None:
        self._note(self._attributes, name, self._kept(frozenset(meant)))

    def _note(self, table: dict[str, frozenset[str]], name: str, meant: frozenset[str]) -> None:
        before = table.get(name, _NOTHING)
        if not meant <= before and (now := self._kept(before | meant)) != before:
            table[name] = now
            self._has_learnt = True


def text_of(node: ast.AST) -> str | None:
    """Return a text that stands in parts: "conv" + "2d"; None for one that is computed."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            parts = [text_of(left), text_of(right)]
        case ast.JoinedStr(values=values):
            parts = [text_of(value) for value in values]
        case ast.Call(
            func=ast.Attribute(value=glue, attr="join"), args=[ast.List(elts=items) | ast.Tuple(elts=items)]
        ):
            texts = [text_of(item) for item in items]
            between = text_of(glue)
            return None if between is None or None in texts else between.join(map(str, texts))
        case _:
            return None
    return None if None in parts else "".join(map(str, parts))


def _is_a_table(node: ast.AST) -> bool:
    """`vars(F)` or `F.__dict__`."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "vars"
    return isinstance(node, ast.Attribute) and node.attr == "__dict__"


def _called(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
