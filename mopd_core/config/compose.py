"""`RunConfig`: everything that describes a run, and its composition with the options of the installed plugins.

The class below is what code is typed against. `compose` derives from it, once plugins are registered, the class that
validates: each plugin section becomes a union of the options of the plugins of its kind, told apart by `name`.
A new section of settings is a field here; one for a new kind of plugin is a line in `PLUGIN_SECTIONS` as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, cast, get_args

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, ValidationError, create_model
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from mopd_core.config.base import ConfigModel, PluginChoice, PluginConfig
from mopd_core.config.sections import EvaluationConfig, ModelConfig, RolloutConfig, TrackingConfig, TrainingConfig
from mopd_core.errors import PluginError
from mopd_core.peers.context import ContextConfig
from mopd_core.registry import Registration, Registries

ModelT = TypeVar("ModelT", bound=ConfigModel)


class PluginSection(NamedTuple):
    """A section in which one plugin of a kind is chosen, and the plugin that is chosen where nobody says."""

    field: str
    kind: str
    default: str


class PluginList(NamedTuple):
    """A place where any number of plugins of a kind are chosen."""

    path: tuple[str, ...]
    kind: str


PLUGIN_SECTIONS = (
    PluginSection("data", "datasets", "table"),
    PluginSection("generator", "generators", "hf"),
    PluginSection("verifier", "verifiers", "math"),
    PluginSection("selector", "selectors", "contrastive"),
    PluginSection("divergence", "divergences", "jsd"),
    PluginSection("teacher", "teachers", "ema"),
    PluginSection("objective", "objectives", "distill"),
)
PLUGIN_LISTS = (PluginList(("routed_verifiers",), "verifiers"), PluginList(("tracking", "trackers"), "trackers"))


class RunConfig(ConfigModel):
    """Everything that describes a run. Made by `load_config`, or by validating with the class that `compose` gives."""

    seed: int = Field(default=0, ge=0)
    """Where all randomness is derived from."""

    model: ModelConfig = ModelConfig()
    """The student."""

    data: PluginChoice
    """Where prompts come from."""

    rollout: RolloutConfig = RolloutConfig()
    """What is sampled in a step."""

    generator: PluginChoice
    """What samples rollouts."""

    verifier: PluginChoice
    """What judges responses."""

    routed_verifiers: tuple[PluginChoice, ...] = ()
    """Options of other verifiers, for data whose rows name their own; one that is not listed has its defaults."""

    selector: PluginChoice
    """What chooses the rollouts that the teacher is shown."""

    context: ContextConfig = ContextConfig()
    """How the teacher is shown them."""

    divergence: PluginChoice
    """How far the student is from the teacher, a token at a time."""

    teacher: PluginChoice
    """What scores a rollout in the teacher's context."""

    objective: PluginChoice
    """How a step becomes a loss."""

    training: TrainingConfig = TrainingConfig()
    """The optimiser and the loop."""

    evaluation: EvaluationConfig = EvaluationConfig()
    """The held-out prompts."""

    tracking: TrackingConfig = TrackingConfig()
    """What is kept of a run."""


class VerifierConfig(ConfigModel):
    """What judges responses where there is no run."""

    verifier: PluginChoice
    """What judges responses."""


def compose(registries: Registries) -> type[RunConfig]:
    """The `RunConfig` of what is installed.

    A section whose default plugin is missing, or has a required option, is itself required. Raises `PluginError`, which
    names the distribution, for a plugin whose options cannot be part of a config.
    """
    members = {kind: [choice_type(entry) for entry in registry] for kind, registry in registries.by_kind.items()}
    fields = {field: _section(field, members[kind], default) for field, kind, default in PLUGIN_SECTIONS}
    tracking = _derive(TrackingConfig, trackers=_list(TrackingConfig, "trackers", members["trackers"]))
    fields["routed_verifiers"] = _list(RunConfig, "routed_verifiers", members["verifiers"])
    fields["tracking"] = (tracking, Field(default=tracking(), description=_description(RunConfig, "tracking")))
    return _derive(RunConfig, **fields)


