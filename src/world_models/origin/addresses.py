"""Addresses of servers, databases and repositories, as they may be shown and recorded."""

import re

_SECRET = re.compile(r"(?:(?<=http://)|(?<=https://))[^/\s]*@|(?<=://)[^/\s:@]*:[^/\s]*@")
"""What stands before the host: over HTTP a name alone may be a token; elsewhere, as in
``ssh://git@host``, it is part of the address."""


def without_passwords(text: str) -> str:
    """A text in which no address has a password or token.

    Args:
        text: an address, or a message that has some in it.
    """
    return _SECRET.sub("", text)
