"""Where a webhook may go."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from alerts.address import AddressSettings, Target, is_public, networks, parse_url, vet
from tocsin.errors import InputError, RejectedError, SettingsError, UnreachableError

PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "198.18.0.1", "192.0.2.1", "168.63.129.16", "192.88.99.1", "::1", "::", "fe80::1", "fc00::1",
    "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::",
    "2001:0:7f00:1::", "2001:db8::1", "ff02::1", "::127.0.0.1", "fec0::1", "100::1", "5f00::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e"]


def a_target(url: str = "https://hooks.example.com/x") -> Target:
    return parse_url(url)


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_the_internet_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(RejectedError, match="not a public address"):
        vet(a_target(), [address], AddressSettings())


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_public(ip_address(address))
    assert [str(vetted) for vetted in vet(a_target(), [address], AddressSettings())] == [address]


def test_one_private_address_among_public_ones_refuses_all() -> None:
    with pytest.raises(RejectedError, match=r"10\.0\.0\.1"):
        vet(a_target(), ["8.8.8.8", "10.0.0.1"], AddressSettings())


def test_an_allowed_network_may_be_private_plain_and_on_any_port() -> None:
    settings = AddressSettings(allow_networks=("10.0.0.0/8",))
    target = a_target("http://inside:9999/x")
    assert [str(each) for each in vet(target, ["10.0.0.1"], settings)] == ["10.0.0.1"]
    with pytest.raises(RejectedError):
        vet(target, ["10.0.0.1", "192.168.0.1"], settings)


def test_an_allowed_ipv4_network_does_not_open_its_ipv6_disguise() -> None:
    with pytest.raises(RejectedError):
        vet(a_target(), ["::ffff:10.0.0.1"], AddressSettings(allow_networks=("10.0.0.0/8",)))


def test_http_and_odd_ports_of_public_hosts_are_refused() -> None:
    with pytest.raises(RejectedError, match="use https"):
        vet(a_target("http://hooks.example.com/"), ["8.8.8.8"], AddressSettings())
    assert vet(a_target("http://hooks.example.com/"), ["8.8.8.8"], AddressSettings(allow_http=True))
    with pytest.raises(RejectedError, match="port 22"):
        vet(a_target("https://hooks.example.com:22/"), ["8.8.8.8"], AddressSettings())


def test_a_link_local_zone_is_refused() -> None:
    with pytest.raises(RejectedError, match="zone"):
        vet(a_target(), ["fe80::1%eth0"], AddressSettings())


def test_a_name_without_an_address_is_tried_again_and_one_with_too_many_is_not() -> None:
    with pytest.raises(UnreachableError):
        vet(a_target(), [], AddressSettings())
    with pytest.raises(RejectedError, match="33 addresses"):
        vet(a_target(), [f"8.8.4.{last}" for last in range(33)], AddressSettings())


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("ftp://example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("//example.com/", "scheme"),
        ("https://user:secret@example.com/", "user name"),
        ("https://example.com@evil.example/", "user name"),
        ("https://example.com/#x", "fragment"),
        ("https://exa mple.com/", "white space"),
        ("https://example.com\\@evil.example/", "backslashes"),
        ("https://example.com/\r\nHost: evil", "control"),
        ("https:///path", "host"),
        ("https://example.com:99999/", "webhook URL"),
        ("https://example.com:0/", "port"),
        ("https://[::1%25lo]/", "webhook URL"),
        ("https://[::1/", "webhook URL"),
        ("https://exa%6dple.com/", "host"),
        ("https://" + "a" * 3000, "characters"),
        ("https://-bad-.example/", "not a name"),
        ("https://ex*mple.com/", "not a name"),
    ],
)
def test_a_url_that_readers_may_understand_differently_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        parse_url(url)


@pytest.mark.parametrize("url", ["http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/"])
def test_a_number_in_disguise_is_a_name_whose_addresses_are_vetted(url: str) -> None:
    # The system's look-up turns these into 127.0.0.1; what it answers is vetted, not what was written.
    with pytest.raises(RejectedError):
        vet(parse_url(url), ["127.0.0.1"], AddressSettings())


def test_a_url_is_taken_apart() -> None:
    target = parse_url("https://Hooks.Example.com:8443/a b%20c?q=ü".replace(" ", ""))
    assert (target.secure, target.host, target.port) == (True, "hooks.example.com", 8443)
    assert target.host_header == "hooks.example.com:8443"
    assert target.path == "/ab%20c?q=%C3%BC"
    assert parse_url("https://[2606:4700::1]/").host_header == "[2606:4700::1]"
    assert parse_url("https://bücher.example/").host == "xn--bcher-kva.example"


def test_a_malformed_allowed_network_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match="allow_networks"):
        networks(("10.0.0.0/99",))
