"""What a constructor takes, read from its source: importing the constructors of a configuration would import torch."""

import ast
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any


class _Unreadable:
    """Stands for a default that is no literal; the argument exists, and the constructor alone knows its value."""


REQUIRED = "???"  # as OmegaConf marks a value that has to be given
UNREADABLE = _Unreadable()
TRAINER = "pytorch_lightning.trainer.trainer.Trainer"  # what the keys of conf/trainer are arguments of


@dataclass(frozen=True)
class Signature:
    """What a class or function takes.

    defaults: each argument's default, REQUIRED or UNREADABLE, in order; takes_more: there is a **kwargs;
    annotations: of the arguments that have one.
    """

    name: str
    defaults: dict[str, Any]
    takes_more: bool = False
    annotations: dict[str, ast.expr] = field(default_factory=dict)


_FITS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "None": ("null", lambda value: value is None),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "int": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "float": ("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool)),
    "str": ("a text", lambda value: isinstance(value, str)),
    "Path": ("a path", lambda value: isinstance(value, str)),
}
_LISTS = ("Sequence", "list", "tuple")


def needed(value: Any, annotation: ast.expr) -> str:
    """What an argument of this annotation takes, where the value is nothing of the kind; empty where it fits.

    Read are None, bool, int, float, str, Path, lists of these, mappings and unions; any value fits the rest.
    """
    if len(members := _members(annotation)) > 1:
        either = [needed(value, member) for member in members]
        return " or ".join(either) if all(either) else ""
    name = ast.unparse(annotation)
    if name in _FITS:
        description, fits = _FITS[name]
        return "" if fits(value) else description
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) in _LISTS:
        if not isinstance(value, list):
            return "a list"
        inner = annotation.slice
        each_of = inner.elts if isinstance(inner, ast.Tuple) else [inner] * len(value)
        if each_of and ast.unparse(each_of[-1]) == "...":
            each_of = each_of[:1] * len(value)
        if len(each_of) != len(value):
            return f"a list of {len(each_of)}"
        wrong = next((said for each, of in zip(value, each_of, strict=True) if (said := needed(each, of))), "")
        return f"a list in which each is {wrong}" if wrong else ""
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) in ("Mapping", "dict"):
        return "" if isinstance(value, Mapping) else "a mapping"
    return ""


def _members(annotation: ast.expr) -> list[ast.expr]:
    """Of a union, however it is written."""
    if isinstance(annotation, ast.BinOp):
        return [annotation.left, annotation.right]
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) in ("Optional", "Union"):
        listed = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        return [*listed, *([ast.Constant(None)] if ast.unparse(annotation.value) == "Optional" else [])]
    return [annotation]


@cache
def signature(target: str) -> Signature | None:
    """The arguments of the class or function that a dotted path names; None where its source does not show them.

    Nothing is imported. Understood are functions, classes with an `__init__`, data classes with their bases, methods,
    and names that a module imports from another one of its package.
    """
    module, names = _module_of(target)
    return module.signature(names) if module is not None and names else None


def _module_of(target: str) -> "tuple[_Module | None, list[str]]":
    """The module that the first names of a dotted path lead to, None where it has no source, and the other names."""
    names = target.split(".")
    try:
        spec = importlib.util.find_spec(names[0])
    except (ImportError, ValueError):
        return None, names
    depth = 1
    while spec is not None and spec.submodule_search_locations is not None and depth < len(names):
        inner = PathFinder.find_spec(".".join(names[: depth + 1]), spec.submodule_search_locations)
        if inner is None:
            break
        spec, depth = inner, depth + 1
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None, names
    module = _Module(spec.name, _parsed(spec.origin), is_package=spec.submodule_search_locations is not None)
    return module, names[depth:]


@cache
def _parsed(file: str) -> ast.Module:
    return ast.parse(Path(file).read_text(encoding="utf-8"), file)


