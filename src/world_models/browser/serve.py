"""A server of one page, for this machine alone."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"
"""Loopback: no other machine reaches it."""


def server(content: bytes, port: int) -> ThreadingHTTPServer:
    """A server that gives ``content`` at its root; ``serve_forever`` starts it.

    Args:
        content: an HTML page.
        port: a free one; 0 for any.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, *, body: bool) -> None:
            if self.path.partition("?")[0] not in ("/", "/index.html"):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")  # the next export has this address too
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing: requests are of no interest."""

    return ThreadingHTTPServer((HOST, port), Handler)
