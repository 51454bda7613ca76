"""The address of a store, as operators write it. Read next: link.py, which connects to it.

Three forms: ``redis://user:password@host:6379/0`` (``rediss`` for TLS), ``unix:///path/to.sock``, and
``redis+sentinel://user:password@host1:26379,host2:26379/mymaster/0``, where the hosts are Sentinels, which know the
host that is in charge of ``mymaster``; the password is that of the store.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from msgspec import Struct

__all__ = ["Address", "parse_address"]

SENTINEL_PORT: Final = 26379
SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
#: Options that may stand behind a ``?``. Timeouts may not: those of link.py keep requests from waiting.
OPTIONS: Final = frozenset({"db", "ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"})
SENTINEL_OPTIONS: Final = frozenset({"sentinel_password", "sentinel_username"})


class Address(Struct, frozen=True):
    """``url`` as redis-py reads it. With ``sentinels``, as (host, port), the host in it is a placeholder.

    ``service`` is the name under which they know the store; ``username`` and ``password`` are for the Sentinels.
    """

    url: str
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""
    username: str | None = None
    password: str | None = None


def parse_address(text: str) -> Address:
    """The address that a text is. Raises ValueError with what is wrong, which tells nothing of its passwords."""
    text = text.strip()
    try:
        parts = urlsplit(text)
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ValueError("it cannot be read as a URL") from None
    if parts.scheme not in SCHEMES:
        raise ValueError("it must begin with redis://, rediss://, unix:// or redis+sentinel://")
    through_sentinels = parts.scheme.endswith("+sentinel")
    known = OPTIONS | SENTINEL_OPTIONS if through_sentinels else OPTIONS
    if unknown := sorted(options.keys() - known):
        raise ValueError(f"it has an option {unknown[0]!r}; known are {', '.join(sorted(known))}")
    if through_sentinels:
        return _behind_sentinels(parts, options)
    _check(parts)
    return Address(text)


def _check(parts: SplitResult) -> None:
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise ValueError("it has no path of a socket")
        return
    _, _, host = parts.netloc.rpartition("@")
    if "," in host:
        raise ValueError("it has several hosts; Sentinels are written as redis+sentinel://")
    _host(host, 6379)
    _number(parts.path.strip("/"))


def _behind_sentinels(parts: SplitResult, options: dict[str, str]) -> Address:
    login, at, hosts = parts.netloc.rpartition("@")
    service, _, number = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("it has no name behind the hosts, as mymaster in redis+sentinel://host:26379/mymaster/0")
    _number(number)
    query = urlencode({name: value for name, value in options.items() if name in OPTIONS})
    scheme = parts.scheme.removesuffix("+sentinel")
    return Address(
        f"{scheme}://{login}{at}sentinels/{number}{'?' if query else ''}{query}",
        tuple(_host(host, SENTINEL_PORT) for host in hosts.split(",")),
        service,
        options.get("sentinel_username"),
        options.get("sentinel_password"),
    )


def _host(text: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        found, port = parts.hostname, parts.port or port
    except ValueError:
        raise ValueError("it has a port that is no number from 1 to 65535") from None
    if not found:
        raise ValueError("it has no host")
    return found, port


def _number(text: str) -> None:
    if text and not text.isdecimal():
        raise ValueError("its database is not a number")
