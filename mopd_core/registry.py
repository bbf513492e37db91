"""What is installed: a typed registry a kind, and the plugin manager that fills them from entry points.

Built-ins come through the same entry points as third parties. A new kind gets a line in `KINDS`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from itertools import chain
from typing import Any, Generic, TypeVar, cast

import pluggy
import yaml

from mopd_core import hookspecs
from mopd_core.boundary import plugin_boundary, said_by
from mopd_core.config.base import PluginConfig
from mopd_core.divergences.config import DivergenceConfig
from mopd_core.errors import ConfigError, PluginError

T = TypeVar("T")
ContextT = TypeVar("ContextT")
ConfigT = TypeVar("ConfigT", bound=PluginConfig)

OWN_DISTRIBUTION = "mopd"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
ENTRY_POINT_GROUP = "mopd"
DISABLE_VARIABLE = "MOPD_DISABLE_PLUGINS"
KINDS = ("generators", "verifiers", "selectors", "divergences", "teachers", "objectives", "trackers", "datasets")
BASES: dict[str, type[PluginConfig]] = {"divergences": DivergenceConfig}
"""What the options of a kind derive from, where that is more than `PluginConfig`."""
MEMBERS = {
    "generators": ("generate", "sync_weights", "close"),
    "verifiers": ("verify",),
    "selectors": ("select",),
    "divergences": ("__call__",),
    "teachers": ("read", "update", "state_dict", "load_state_dict"),
    "objectives": ("uses_teacher", "needs_scores", "weights"),
    "trackers": ("log", "close"),
    "datasets": ("load",),
}
"""What an implementation of a kind cannot do without (`interfaces` has the contracts)."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Where a plugin comes from: its entry point's name, and the distribution that ships it."""

    plugin: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} (plugin {self.plugin!r})"

    @property
    def remedy(self) -> str:
        """What to do about a plugin that cannot be used."""
        return f"Repair or uninstall it, or skip it with {DISABLE_VARIABLE}={self.plugin}"

    @property
    def order(self) -> tuple[bool, str, str]:
        """Sorts plugins: ours come first, so that a third party that takes one of their names is the one to blame."""
        return self.name != OWN_DISTRIBUTION, self.plugin, self.name


@dataclass(frozen=True, slots=True)
class Registration(Generic[T, ContextT]):
    """One implementation under its name, with the options it takes and what builds it."""

    kind: str
    name: str
    config_type: type[PluginConfig]
    factory: Callable[[Any, ContextT], T]
    source: Distribution

    @property
    def help(self) -> str:
        """The first line of the config's docstring."""
        return (self.config_type.__doc__ or "").strip().split("\n", 1)[0]


def lazy(path: str) -> Callable[[Any, Any], Any]:
    """A factory that imports `module:function` only when something is built: registering imports nothing heavy."""
    module, function = path.split(":")

    def factory(config: Any, context: Any) -> Any:
        return getattr(import_module(module), function)(config, context)

    return factory


def name_fault(name: object) -> str | None:
    """Why a plugin cannot be called so in a config or on the command line; None where it can."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return "a name is letters, digits, dots, hyphens and underscores, beginning with a letter or digit"
    if not isinstance(yaml.safe_load(name), str):
        return f"a config would read that as {yaml.safe_load(name)!r}, and not as a name"
    return None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the nearest known name, or nothing."""
    folded = {other.casefold(): other for other in known}
    nearest = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return f" Did you mean {folded[nearest[0]]!r}?" if nearest else ""


