"""Settings: frozen dataclasses whose fields say what the command line, the project file and the reference show.

A group of settings stands in the room of the part that it is of. ``setting`` declares a field of it; whoever offers
the groups to users (arguments, documents) walks ``settings_of``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Self, TypeVar

from ellopt.core.errors import ConfigurationError
from ellopt.core.nearest import did_you_mean

_KEY = "setting"
Group = TypeVar("Group")


@dataclass(frozen=True)
class Setting:
    """What there is to say about one field of a group.

    ``option``: the option's name without dashes, where it is not the field's. ``default_text``: how the default reads,
    where the value itself says too little. ``environment``: the variable that is read if the option is not given.
    ``choices``: all values that there are; ``suggestions``: some of them, for a shell to complete. ``least``: the
    smallest number allowed. ``exclusive``: options of the same word exclude each other. ``repeated``: the option may be
    given several times, a text each. ``kind``: what reads the option's text, where the field's type does not say it.
    ``no_option``: why there is none on the command line. ``project_default``: what the project file gives where the
    user gives nothing.
    """

    help: str
    option: str = ""
    short: str = ""
    metavar: str = ""
    default_text: str = ""
    environment: str = ""
    choices: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()
    least: float | None = None
    required: bool = False
    repeated: bool = False
    exclusive: str = ""
    kind: Callable[[str], Any] | None = None
    no_option: str = ""
    project_default: str = ""


def setting(
    default: Any = None,
    help: str = "",
    *,
    factory: Callable[[], Any] | None = None,
    secret: bool = False,
    **facts: Any,
) -> Any:
    """A dataclass field with ``default`` (or what ``factory`` makes), and what Setting says of it. A ``secret`` is left
    out of the repr. A setting with ``required=True`` has no default."""
    said = Setting(help, **facts)
    metadata = {_KEY: said}
    if said.required:
        return field(metadata=metadata)
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True)
class SettingField:
    """A field of a group: its name, its default (None if it must be given), and what is said of it."""

    name: str
    default: Any
    setting: Setting

    @property
    def switched_off(self) -> bool:
        """Whether the option says that the field is not so: the field is on by default."""
        return self.default is True

    @property
    def key(self) -> str:
        """The name by which it is given in Python: the option's, but of what is on and not of what switches it off."""
        return (self.setting.option or self.name).replace("-", "_")

    @property
    def option(self) -> str:
        """The option's name without dashes."""
        name = self.setting.option or self.name
        return f"no_{name}" if self.switched_off else name


def settings_of(group: type) -> Iterator[SettingField]:
    """Every field of a group in its order. Raises TypeError for one that was not declared by ``setting``."""
    for part in fields(group):
        if _KEY not in part.metadata:
            raise TypeError(f"{group.__name__}.{part.name} is not declared by setting(...)")
        said: Setting = part.metadata[_KEY]
        default = part.default_factory() if callable(part.default_factory) else part.default
        yield SettingField(part.name, None if said.required else default, said)


def check_settings(group: Any) -> None:
    """Raise ConfigurationError, naming the option, for a value below the least one or none of the choices."""
    for part in settings_of(type(group)):
        value, said = getattr(group, part.name), part.setting
        if said.least is not None and value is not None and not value >= said.least:
            raise ConfigurationError(f"--{part.option}: must be at least {said.least:g}, not {value:g}")
        if said.choices and value is not None and value not in said.choices:
            hint = did_you_mean(str(value), said.choices)
            raise ConfigurationError(
                f"--{part.option}: {value!r} is unknown{hint}; use one of {', '.join(said.choices)}"
            )


def check_seconds(group: Any, *names: str) -> None:
    """Raise ConfigurationError unless these fields are positive numbers of seconds, or None."""
    for name in names:
        value = getattr(group, name)
        if value is not None and not value > 0:
            raise ConfigurationError(f"--{name}: must be a positive number of seconds, not {value:g}")


class OwnGroups:
    """The groups that kinds of parts bring by their rows in a registry, found by their type; immutable."""

    def __init__(self, *groups: object) -> None:
        self._groups = {type(group): group for group in groups}

    def __getitem__(self, kind: type[Group]) -> Group:
        """What was given of ``kind``, else its defaults."""
        found = self._groups.get(kind)
        return found if isinstance(found, kind) else kind()

    def __add__(self, other: Self) -> OwnGroups:
        return OwnGroups(*self._groups.values(), *other._groups.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnGroups) and self._groups == other._groups

    def __hash__(self) -> int:
        return hash(tuple(self._groups.values()))

    def __repr__(self) -> str:
        return f"OwnGroups({', '.join(map(repr, self._groups.values()))})"
