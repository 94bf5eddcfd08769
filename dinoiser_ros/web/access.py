# SPDX-License-Identifier: Apache-2.0
"""Who may use the page, and where: options, the token, what keeps other sites out."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from dinoiser_ros.errors import OptionError

if TYPE_CHECKING:
    from aiohttp import web  # half a second, which programs that only declare options save

PORT = 8088
MOST_VIEWERS = 16
LEAST_TOKEN = 16  # characters that somebody who guesses would need for long
HEADERS = {
    # Nothing from elsewhere, no inline script or style, in no frame, and to no form.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class ServerOptions:
    """How the server serves.

    Attributes:
        address: to listen on, "localhost" or an IP address.
        port: TCP port; 0: any free one.
        token: that requests need; "": none on localhost, elsewhere one that is made up.
        control: whether viewers may change anything.
        most_viewers: how many there may be at once.
    """

    address: str = "localhost"
    port: int = PORT
    token: str = ""
    control: bool = True
    most_viewers: int = MOST_VIEWERS


@dataclass(frozen=True)
class Access:
    """The rule for requests.

    Attributes:
        address: that the server listens on.
        token: that each request needs; "" for none, on a loopback address only.
    """

    address: str
    token: str

    @classmethod
    def to(cls, address: str, token: str = "") -> Access:
        """The rule for an address: without a token on loopback, else with one.

        Args:
            token: the one to use; "" makes one up where it is needed.

        Raises:
            OptionError: the token is too short.
        """
        if token and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable()):
            raise OptionError(
                f"The token has to be {LEAST_TOKEN} or more characters of ASCII: give another one, "
                "or none, and one is made up."
            )
        if not token and not is_loopback(address):
            token = secrets.token_urlsafe(24)
        return cls(address, token)

    def link(self, port: int) -> str:
        """The address of the page, for people."""
        host = self.address
        if host in ("0.0.0.0", "::"):
            host = socket.gethostname()
        elif ":" in host:
            host = f"[{host}]"
        return f"http://{host}:{port}/" + (f"?token={quote(self.token)}" if self.token else "")

    def cookie(self, port: int) -> str:
        """The name of the cookie with the token: browsers do not tell ports of a host apart."""
        return f"dinoiser_{port}"

    def refusal(self, request: web.Request) -> str | None:
        """Why a request is refused, in one sentence; None if it may pass."""
        host = request.headers.get("Host", "")
        # A page of another site whose name was pointed at this machine (DNS rebinding).
        if not self.token and not is_loopback(_host_name(host)):
            return f"this page is at localhost only, not at {host[:100]!r}"
        origin = request.headers.get("Origin")
        if origin is not None and not _same_origin(origin, host):
            return "requests of other sites are refused"
        if origin is None and "Upgrade" in request.headers:
            return "a websocket needs the header Origin, as every browser sends it"
        if self.token and not self._has_token(request):
            return "open the link with the token that was printed at the start"
        return None

    def _has_token(self, request: web.Request) -> bool:
        port = _port_of(request)
        given = request.query.get("token") or request.cookies.get(self.cookie(port), "")
        # Bytes of a cookie that are no UTF-8 come as surrogates.
        return hmac.compare_digest(given.encode(errors="surrogatepass"), self.token.encode())

    def remember(self, request: web.Request, response: web.Response) -> None:
        """Let the browser send the token by itself from now on, and never for another site."""
        if self.token:
            name = self.cookie(_port_of(request))
            response.set_cookie(name, self.token, httponly=True, samesite="Strict")


def is_loopback(name: str) -> bool:
    """Whether an address or host name is this machine's own, and nothing else."""
    if name.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _port_of(request: web.Request) -> int:
    try:
        return urlsplit(f"//{request.headers.get('Host', '')}").port or 80
    except ValueError:
        return 0


def _same_origin(origin: str, host: str) -> bool:
    scheme, sign, rest = origin.partition("://")
    # By https only through a proxy in front of this server, which keeps the header Host.
    return scheme in ("http", "https") and sign != "" and rest.lower() == host.lower() != ""