def compose_verifier(registries: Registries) -> type[VerifierConfig]:
    """The `VerifierConfig` of the installed verifiers."""
    members = [choice_type(entry) for entry in registries["verifiers"]]
    return _derive(VerifierConfig, verifier=(_choice_of(members), Field(description=VerifierConfig.__doc__)))


def choice_type(entry: Registration[Any, Any]) -> type[PluginChoice]:
    """A plugin's options with its `name` in front. Raises `PluginError` if they cannot be part of a config."""
    if "name" in entry.config_type.model_fields:
        raise _unusable(entry, "it has a field called 'name', which the config uses to choose a plugin; rename it")
    name: Any = Literal[entry.name]
    bases = (PluginChoice,) if entry.config_type is PluginConfig else (entry.config_type, PluginChoice)
    title = "".join(part.capitalize() for part in f"{entry.name}-{entry.kind[:-1]}".split("-"))
    try:
        made = create_model(
            title,
            __base__=bases,
            __doc__=entry.config_type.__doc__,
            __module__=entry.config_type.__module__,
            name=(name, Field(description="Which plugin.")),
        )
        made.model_json_schema()
    except (PydanticUserError, PydanticUndefinedAnnotation, NameError, TypeError) as error:
        raise _unusable(entry, str(error).split("\n", 1)[0]) from error
    return cast("type[PluginChoice]", made)


def chosen_name(made: type[PluginChoice]) -> str:
    """The name that chooses the options which `choice_type` made."""
    return str(get_args(made.model_fields["name"].annotation)[0])


def as_choice(value: object) -> object:
    """The mapping that a bare name stands for; a mapping with its name as plain text; anything else as it is."""
    if isinstance(value, str):
        return {"name": str(value)}
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        return {**value, "name": str(value["name"])}
    return value


def _unusable(entry: Registration[Any, Any], reason: str) -> PluginError:
    return PluginError(
        f"{entry.source} registers {entry.kind[:-1]} {entry.name!r} with options that cannot be part of a config "
        f"({entry.config_type.__qualname__}): {reason}"
    )


def _section(field: str, members: list[type[PluginChoice]], default: str) -> tuple[Any, Any]:
    described: dict[str, Any] = {"description": _description(RunConfig, field)}
    if _is_complete(members, default):
        described["default"] = {"name": default}
    return _choice_of(members), Field(**described)


def _is_complete(members: list[type[PluginChoice]], name: str) -> bool:
    """Whether the plugin is installed and needs nothing but its name."""
    for member in members:
        try:
            member.model_validate({"name": name})
        except ValidationError:
            continue
        return True
    return False


def _list(model: type[ConfigModel], field: str, members: list[type[PluginChoice]]) -> tuple[Any, Any]:
    choice = _choice_of(members)
    return tuple.__class_getitem__((choice, ...)), Field(default=(), description=_description(model, field))


def _choice_of(members: list[type[PluginChoice]]) -> Any:
    """The annotation of a place where one of these plugins is chosen, by its bare name or by a mapping with options."""
    if not members:
        return Annotated[PluginChoice, BeforeValidator(as_choice), AfterValidator(_reject)]
    names = [chosen_name(member) for member in members]
    union: Any = members[0]
    if len(members) > 1:
        tagged: list[Any] = [Annotated[member, Tag(name)] for member, name in zip(members, names, strict=True)]
        union = Annotated[reduce(or_, tagged), Discriminator(_name_given)]
    named: Any = Literal[tuple(names)]
    return Annotated[union, BeforeValidator(as_choice, json_schema_input_type=union | named)]


def _name_given(value: object) -> str | None:
    name = value.get("name") if isinstance(value, Mapping) else getattr(value, "name", None)
    return str(name) if isinstance(name, str) else None


def _reject(value: PluginChoice) -> PluginChoice:
    raise ValueError(f"{value.name!r} is not installed, and nothing else of its kind is")


def _description(model: type[ConfigModel], field: str) -> str | None:
    return model.model_fields[field].description


def _derive(base: type[ModelT], **fields: tuple[Any, Any]) -> type[ModelT]:
    make = cast("Callable[..., type[ModelT]]", create_model)
    return make(base.__name__, __base__=base, __doc__=base.__doc__, __module__=base.__module__, **fields)
