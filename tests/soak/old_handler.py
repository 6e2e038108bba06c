"""A class of http.server's that writes a gigabyte, or little."""

from http.server import BaseHTTPRequestHandler


class Old(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        if self.path == "/small":
            self.wfile.write(b"small")
            return
        for _ in range(1 << 14):
            self.wfile.write(bytes(1 << 16))

    def log_message(self, format: str, *arguments: object) -> None:
        """The access log is the server's."""
