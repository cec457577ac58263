"""The one place that lists the detectors; a new one is one line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from typing import cast

from pydantic import TypeAdapter, ValidationError

from detectors.detector import Detector
from tocsin.errors import SettingsError

#: Name -> where its class lives. Imported when built, so that a heavy library loads only where it is used.
DETECTORS: dict[str, str] = {
    "novelty": "detectors.novelty.detector:NoveltyDetector",
    "volume": "detectors.volume.detector:VolumeDetector",
}


def build(name: str, options: Mapping[str, object]) -> Detector:
    """Build a detector that knows nothing yet.

    Args:
        name: a key of DETECTORS.
        options: fields of its settings that differ from their defaults.

    Raises:
        SettingsError: the name or an option is unknown, or a value has the wrong type or range.
    """
    if name not in DETECTORS:
        raise SettingsError(f"detector {name!r} is unknown; there are {', '.join(sorted(DETECTORS))}")
    module, _, class_name = DETECTORS[name].partition(":")
    detector_class = getattr(import_module(module), class_name)
    return cast("Detector", detector_class(_settings(name, detector_class.Settings, options)))


def settings_class(name: str) -> type:
    """The dataclass of a detector's settings."""
    module, _, class_name = DETECTORS[name].partition(":")
    settings: type = getattr(import_module(module), class_name).Settings
    return settings


def _settings(name: str, settings_class: type, options: Mapping[str, object]) -> object:
    known = {field.name for field in fields(settings_class)}
    if unknown := sorted(set(options) - known):
        raise SettingsError(f"detectors.{name}.{unknown[0]}: no such setting; there are {', '.join(sorted(known))}")
    try:
        return TypeAdapter(settings_class).validate_python(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("detectors", name, *first["loc"]))
        raise SettingsError(f"{where}: {first['msg']}") from error
