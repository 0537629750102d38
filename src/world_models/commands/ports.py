"""Ports of this machine for the commands that serve pages."""

import socket

from world_models.errors import UserError

TRIED = 20
"""Ports that are tried, from the one that was asked for on."""


def free_port(first: int, command: str) -> int:
    """The first free port from ``first`` on.

    Args:
        first: the port that was asked for.
        command: which asks, for the message.

    Raises:
        UserError: there is none among the next few.
    """
    for port in range(first, min(first + TRIED, 65_536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise UserError(
        f"No port from {first} on is free. Name another: world-models {command} --port N."
    )
