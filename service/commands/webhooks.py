"""`tocsin webhook`: who is told of incidents, in a data folder or by way of a running service."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol
from urllib.parse import quote

import typer

from service.commands.options import (
    Config,
    Data,
    Json,
    Key,
    KeyFile,
    Tenant,
    Url,
    note,
    print_json,
    print_table,
    service_client,
    used_folder,
)
from tocsin.errors import InputError

app = typer.Typer(help="Receivers of incidents: add, list, test, replay.", no_args_is_help=True)

_COLUMNS = ("webhook_id", "url", "format", "events", "severity_min", "enabled", "description")
_POLL_S = 0.25
_SHOWN_MAX = 20  # latest deliveries looked at


class _Desk(Protocol):
    """What these commands need, from a data folder or from a service."""

    def all(self) -> list[dict[str, Any]]: ...
    def add(self, asked: dict[str, Any]) -> dict[str, Any]: ...
    def test(self, webhook_id: str) -> int: ...
    def replay(self, delivery_id: int) -> int: ...
    def deliveries(self, webhook_id: str) -> list[dict[str, Any]]: ...


@app.command("add")
def add_webhook(  # noqa: PLR0913 -- the options of the command
    receiver: Annotated[str, typer.Argument(metavar="RECEIVER", help="The URL that is posted to.")],
    *,
    form: Annotated[
        str, typer.Option("--format", metavar="standard|alertmanager|cloudevents|pagerduty", help="Shape of the body.")
    ] = "standard",
    event: Annotated[
        list[str] | None,
        typer.Option(
            metavar="incident.opened|incident.updated|incident.resolved",
            show_default=False,
            help="May be given several times. Default: all three.",
        ),
    ] = None,
    severity_min: Annotated[int, typer.Option(min=0, max=100, help="Only incidents at least this severe.")] = 0,
    description: Annotated[str | None, typer.Option(metavar="TEXT", show_default=False, help="Whose it is.")] = None,
    routing_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="PagerDuty's integration key.")
    ] = None,
    data: Data = None,
    tenant: Tenant = "default",
    url: Url = None,
    key: Key = None,
    key_file: KeyFile = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Add a receiver and print the secret that signs what it is sent. The secret is shown this once.

    Example: tocsin webhook add https://example.com/tocsin --severity-min 50
    """
    asked: dict[str, Any] = {"url": receiver, "format": form, "severity_min": severity_min, "description": description}
    if event:
        asked["events"] = event
    if routing_key_file:
        asked["routing_key"] = _content(routing_key_file)
    with _desk(_Where(data, config, tenant, url, key, key_file)) as desk:
        added = desk.add(asked)
    if as_json:
        print_json(added)
        return
    note(f"webhook {added['webhook_id']} is added; its secret is shown this once:")
    typer.echo(added["secret"])


