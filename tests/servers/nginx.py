"""A real web server on loopback: nginx, with the configuration that a test gives it."""

from pathlib import Path

from tests.cluster.processes import Component, free_ports
from tests.cluster.rest import is_ok
from tests.servers.programs import Programs
from tests.servers.server import Server

START_SECONDS = 10.0

_SETTINGS = """\
daemon off;
master_process off;
pid "{directory}/pid";
error_log stderr info;
events {{ worker_connections 256; }}
http {{
    types {{ application/json json; text/html html; }}
    default_type application/octet-stream;
    access_log "{directory}/access.log";
    client_body_temp_path "{directory}/body";
    proxy_temp_path "{directory}/proxy";
    fastcgi_temp_path "{directory}/fastcgi";
    uwsgi_temp_path "{directory}/uwsgi";
    scgi_temp_path "{directory}/scgi";
    server {{
        listen 127.0.0.1:{http};
        {tls}
        root "{root}";
        location = /is-it-up {{ access_log off; return 204; }}
        {locations}
    }}
}}
"""
_TLS = """\
listen 127.0.0.1:{port} ssl;
        ssl_certificate "{certificate}";
        ssl_certificate_key "{key}";
"""


class Nginx(Server):
    """A web server, which runs inside the ``with`` block; one process.

    Attributes:
        url: ``http://127.0.0.1:PORT``.
        https_url: ``https://127.0.0.1:PORT``, "" where there is no ``tls``.
        root: The folder whose files it serves, read anew for each request.
        access_log: One line for each request, in nginx's combined format.
    """

    def __init__(
        self, programs: Programs, directory: Path, locations: str = "", *, tls: tuple[Path, Path] | None = None
    ) -> None:
        """``locations`` are further directives of its server block; ``tls`` is a certificate and its key.

        ``directory`` is an empty folder.
        """
        http, https = free_ports(2)
        self.url = f"http://127.0.0.1:{http}"
        self.https_url = f"https://127.0.0.1:{https}" if tls else ""
        self.root = directory / "root"
        self.access_log = directory / "access.log"
        self.root.mkdir()
        settings = directory / "nginx.conf"
        settings.write_text(
            _SETTINGS.format(
                directory=directory,
                root=self.root,
                http=http,
                tls=_TLS.format(port=https, certificate=tls[0], key=tls[1]) if tls else "",
                locations=locations,
            )
        )
        super().__init__(
            Component(
                programs.paths["nginx"],
                ["-p", str(directory), "-c", str(settings), "-e", "stderr"],
                directory=directory,
                environment=programs.environment,
            )
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._component.start(lambda: is_ok(f"{self.url}/is-it-up"), seconds=START_SECONDS)
