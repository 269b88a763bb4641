"""An admission webhook of somebody else's, as a real server on loopback with a certificate of its own."""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster.authority import server_certificate


class Webhook:
    """Answers every review: it allows where ``refusal`` is None, and refuses with its words otherwise."""

    def __init__(self, directory: Path) -> None:
        self.refusal: str | None = None
        self._certificate, key = server_certificate(directory)
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.dumps(hook.answer(review)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing is logged."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self._certificate, key)
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}/review"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """It does not answer any more."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def authority(self) -> bytes:
        """The PEM text of the certificate that the API server has to trust."""
        return self._certificate.read_bytes()

    def answer(self, review: dict[str, Any]) -> dict[str, Any]:
        response: dict[str, Any] = {"uid": review["request"]["uid"], "allowed": self.refusal is None}
        if self.refusal is not None:
            response["status"] = {"message": self.refusal}
        return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
