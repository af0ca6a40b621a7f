"""Whether a configuration node fits what it names: its `_target_` exists, and takes exactly the declared keys."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from mixlingua.errors import suggest

_INSTANTIATE_KEYS = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}


def binding_problems(node: Any, path: str) -> Iterator[str]:
    """Yield what is wrong with each `_target_` in a nested container, named by its dotted key.

    A node with `_partial_: true` is completed by the caller, so that only unknown keys count there.
    """
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield from _target_problems(node, path)
        for key, value in node.items():
            yield from binding_problems(value, f"{path}.{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from binding_problems(value, f"{path}[{index}]")


def signature_problems(target: Callable[..., Any], keys: Iterable[str], path: str, *, complete: bool) -> Iterator[str]:
    """Yield the keys that `target` does not take, and, where `complete`, the ones it needs and does not get."""
    keys = set(keys)
    parameters = inspect.signature(target).parameters
    name = getattr(target, "__qualname__", str(target))
    taken = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for key in sorted(keys - set(taken)):
            hint = suggest(key, taken) or f" It takes {', '.join(taken)}."
            yield f"{path}.{key}: {name} takes no '{key}'.{hint}"
    if complete:
        for key in taken:
            if parameters[key].default is inspect.Parameter.empty and key not in keys:
                yield f"{path}: {name} needs '{key}', which is not set."


def locate(target: str) -> Any:
    """The object that a dotted path names. Raises ImportError or AttributeError."""
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError:  # the path of a method: module.Class.method
        owner, _, class_name = module.rpartition(".")
        if not owner:
            raise
        return getattr(getattr(import_module(owner), class_name), name)


def _target_problems(node: Mapping[str, Any], path: str) -> Iterator[str]:
    try:
        target = locate(node["_target_"])
    except (ImportError, AttributeError) as error:
        yield f"{path}._target_: cannot import '{node['_target_']}' ({error})."
        return
    keys = set(node) - _INSTANTIATE_KEYS
    yield from signature_problems(target, keys, path, complete=not node.get("_partial_", False))
