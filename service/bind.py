"""Sockets that are bound before anything is opened, so that a taken port is one clear line."""

from __future__ import annotations

import os
import socket

from tocsin.errors import SettingsError


def bind(host: str, port: int, *, kind: socket.SocketKind, names: str, hint: str = "") -> socket.socket:
    """Bind; 0 takes a free port.

    Args:
        host: name or address.
        port: of the protocol that `kind` says.
        kind: stream or datagram.
        names: of the settings, for the message.
        hint: what to do about it, for the end of the message.

    Raises:
        SettingsError: the address cannot be bound.
    """
    try:
        family, _, protocol, _, address = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            if kind == socket.SOCK_STREAM:  # for datagrams it would let two processes share the port
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise SettingsError(f"{names}: cannot listen on {host} port {port}: {reason}{hint}") from error
    bound.set_inheritable(False)
    return bound
