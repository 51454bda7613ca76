"""What would let a stranger in, or a secret out. Read next: ../addresses.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from gateway.config.addresses import host_of, is_loopback, privacy
from gateway.config.draft import Draft
from gateway.config.finding import Finding, Path
from gateway.config.logins import is_document
from gateway.config.schema import LoginEntry

__all__ = ["alerts", "base_urls", "fetched", "headers", "listeners", "no_address", "plain_secrets"]

_SECRET_HEADERS: Final = frozenset({"authorization", "api-key", "x-api-key", "proxy-authorization", "cookie"})
_OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection"})


def base_urls(draft: Draft) -> Iterator[Finding]:
    """Requests, with their keys, go where the operator means them to: no private network by accident."""
    for name, entry in draft.config.providers.items():
        url = entry.base_url or entry.endpoint
        if url is None:
            continue
        path: Path = ("providers", name, "base_url" if entry.base_url is not None else "endpoint")
        if (wrong := no_address(url)) is not None:
            yield Finding(path, f"the address of provider {name!r} {wrong}", "write it as https://host/path")
            continue
        where = privacy(url)
        if where == "metadata":
            message = f"{host_of(url)} hands out a cloud's credentials: it is no provider"
            yield Finding(path, message, "correct the address")
        elif where is not None and not entry.allow_private:
            message = f"{host_of(url)} is a {where} address"
            yield Finding(path, message, "write `allow_private: true` if that is meant")
        elif where is None and url.lower().startswith("http://"):
            message = f"prompts and keys go to {host_of(url)} unencrypted"
            yield Finding(path, message, "write https://", "warning")


def alerts(draft: Draft) -> Iterator[Finding]:
    """Who is told of budgets can be reached, and is nobody who hands out credentials. Its address is a secret."""
    entry = draft.config.budgets.alerts
    if entry is None:
        return
    path: Path = ("budgets", "alerts", "webhook")
    url = entry.webhook.reveal()
    if no_address(url, query=True) is not None:
        yield Finding(path, "the webhook is no address that can be posted to", "write it as https://host/path")
    elif privacy(url) == "metadata":
        yield Finding(path, "the webhook hands out a cloud's credentials", "correct the address")
    elif privacy(url) is None and url.lower().startswith("http://"):
        yield Finding(path, "the webhook, whose address is a secret, is asked unencrypted", "write https://", "warning")


def no_address(url: str, *, query: bool = False) -> str | None:
    """What is wrong with an address that is to be asked; None when nothing is. ``query``: it may have one."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is no URL, or its port is no number"
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        return "must begin with https:// or http:// and a host"
    if parts.username is not None or parts.password is not None:
        return "holds a user name or password, which belong into api_key"
    if (parts.query and not query) or parts.fragment or port == 0 or not url.isprintable() or " " in url:
        return "must be a host and a path, no more"
    return None


def listeners(draft: Draft) -> Iterator[Finding]:
    """Who can reach the gateway from elsewhere needs a key, or the operator has said that it is open."""
    config = draft.config
    somebody = config.keys or config.identity
    if config.auth and not somebody:
        message = "auth is on, but there are no keys: nobody can ask before one is made at run time"
        yield Finding(("auth",), message, "add `keys:`, or run `signalbox keys create`", "warning")
    if not is_loopback(config.server.host) and config.auth is None and not somebody:
        message = f"the gateway listens on {config.server.host} and asks nobody for a key"
        yield Finding(("server", "host"), message, "add `keys:`, or write `auth: off` if it is to be open")
    if not is_loopback(config.server.admin_host) and config.server.admin_token is None:
        message = f"administration listens on {config.server.admin_host} without a token"
        yield Finding(("server", "admin_host"), message, "set `admin_token: ${ADMIN_TOKEN}`", "warning")
    same = config.server.host == config.server.admin_host and config.server.port == config.server.admin_port
    if same and config.server.port:
        yield Finding(("server", "admin_port"), "clients and administration have the same port", "change one")


def headers(draft: Draft) -> Iterator[Finding]:
    """A header that is added to requests is one that HTTP can carry and that is not ours."""
    for name, entry in draft.config.providers.items():
        for header, value in entry.headers.items():
            path = ("providers", name, "headers", header)
            if not header.isascii() or not header.replace("-", "").replace("_", "").isalnum():
                yield Finding(path, f"{header!r} is no header name", "letters, digits and - only")
            elif header.lower() in _OURS:
                yield Finding(path, f"header {header!r} is set by the gateway", "remove it")
            if not value.isascii() or not value.isprintable():
                yield Finding(path, f"the value of header {header!r} cannot be sent", "plain ASCII, on one line")


def fetched(draft: Draft) -> Iterator[Finding]:
    """What clients may let the gateway fetch is no more than the operator thinks."""
    fetch = draft.config.fetch
    if fetch.allow and fetch.allow_private and not fetch.hosts:
        message = "whoever may send a request can read what this machine can reach in private networks"
        yield Finding(("fetch", "allow_private"), message, "name the `hosts`, or leave it out", "warning")
    for n, host in enumerate(fetch.hosts):
        bare = host.removeprefix("*.")
        if host_of(f"https://{bare}") != bare.lower() or "*" in bare:
            yield Finding(("fetch", "hosts", n), f"{host!r} is no host", "write it as example.com or *.example.com")


def plain_secrets(draft: Draft) -> Iterator[Finding]:
    """Secrets come from the environment or from files, not from a file that is shared and kept."""
    for path in _secrets(draft):
        node = draft.root.find(path)
        if node.value and not isinstance(node.value, dict | list) and not node.expanded:
            message = f"{path[-1] if isinstance(path[-1], str) else path[-2]} is a secret in plain text"
            yield Finding(path, message, "write ${NAME} or ${file:/path}", "warning")


def _secrets(draft: Draft) -> Iterator[Path]:
    config = draft.config
    for name, entry in config.providers.items():
        several = isinstance(draft.root.find(("providers", name, "api_key")).value, list)
        for place in range(len(entry.api_key)):
            yield ("providers", name, "api_key", place) if several else ("providers", name, "api_key")
        yield from (("providers", name, "auth", *path) for path in _of_login(entry.auth))
        for header in entry.headers:
            if header.lower() in _SECRET_HEADERS:
                yield ("providers", name, "headers", header)
    if config.server.admin_token is not None:
        yield ("server", "admin_token")
    if config.pepper is not None:
        yield ("pepper",)
    if config.budgets.alerts is not None:
        yield ("budgets", "alerts", "webhook")
        if config.budgets.alerts.secret is not None:
            yield ("budgets", "alerts", "secret")
    if config.state is not None and urlsplit(config.state.reveal()).password:
        yield ("state",)


def _of_login(entry: LoginEntry | None) -> Iterator[Path]:
    """Secrets of a login. Of Google's only a document is one, not the path of a file."""
    if entry is None:
        return
    if entry.aws is not None:
        written = entry.aws.model_fields_set & {"secret_access_key", "session_token"}
        yield from (("aws", name) for name in sorted(written))
    credentials = entry.google.credentials if entry.google is not None else None
    if credentials is not None and is_document(credentials.reveal()):
        yield ("google", "credentials")
    if entry.azure_ad is not None and entry.azure_ad.client_secret is not None:
        yield ("azure_ad", "client_secret")