class Registry(Generic[T, ContextT]):
    """The implementations of one kind, by name."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.base = BASES.get(kind, PluginConfig)
        self.source: Distribution | None = None
        self._entries: dict[str, Registration[T, ContextT]] = {}

    def add(self, name: str, config_type: type[ConfigT], factory: Callable[[ConfigT, ContextT], T]) -> None:
        """Register an implementation.

        Raises `PluginError` for a name that cannot be used or is taken, or a config of another kind.
        """
        source = self.source or Distribution("?", "?", "?")
        if fault := name_fault(name):
            raise PluginError(f"{source} registers a {self.kind[:-1]} as {name!r}: {fault}. {source.remedy}")
        if not (isinstance(config_type, type) and issubclass(config_type, self.base)):
            raise PluginError(
                f"{source} registers {self.kind[:-1]} {name!r} with the config {config_type!r}; "
                f"it has to be a subclass of mopd_core.{self.base.__name__}. {source.remedy}"
            )
        if config_type.model_config.get("extra") != "forbid":
            raise PluginError(
                f"{source} registers {self.kind[:-1]} {name!r} with the config {config_type.__name__}, which takes "
                "unknown fields, so that a misspelt option would mean nothing; its model_config has to keep "
                f"extra='forbid'. {source.remedy}"
            )
        if not callable(factory):
            raise PluginError(
                f"{source} registers {self.kind[:-1]} {name!r} with {factory!r}, which cannot be called. "
                f"{source.remedy}"
            )
        if name in self._entries:
            raise PluginError(
                f"two plugins register the {self.kind[:-1]} {name!r}: {self._entries[name].source} and {source}. "
                f"Uninstall one, or skip it with {DISABLE_VARIABLE}={source.plugin}"
            )
        self._entries[name] = Registration(self.kind, name, config_type, factory, source)

    def discard(self, source: Distribution) -> None:
        """Forget what a plugin registered."""
        self._entries = {name: entry for name, entry in self._entries.items() if entry.source != source}

    def get(self, name: str) -> Registration[T, ContextT]:
        """The registration under `name`. Raises `ConfigError` that lists what is installed."""
        if name not in self._entries:
            installed = ", ".join(self.names()) or "none"
            raise ConfigError(
                f"no {self.kind[:-1]} is called {name!r}; installed: {installed}.{did_you_mean(name, self.names())} "
                "`mopd plugins` lists them all"
            )
        return self._entries[name]

    def build(self, config: PluginConfig, context: ContextT) -> T:
        """Build the implementation that a validated config section chose by its `name`.

        Raises `PluginError` where the factory returns something without the methods of its kind.
        """
        entry = self.get(cast("Any", config).name)
        built = entry.factory(config, context)
        missing = [member for member in MEMBERS[self.kind] if not hasattr(built, member)]
        if missing:
            raise PluginError(
                f"the factory of {self.kind[:-1]} {entry.name!r} returned a {type(built).__name__}, which has no "
                f"{' and no '.join(missing)}"
            )
        return built

    def names(self) -> list[str]:
        return sorted(self._entries)

    def __iter__(self) -> Iterator[Registration[T, ContextT]]:
        return iter(self._entries[name] for name in self.names())


@dataclass(slots=True)
class Registries:
    """Everything installed: a registry a kind, the hook relay, and the plugins that could not be loaded."""

    manager: pluggy.PluginManager
    by_kind: dict[str, Registry[Any, Any]] = field(default_factory=lambda: {kind: Registry(kind) for kind in KINDS})
    sources: dict[str, Distribution] = field(default_factory=dict)
    broken: list[PluginError] = field(default_factory=list)

    def __getitem__(self, kind: str) -> Registry[Any, Any]:
        return self.by_kind[kind]

    def check(self) -> None:
        """Raise the first problem met while loading, if any."""
        if self.broken:
            raise self.broken[0]

    def entries(self) -> Iterator[Registration[Any, Any]]:
        """Everything registered, kind by kind."""
        return chain.from_iterable(self.by_kind.values())

    def third_party(self) -> Iterator[Registration[Any, Any]]:
        """What distributions other than ours have registered."""
        return (entry for entry in self.entries() if entry.source.name != OWN_DISTRIBUTION)

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call a hook of every plugin that has it, in pluggy's order. Raises `PluginError` for one that fails."""
        for implementation in reversed(getattr(self.manager.hook, hook).get_hookimpls()):
            with _blaming_hook(self.sources.get(implementation.plugin_name), hook):
                implementation.function(*(arguments[name] for name in implementation.argnames))


def _source(point: EntryPoint) -> Distribution:
    shipped_by = (point.dist.name, point.dist.version) if point.dist else (point.value, "?")
    return Distribution(point.name, *shipped_by)


def _load(point: EntryPoint, source: Distribution) -> object:
    try:
        return point.load()
    except (Exception, SystemExit) as error:  # The boundary: whatever an import raises becomes one line with its name.
        raise PluginError(f"plugin {source} cannot be imported: {said_by(error)}. {source.remedy}") from error


