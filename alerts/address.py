"""Which addresses a webhook may reach: the defence against server-side request forgery.

A name is resolved once, every address it has must be allowed, and the connection goes to a vetted address, so that a
second look-up cannot give another answer. Addresses that carry another inside (IPv4-mapped, 6to4, NAT64, Teredo) are
refused whatever they carry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import quote, urlsplit

from tocsin.errors import InputError, RejectedError, SettingsError, UnreachableError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
#: Addresses of a host name, as text; OSError when it has none at the moment.
Resolve = Callable[[str, int], Sequence[str]]

URL_CHARS_MAX = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressSettings:
    """What the administrator allows."""

    allow_http: bool = False  # https by default: messages hold log lines. Allowed networks may use http in any case
    allow_networks: tuple[str, ...] = ()  # networks that are not public but may be reached, as CIDR; any port
    ports: tuple[int, ...] = (80, 443, 8080, 8443)  # on public addresses; anything else is a port scan by webhook
    addresses_max: int = 32  # of one name; more is an attack on our time


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL taken apart."""

    secure: bool
    host: str  # ASCII, without brackets
    port: int
    path: str  # with query, percent-encoded, begins with a slash

    @property
    def host_header(self) -> str:
        """The name the receiver knows itself by."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.secure else 80) else f"{name}:{self.port}"


def parse_url(url: str) -> Target:
    """Take a webhook's URL apart, refusing all that different readers understand differently.

    Raises:
        InputError: not an absolute http or https URL, or with user information, a fragment, a backslash, white space, a
            zone or a port that is none.
    """
    if len(url) > URL_CHARS_MAX:
        raise InputError(f"webhook URL: at most {URL_CHARS_MAX} characters, got {len(url)}")
    if re.search(r"[\x00-\x20\x7f-\xa0\\]", url):
        raise InputError("webhook URL: no white space, control characters or backslashes")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"webhook URL: {error}") from None
    if parts.scheme not in {"http", "https"}:
        raise InputError(f"webhook URL: scheme must be https or http, got {parts.scheme!r}")
    if "@" in parts.netloc:
        raise InputError("webhook URL: no user name or password; receivers check the signature")
    if parts.fragment or url.endswith("#"):
        raise InputError("webhook URL: no fragment")
    if not host or port == 0 or "%" in host:
        raise InputError("webhook URL: host or port is missing")
    secure = parts.scheme == "https"
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]") if parts.query else ""
    return Target(secure=secure, host=_ascii(host), port=port or (443 if secure else 80), path=path + query)


def _ascii(host: str) -> str:
    """The host as ASCII; a literal address in its shortest form."""
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        name = host.encode("idna").decode()
    except UnicodeError:
        raise InputError("webhook URL: the host is not a name") from None
    if not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?", name):
        raise InputError("webhook URL: the host is not a name")
    return name.lower()


def vet(target: Target, addresses: Sequence[str], settings: AddressSettings) -> tuple[Address, ...]:
    """The addresses that may be connected to: all of them, or none.

    Args:
        target: the parsed URL.
        addresses: everything its host resolved to.
        settings: what is allowed.

    Raises:
        UnreachableError: the name has no address at the moment.
        RejectedError: one of the addresses, the scheme or the port is not allowed.
    """
    if not addresses:
        raise UnreachableError(f"{target.host}: no address")
    if len(addresses) > settings.addresses_max:
        raise RejectedError(
            f"{target.host}: {len(addresses)} addresses, at most {settings.addresses_max} are looked at"
        )
    allowed = networks(settings.allow_networks)
    zoned = [address for address in addresses if "%" in address]
    if zoned:
        raise RejectedError(f"{target.host}: {zoned[0]} is not a public address; only link-local ones have a zone")
    vetted = tuple(dict.fromkeys(ip_address(address) for address in addresses))
    public = [address for address in vetted if not any(address in network for network in allowed)]
    for address in public:
        if not is_public(address):
            raise RejectedError(f"{target.host}: {address} is not a public address and not in allow_networks")
    if public and not target.secure and not settings.allow_http:
        raise RejectedError(f"{target.host}: http to a public address is not allowed; use https")
    if public and target.port not in settings.ports:
        raise RejectedError(f"{target.host}: port {target.port} is not one of {', '.join(map(str, settings.ports))}")
    return vetted


@lru_cache(maxsize=16)
def networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """The allowed networks.

    Raises:
        SettingsError: one is not a network in CIDR form.
    """
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as error:
        raise SettingsError(f"allow_networks: {error}") from None


def is_public(address: Address) -> bool:
    """Whether `address` is somebody's on the internet, by the IANA special-purpose registries.

    Not `ip.is_global` alone: Python 3.11 calls 6to4, NAT64, multicast and IPv4-mapped addresses global.
    """
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _NOT_PUBLIC_4)
    return address in _GLOBAL_UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)


_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host agent, public by number only
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # automatic multicast tunnelling
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
#: Everything outside is loopback, link-local, unique local, multicast, IPv4-mapped, NAT64 or not assigned.
_GLOBAL_UNICAST_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