@dataclass(frozen=True)
class _Module:
    name: str
    tree: ast.Module
    is_package: bool

    def signature(self, names: list[str]) -> Signature | None:
        body: list[ast.stmt] = self.tree.body
        for name in names:
            found = next((node for node in body if getattr(node, "name", None) == name), None)
            if found is None:
                imported = self.imported(name) if body is self.tree.body else None
                return signature(".".join([imported, *names[1:]])) if imported else None
            body = getattr(found, "body", [])
        if isinstance(found, ast.FunctionDef):
            return self.of_function(found, found.name, is_method=len(names) > 1)
        return self.of_class(found) if isinstance(found, ast.ClassDef) else None

    def imported(self, name: str) -> str | None:
        """Where a name that this module imports comes from; None where that is neither its package nor this one."""
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom) and any((alias.asname or alias.name) == name for alias in node.names):
                alias = next(alias for alias in node.names if (alias.asname or alias.name) == name)
                package = self.name.split(".")[: None if self.is_package else -1]
                above = package[: len(package) - node.level + 1] if node.level else []
                source = ".".join([*above, *([node.module] if node.module else []), alias.name])
                return source if source.split(".")[0] in (self.name.split(".")[0], "mixlingua") else None
        return None

    def of_class(self, node: ast.ClassDef) -> Signature | None:
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                return self.of_function(inner, node.name, is_method=True)
        bases = [base for expression in node.bases if (base := self.base(expression)) is not None]
        if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
            inherited = {name: value for base in reversed(bases) for name, value in base.defaults.items()}
            types = {name: type_ for base in reversed(bases) for name, type_ in base.annotations.items()}
            types |= {
                ast.unparse(inner.target): inner.annotation for inner in node.body if isinstance(inner, ast.AnnAssign)
            }
            return Signature(node.name, inherited | dict(self.fields(node)), annotations=types)
        if bases:
            return replace(bases[0], name=node.name)
        return None if node.bases else Signature(node.name, {})  # what another package's class takes is not known

    def base(self, expression: ast.expr) -> Signature | None:
        return self.signature(ast.unparse(expression).partition("[")[0].split("."))

    def fields(self, node: ast.ClassDef) -> Iterator[tuple[str, Any]]:
        for inner in node.body:
            if not isinstance(inner, ast.AnnAssign) or not isinstance(inner.target, ast.Name):
                continue
            options: dict[str | None, ast.expr] = {}
            if isinstance(inner.value, ast.Call) and ast.unparse(inner.value.func).endswith("field"):
                options = {keyword.arg: keyword.value for keyword in inner.value.keywords}
            if ast.unparse(inner.annotation).endswith("KW_ONLY"):
                continue
            if "ClassVar" in ast.unparse(inner.annotation) or ("init" in options and not self.value(options["init"])):
                continue
            if inner.value is None:
                yield inner.target.id, REQUIRED
            elif not options:
                yield inner.target.id, self.value(inner.value)
            elif "default" in options:
                yield inner.target.id, self.value(options["default"])
            else:
                yield inner.target.id, self.made_by(ast.unparse(options["default_factory"]))

    def of_function(self, node: ast.FunctionDef, name: str, *, is_method: bool) -> Signature:
        given = node.args
        positional = [*given.posonlyargs, *given.args]
        without = len(positional) - len(given.defaults)
        defaults: dict[str, Any] = {}
        for index, argument in enumerate(positional):
            defaults[argument.arg] = REQUIRED if index < without else self.value(given.defaults[index - without])
        for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
            defaults[argument.arg] = REQUIRED if default is None else self.value(default)
        static = any(ast.unparse(decorator) == "staticmethod" for decorator in node.decorator_list)
        if is_method and not static:
            defaults.pop(positional[0].arg)
        types = {each.arg: each.annotation for each in [*positional, *given.kwonlyargs] if each.annotation is not None}
        return Signature(name, defaults, given.kwarg is not None, types)

    def made_by(self, factory: str) -> Any:
        """What a default_factory makes: an empty container, or a class of ours, as a node that names it."""
        empty: dict[str, Any] = {"list": [], "tuple": [], "dict": {}}
        if factory in empty:
            return empty[factory]
        here = any(isinstance(node, ast.ClassDef) and node.name == factory for node in self.tree.body)
        target = f"{self.name}.{factory}" if here else self.imported(factory)
        return {"_target_": target} if target and signature(target) else UNREADABLE

    def value(self, expression: ast.expr) -> Any:
        """A literal, or a constant of this module or of one that it imports it from."""
        if isinstance(expression, ast.Name):
            for node in self.tree.body:
                targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
                if any(isinstance(target, ast.Name) and target.id == expression.id for target in targets):
                    return self.value(node.value)  # type: ignore[attr-defined]
            module, names = _module_of(self.imported(expression.id) or "")
            return module.value(ast.Name(names[0])) if module is not None and len(names) == 1 else UNREADABLE
        try:
            literal = ast.literal_eval(expression)
        except ValueError:
            return UNREADABLE
        return list(literal) if isinstance(literal, tuple) else literal
