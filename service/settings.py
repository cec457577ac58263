"""All settings of the program: defaults, then a TOML file, then the environment, then flags; read once, then frozen.

Each part is defined next to the code it configures. This file is the only one that reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alerts.address import AddressSettings
from alerts.deliver import DeliverySettings
from alerts.linking import Policy
from alerts.notice import BodySettings
from alerts.post import PostSettings
from api.settings import ApiSettings
from detectors.panel import PanelSettings
from detectors.registry import DETECTORS, build
from ingest.journal import JournalSettings
from ingest.limits import Limits
from ingest.parse import ParseSettings
from service import forward, gelf, syslog
from service.forward import ForwardSettings
from service.gelf import GelfSettings
from service.layers import Layer, Merged, environment_layer, file_layer, flag_layer, merge, validated
from service.log import LogSettings
from service.ship import ShipSettings
from service.supervisor import RunSettings
from service.syslog import SyslogSettings
from service.worker import WorkerSettings
from storage.database import StoreSettings
from storage.events import EventSettings
from storage.sql import SqlSettings
from tocsin.errors import SettingsError

FILE_NAME = "tocsin.toml"  # looked for in the data folder
PREFIX = "TOCSIN__"  # of environment variables: TOCSIN__API__PORT is api.port


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set."""

    data: Path = Path("tocsin-data")  # where everything is kept; below the folder the command is started in
    api: ApiSettings = field(default_factory=ApiSettings)
    limits: Limits = field(default_factory=Limits)
    journal: JournalSettings = field(default_factory=JournalSettings)
    parse: ParseSettings = field(default_factory=ParseSettings)
    panel: PanelSettings = field(default_factory=PanelSettings)
    detectors: Mapping[str, Mapping[str, object]] = field(default_factory=dict)  # options by detector
    policy: Policy = field(default_factory=Policy)
    store: StoreSettings = field(default_factory=StoreSettings)
    events: EventSettings = field(default_factory=EventSettings)
    sql: SqlSettings = field(default_factory=SqlSettings)
    body: BodySettings = field(default_factory=BodySettings)
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    post: PostSettings = field(default_factory=PostSettings)
    address: AddressSettings = field(default_factory=AddressSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    syslog: SyslogSettings = field(default_factory=SyslogSettings)
    forward: ForwardSettings = field(default_factory=ForwardSettings)
    gelf: GelfSettings = field(default_factory=GelfSettings)
    run: RunSettings = field(default_factory=RunSettings)
    ship: ShipSettings = field(default_factory=ShipSettings)
    log: LogSettings = field(default_factory=LogSettings)

    @property
    def base_url(self) -> str:
        """Where people reach the web page: what `api.public_url` says, else the address listened on."""
        host = f"[{self.api.host}]" if ":" in self.api.host else self.api.host
        return self.api.public_url or f"http://{host}:{self.api.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Settings and where each came from."""

    settings: Settings
    file: Path | None  # the TOML file that was read
    origins: Mapping[str, str]  # key path -> "file ...", "environment ..." or "flag"; what is missing is a default
    secret: frozenset[str]  # key paths whose values were read from a file of their own


def configuration(
    path: Path | None, environ: Mapping[str, str] | None = None, overrides: Mapping[str, object] | None = None
) -> Configuration:
    """Read the settings.

    Args:
        path: the TOML file; None for `tocsin.toml` in the data folder, if there is one.
        environ: environment variables; None for those of this process.
        overrides: values of flags by key path (`api.port`); None means "not given".

    Raises:
        SettingsError: a key is unknown, or a value does not fit; the message names the key and where it was set.
    """
    flags = flag_layer(overrides or {})
    environment = environment_layer(os.environ if environ is None else environ, PREFIX, Settings)
    file = path or _found_file(flags, environment)
    layers = [flags, environment]
    if file is not None:
        layers.append(file_layer(file))
        if path is None and "data" in layers[-1].tree:
            raise SettingsError(f"data: cannot be set in {file}, which was found by it; use --data or --config")
    merged = merge(reversed(layers), Settings)
    settings = validated(merged, Settings)
    _check(settings, merged)
    return Configuration(settings=settings, file=file, origins=merged.origins, secret=merged.secret)


def load_settings(
    path: Path | None, environ: Mapping[str, str] | None = None, overrides: Mapping[str, object] | None = None
) -> Settings:
    """Read the settings without their origins; see `configuration`."""
    return configuration(path, environ, overrides).settings


def _found_file(flags: Layer, environment: Layer) -> Path | None:
    data = flags.tree.get("data") or environment.tree.get("data") or Settings().data
    file = Path(str(data)) / FILE_NAME
    return file if file.is_file() else None


def _check(settings: Settings, merged: Merged) -> None:
    """What no single type can say."""
    if not 0 <= settings.api.port <= 65_535:
        raise SettingsError(f"api.port: {settings.api.port} is no port, 0 to 65535{merged.place('api.port')}")
    syslog.check(settings.syslog)
    forward.check(settings.forward)
    gelf.check(settings.gelf)
    for name, options in settings.detectors.items():
        if name not in DETECTORS:
            raise SettingsError(f"detectors.{name}: no such detector; there are {', '.join(sorted(DETECTORS))}")
        build(name, options)  # refuses what it does not know
