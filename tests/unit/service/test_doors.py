"""Ports beside HTTP."""

from __future__ import annotations

import socket

import pytest

from service.doors import bound
from service.forward import ForwardSettings
from service.gelf import GelfSettings
from tests.integration.test_syslog import free_port
from tocsin.errors import SettingsError


def test_what_has_no_port_is_not_listened_to() -> None:
    with bound("forward", ForwardSettings()) as none:
        assert (none.tcp, none.udp, none.tls, none.context) == (None, None, None, None)


def test_every_port_that_is_set_is_bound() -> None:
    settings = GelfSettings(tcp_port=free_port(), udp_port=free_port(socket.SOCK_DGRAM))
    with bound("gelf", settings) as both:
        assert both.tcp is not None
        assert both.udp is not None
        assert [at.getsockname()[1] for at in (both.tcp, both.udp)] == [settings.tcp_port, settings.udp_port]
        with (
            pytest.raises(SettingsError, match=r"gelf.host, gelf.udp_port: cannot listen .* already in use"),
            bound("gelf", GelfSettings(udp_port=settings.udp_port)),
        ):
            pass


def test_a_certificate_that_cannot_be_read_is_said() -> None:
    settings = ForwardSettings(tls_port=free_port(), tls_certificate="/nowhere/server.pem")
    with (
        pytest.raises(SettingsError, match=r"forward\.tls_certificate, .*: cannot be used: .*No such file"),
        bound("forward", settings),
    ):
        pass