@app.command("list")
def list_webhooks(  # noqa: PLR0913 -- the options of the command
    *,
    data: Data = None,
    tenant: Tenant = "default",
    url: Url = None,
    key: Key = None,
    key_file: KeyFile = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the receivers, without their secrets.

    Example: tocsin webhook list
    """
    with _desk(_Where(data, config, tenant, url, key, key_file)) as desk:
        rows = desk.all()
    if as_json:
        print_json({"webhooks": rows})
    elif rows:
        print_table(rows, _COLUMNS)
    else:
        note("there is no webhook (tocsin webhook add)")


@app.command("test")
def send_test(  # noqa: PLR0913 -- the options of the command
    webhook_id: Annotated[str, typer.Argument(metavar="WEBHOOK_ID", help="As `webhook list` shows it.")],
    *,
    wait: Annotated[float, typer.Option(metavar="SECONDS", min=0.0, help="How long to wait for the outcome.")] = 20.0,
    data: Data = None,
    tenant: Tenant = "default",
    url: Url = None,
    key: Key = None,
    key_file: KeyFile = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Send a `test.ping` and say what became of it; the running service sends it. Exits 1 when it did not arrive.

    Example: tocsin webhook test wh_5f0c9a31
    """
    with _desk(_Where(data, config, tenant, url, key, key_file)) as desk:
        queued = desk.test(webhook_id)
        outcome = _outcome(desk, webhook_id, queued, wait)
    _tell(outcome, as_json=as_json)


@app.command("replay")
def send_again(  # noqa: PLR0913 -- the options of the command
    delivery_id: Annotated[int, typer.Argument(metavar="DELIVERY_ID", help="As the view `deliveries` shows it.")],
    *,
    data: Data = None,
    tenant: Tenant = "default",
    url: Url = None,
    key: Key = None,
    key_file: KeyFile = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Send the bytes of a delivery once more, with the same message id; the running service sends them.

    Example: tocsin webhook replay 17
    """
    with _desk(_Where(data, config, tenant, url, key, key_file)) as desk:
        queued = desk.replay(delivery_id)
    if as_json:
        print_json({"delivery_id": queued})
    else:
        note(f"queued as delivery {queued}")


@dataclass(frozen=True, slots=True)
class _Where:
    """Where the webhooks are."""

    data: Path | None
    config: Path | None
    tenant: str
    url: str | None
    key: str | None
    key_file: Path | None


@contextmanager
def _desk(where: _Where) -> Iterator[_Desk]:
    if where.url:
        with service_client(where.url, where.key, where.key_file) as client:
            yield _ServiceDesk(client)
        return
    from service.build import opened_store

    settings = used_folder(where.data, where.config)
    with opened_store(settings) as store:
        yield _FolderDesk(settings, store, where.tenant)


class _FolderDesk:
    """The webhooks of a tenant in a data folder."""

    def __init__(self, settings: Any, store: Any, tenant: str) -> None:
        self._settings, self._store, self._tenant = settings, store, tenant

    def all(self) -> list[dict[str, Any]]:
        return [asdict(row) for row in self._store.reads.webhooks(self._tenant)]

    def add(self, asked: dict[str, Any]) -> dict[str, Any]:
        import secrets

        from alerts.webhook import secret_of
        from api.webhooks import check_url
        from service.build import now

        check_url(asked["url"], self._settings.address)
        secret = secret_of(secrets.token_bytes(32))
        row = self._store.desk.add_webhook(self._tenant, secret=secret, at=now(), **asked)
        return {**asdict(row), "secret": secret}

    def test(self, webhook_id: str) -> int:
        from service.build import now

        base_url = self._settings.base_url
        queued = self._store.desk.queue_test(self._tenant, webhook_id, at=now(), base_url=base_url)
        if queued is None:
            raise InputError(f"there is no webhook {webhook_id!r} of tenant {self._tenant} (tocsin webhook list)")
        return int(queued)

    def replay(self, delivery_id: int) -> int:
        from service.build import now

        queued = self._store.desk.replay_delivery(self._tenant, delivery_id, now())
        if queued is None:
            raise InputError(f"there is no delivery {delivery_id} of tenant {self._tenant}, or its webhook is gone")
        return int(queued)

    def deliveries(self, webhook_id: str) -> list[dict[str, Any]]:
        page = self._store.reads.deliveries(self._tenant, webhook_id=webhook_id, limit=_SHOWN_MAX)
        return [asdict(row) for row in page.rows]


class _ServiceDesk:
    """The webhooks of the key's tenant in a running service."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def all(self) -> list[dict[str, Any]]:
        return list(self._client.call("GET", "/v1/webhooks")["webhooks"])

    def add(self, asked: dict[str, Any]) -> dict[str, Any]:
        return dict(self._client.post("/v1/webhooks", asked))

    def test(self, webhook_id: str) -> int:
        return int(self._client.call("POST", f"/v1/webhooks/{quote(webhook_id, safe='')}/test")["delivery_id"])

    def replay(self, delivery_id: int) -> int:
        return int(self._client.call("POST", f"/v1/deliveries/{delivery_id}/replay")["delivery_id"])

    def deliveries(self, webhook_id: str) -> list[dict[str, Any]]:
        path = f"/v1/webhooks/{quote(webhook_id, safe='')}/deliveries"
        return list(self._client.call("GET", path, params={"limit": str(_SHOWN_MAX)})["deliveries"])


def _outcome(desk: _Desk, webhook_id: str, delivery_id: int, wait_s: float) -> dict[str, Any]:
    """The delivery once it was tried, or as it is when nobody waits any longer."""
    deadline = time.monotonic() + wait_s
    while True:
        found = [row for row in desk.deliveries(webhook_id) if row["delivery_id"] == delivery_id]
        if found and (found[0]["status"] != "pending" or found[0]["attempts"] > 0):
            return found[0]
        if time.monotonic() >= deadline:
            return {
                "delivery_id": delivery_id,
                "status": "pending",
                "reason": "nobody tried yet; is the service running?",
            }
        time.sleep(_POLL_S)


def _tell(outcome: dict[str, Any], *, as_json: bool) -> None:
    arrived = outcome["status"] == "sent"
    if as_json:
        print_json(outcome)
    elif arrived:
        typer.echo(f"delivery {outcome['delivery_id']} arrived: HTTP {outcome['response_status']}")
    else:
        typer.echo(f"delivery {outcome['delivery_id']} did not arrive: {outcome['reason']}")
    raise typer.Exit(0 if arrived else 1)


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
