"""`tocsin key`: who may speak to the service."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer

from service.commands.options import (
    Config,
    Data,
    Json,
    Tenant,
    configured,
    folder_store,
    log_warnings_only,
    note,
    print_json,
    print_table,
)
from tocsin.errors import InputError

app = typer.Typer(help="Keys of the HTTP interface: make, list, revoke.", no_args_is_help=True)

_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")  # it names folders
_COLUMNS = ("key_id", "tenant", "name", "scopes", "created_at", "expires_at", "revoked_at")


@app.command("create")
def create_key(  # noqa: PLR0913 -- the options of the command
    *,
    name: Annotated[str, typer.Option(metavar="TEXT", help="What it is for; shown by `key list`.")] = "",
    tenant: Tenant = "default",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ingest|read|query|admin", show_default=False, help="May be given several times. Default: admin."
        ),
    ] = None,
    expires_days: Annotated[
        float | None, typer.Option(metavar="DAYS", show_default=False, help="Default: it does not expire.")
    ] = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it. It is shown this once; only its hash is kept. A running service knows it within 1 s.

    Example: tocsin key create --scope ingest --name web-servers
    """
    import secrets

    from api.auth import Scope, mint_key
    from service.build import data_folder, now, opened_store
    from storage.rows import KeyRow

    scopes = frozenset(scope or [Scope.ADMIN.value])
    if unknown := sorted(scopes - {known.value for known in Scope}):
        raise InputError(f"--scope: {unknown[0]!r} is none of {', '.join(known.value for known in Scope)}")
    if expires_days is not None and expires_days <= 0:
        raise InputError("--expires-days: has to be more than 0")
    settings = configured(data, config).settings
    log_warnings_only()
    minted, at = mint_key(secrets.token_bytes), now()
    key = KeyRow(
        key_id=minted.key_id,
        tenant=_checked(tenant),
        name=name,
        secret_sha256=minted.secret_sha256,
        scopes=scopes,
        created_at=at,
        expires_at=None if expires_days is None else at + timedelta(days=expires_days),
    )
    data_folder(settings)
    with opened_store(settings) as store:
        store.keys.add(key)
    if as_json:
        print_json({"key_id": minted.key_id, "key": minted.text, "tenant": tenant, "scopes": sorted(scopes)})
        return
    note(f"key {minted.key_id} of tenant {tenant}, scopes: {', '.join(sorted(scopes))}; it is shown this once:")
    typer.echo(minted.text)


@app.command("list")
def list_keys(*, data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """List the keys, without their secrets.

    Example: tocsin key list
    """
    with folder_store(data, config) as store:
        rows = [{name: getattr(row, name) for name in _COLUMNS} for row in store.keys.all()]
    if as_json:
        print_json({"keys": rows})
    elif rows:
        print_table(rows, _COLUMNS)
    else:
        note("there is no key; on loopback the service is open to everyone on the machine (tocsin key create)")


@app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `key list` shows it.")],
    *,
    data: Data = None,
    config: Config = None,
) -> None:
    """Revoke a key for good. A running service refuses it within 1 s.

    Example: tocsin key revoke 3f9c2ab81d04
    """
    from service.build import now

    with folder_store(data, config) as store:
        if not store.keys.revoke(key_id, now()):
            raise InputError(f"there is no key {key_id!r} that is not revoked (tocsin key list)")
    note(f"key {key_id} is revoked")


def _checked(tenant: str) -> str:
    if not _TENANT.match(tenant):
        raise InputError(f"--tenant: {tenant!r}: 1 to 64 of a-z, 0-9, '-' and '_', beginning with a letter or digit")
    return tenant