@contextmanager
def _blaming_hook(source: Distribution | None, hook: str) -> Iterator[None]:
    """source: None where code of ours has registered itself for a while."""
    try:
        with plugin_boundary(f"the hook {hook}" if source is None else f"plugin {source}: {hook}"):
            yield
    except PluginError as error:
        if source is None:
            raise
        raise PluginError(f"{error}. {source.remedy}") from error


def _register(registries: Registries, plugin: object, source: Distribution) -> None:
    manager = registries.manager
    others = [other for other in manager.get_plugins() if other is not plugin]
    for kind, registry in registries.by_kind.items():
        registry.source = source
        caller = manager.subset_hook_caller(f"mopd_register_{kind}", others)
        try:
            caller(registry=registry)
        except PluginError:
            raise
        except (Exception, SystemExit) as error:  # The same boundary: a registration hook is third-party code.
            raise PluginError(
                f"plugin {source} failed in mopd_register_{kind}: {said_by(error)}. {source.remedy}"
            ) from error


def _check_hooks(manager: pluggy.PluginManager, plugin: object, source: Distribution) -> None:
    """Reject what pluggy takes silently: a misspelt hook, and a hook without its mark, which is never called."""
    specified = {name for name in vars(hookspecs) if name.startswith("mopd_")}
    for name in sorted(specified & set(dir(plugin))):
        options = manager.parse_hookimpl_opts(plugin, name)
        if options is None:
            raise PluginError(
                f"plugin {source} has the function {name} without the mark @hookimpl, so it would never be called; add "
                f"the mark (from mopd_core import hookimpl). {source.remedy}"
            )
        if options["wrapper"] or options["hookwrapper"]:
            raise PluginError(
                f"plugin {source} wraps the hook {name}; mopd's hooks are called one by one, and none around another: "
                f"implement it without `wrapper`. {source.remedy}"
            )
    for caller in manager.get_hookcallers(plugin) or []:
        if caller.name not in specified:
            raise PluginError(
                f"plugin {source} implements a hook that does not exist: {caller.name!r}."
                f"{did_you_mean(caller.name, specified)} Hooks: {', '.join(sorted(specified))}. {source.remedy}"
            )


def _add_plugin(registries: Registries, point: EntryPoint, source: Distribution) -> None:
    manager = registries.manager
    if source.plugin in registries.sources:
        other = registries.sources[source.plugin]
        raise PluginError(
            f"two distributions have a plugin called {source.plugin!r}: {other} and {source}. "
            f"Uninstall one, or skip it with {DISABLE_VARIABLE}={source.name}"
        )
    plugin = _load(point, source)
    registries.sources[source.plugin] = source
    try:
        manager.register(plugin, name=source.plugin)
    except (pluggy.PluginValidationError, ValueError) as error:
        said = "; ".join(str(error).splitlines())
        raise PluginError(f"plugin {source} does not fit its hooks: {said}. {source.remedy}") from error
    _check_hooks(manager, plugin, source)
    _register(registries, plugin, source)


def _remove_plugin(registries: Registries, source: Distribution) -> None:
    """Take back whatever a plugin managed to add before it failed: half a plugin is none."""
    if registries.sources.get(source.plugin) != source:
        return
    if registries.manager.has_plugin(source.plugin):
        registries.manager.unregister(name=source.plugin)
    for registry in registries.by_kind.values():
        registry.discard(source)


def load_plugins(points: Iterable[EntryPoint] | None = None, disabled: Iterable[str] | None = None) -> Registries:
    """Load every installed plugin but the disabled ones. Problems are collected in `broken`, one a plugin.

    Of a plugin with a problem nothing is kept.

    points, disabled: what to load and skip; by default the entry points of group `mopd` and `MOPD_DISABLE_PLUGINS`.
    """
    if disabled is None:
        disabled = (part.strip() for part in os.environ.get(DISABLE_VARIABLE, "").split(","))
    skip = set(disabled)
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    registries = Registries(manager)
    found = entry_points(group=ENTRY_POINT_GROUP) if points is None else points
    by_source = [(_source(point), point) for point in found]
    for source, point in sorted(by_source, key=lambda pair: pair[0].order):
        if not skip.isdisjoint((source.plugin, source.name)):
            continue
        try:
            _add_plugin(registries, point, source)
        except PluginError as error:
            registries.broken.append(error)
            _remove_plugin(registries, source)
    return registries


@cache
def installed() -> Registries:
    """`load_plugins()` once a process."""
    return load_plugins()
