"""How conf/ becomes a configuration: each file's `_target_` nodes are completed with their constructors' defaults.

A file states only what makes the choice what it is. A source of configurations of our own, which Hydra reads conf/ and
`--config-dir` through, adds the constructor's other arguments, so that all of them are shown by `--cfg job` and can be
overridden on the command line. A value's default therefore has one place: the constructor.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from mixlingua.errors import suggest
from mixlingua.files import conf_folder
from mixlingua.signatures import REQUIRED, UNREADABLE, Signature, needed, signature

INSTANTIATE_KEYS = ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")


def complete(node: Any) -> Any:
    """A nested container in which every `_target_` node has all arguments of its target, the missing ones by default.

    An argument without a default is marked as missing, unless the node is `_partial_` and its caller gives it.
    """
    if isinstance(node, list):
        return [complete(item) for item in node]
    if not isinstance(node, dict):
        return node
    completed = {key: complete(value) for key, value in node.items()}
    known = signature(node["_target_"]) if isinstance(node.get("_target_"), str) else None
    if known is None:
        return completed
    arguments = {
        name: completed.pop(name) if name in completed else complete(default)
        for name, default in known.defaults.items()
        if name in completed or not (default is UNREADABLE or (default == REQUIRED and node.get("_partial_", False)))
    }
    instantiation = {key: completed.pop(key) for key in INSTANTIATE_KEYS if key in completed}
    return instantiation | arguments | completed


def _targets(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any], Signature]]:
    """Every `_target_` node in a nested container whose arguments are known, with its dotted path."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _targets(item, f"{path}[{index}]")
    if isinstance(node, dict):
        known = signature(node["_target_"]) if isinstance(node.get("_target_"), str) else None
        if known is not None:
            yield path, node, known
        for key, value in node.items():
            yield from _targets(value, f"{path}.{key}")


def unknown_keys(node: Any, path: str) -> Iterator[str]:
    """Yield a sentence for each key of a `_target_` node that its target does not take, named by its dotted path."""
    for place, target, known in _targets(node, path):
        for key in target:
            if not known.takes_more and key not in (*known.defaults, *INSTANTIATE_KEYS):
                hint = suggest(str(key), known.defaults) or f" It takes {', '.join(known.defaults) or 'nothing'}."
                yield f"{place}.{key}: {known.name} takes no '{key}'.{hint}"


def wrong_types(node: Any, path: str) -> Iterator[str]:
    """Yield a sentence for each value of a `_target_` node that is of no type that its argument is annotated with.

    The argument's own default is never wrong, whatever the annotation says.
    """
    for place, target, known in _targets(node, path):
        for key, annotation in known.annotations.items():
            default = known.defaults.get(key, REQUIRED)
            value = target.get(key, default)
            if repr(value) != repr(default) and (takes := needed(value, annotation)):
                yield wrong_type(f"{place}.{key}", value, takes)


def wrong_type(key: str, value: Any, takes: str) -> str:
    """What to say of a value where its key takes something else."""
    way = ""
    if "a text" in takes and any(isinstance(each, bool) for each in (value if isinstance(value, list) else [value])):
        way = " YAML reads no and off as false, yes and on as true; put such a text in quotes: 'no'."
    elif takes.startswith(("a text", "a path")) and isinstance(value, int | float):
        way = f" Quote it: {key}=\"'{value}'\""
    elif isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?|true|false", value, re.IGNORECASE):
        way = f" '{value}' is a text here, as variables of the environment are; in YAML ${{oc.decode:...}} reads it."
    return f"{key}={'null' if value is None else value}: {takes} is needed.{way}"


class CompletedFiles(ConfigSource):
    """Hydra plugin: a folder of YAML files, each completed when it is read. Its paths begin with `mixlingua://`."""

    @staticmethod
    def scheme() -> str:
        """What stands before `://`."""
        return "mixlingua"

    def load_config(self, config_path: str) -> ConfigResult:
        """Read and complete a file. Raises ConfigLoadError where there is none."""
        file = self._file(config_path)
        if not file.is_file():
            raise ConfigLoadError(f"Config not found : {file}")
        text = file.read_text(encoding="utf-8")
        content = complete(OmegaConf.to_container(OmegaConf.create(text), resolve=False))
        return ConfigResult(
            provider=self.provider,
            path=f"{self.scheme()}://{self.path}",
            config=OmegaConf.create(content),
            header=self._get_header_dict(text[:512]),
        )

    def available(self) -> bool:
        """Whether the folder exists."""
        return self.is_group("")

    def is_group(self, config_path: str) -> bool:
        """Whether there is such a folder."""
        return Path(self.path, config_path).is_dir()

    def is_config(self, config_path: str) -> bool:
        """Whether there is such a file; its suffix may be left out."""
        return self._file(config_path).is_file()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Names of groups and choices in a folder, sorted."""
        names: list[str] = []
        for path in sorted(Path(self.path, config_path).iterdir()):
            self._list_add_result(names, f"{config_path}/{path.name}".lstrip("/"), path.name, results_filter)
        return sorted(set(names))

    def _file(self, config_path: str) -> Path:
        return Path(self.path, self._normalize_file_name(config_path))


class CompletedSearchPath(SearchPathPlugin):
    """Hydra plugin: conf/ and the folder of `--config-dir` are read through `CompletedFiles`."""

    config_dir: Path | None = None

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Put our source in the place of conf/, and before Hydra's own for `--config-dir`."""
        for element in search_path.get_path():
            if element.path in (str(conf_folder()), f"file://{conf_folder()}"):
                element.path = f"{CompletedFiles.scheme()}://{conf_folder()}"
                if self.config_dir is not None:
                    search_path.append("config-dir", f"{CompletedFiles.scheme()}://{self.config_dir}")
                return


def register(config_dir: Path | None = None) -> None:
    """Make Hydra read conf/, and the choices in config_dir beside it, through `CompletedFiles`."""
    CompletedSearchPath.config_dir = config_dir.absolute() if config_dir else None
    for plugin in (CompletedFiles, CompletedSearchPath):
        Plugins.instance().register(plugin)


@contextmanager
def composer(config_dir: Path | None = None) -> Iterator[None]:
    """A context in which `hydra.compose` composes conf/ as a run does."""
    register(config_dir)
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        yield


def compose(overrides: Sequence[str] = (), config_dir: Path | None = None, *, with_hydra: bool = False) -> DictConfig:
    """The configuration of a command line."""
    with composer(config_dir):
        return hydra.compose("config", list(overrides), return_hydra_config=with_hydra)
