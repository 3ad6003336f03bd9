"""The reverse proxies of deploy/, run with the example files as they are shipped, in a folder of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.collector.collecting import ROOT, free_port

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
EXAMPLES = {"nginx": ROOT / "deploy" / "nginx" / "footfall.conf", "caddy": ROOT / "deploy" / "caddy" / "Caddyfile"}
LOGGED = EXAMPLES["nginx"].with_name("footfall-log.conf")
# A site around the example. Its own pages are logged, so that a log that stays empty is no accident.
NGINX_SITE = """
pid {folder}/nginx.pid;
error_log {folder}/error.log;
daemon off;
events {{}}
http {{
    include {logged};
    access_log {folder}/access.log combined if=$footfall_logged;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/answers;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        include {folder}/footfall.conf;
        error_page 500 502 503 504 /50x.html;
        location = /50x.html {{ return 502 "the site is not well"; }}
        location / {{ return 200 "the site itself"; }}
    }}
}}
"""


def is_installed(kind: str) -> bool:
    return Path(NGINX).exists() if kind == "nginx" else shutil.which("caddy") is not None


@dataclass
class Proxy:
    """nginx or Caddy before a collector on `collector_port`; everything that it writes is below `folder`."""

    kind: str
    folder: Path
    collector_port: int
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True)
        with (self.folder / "output.log").open("ab") as output:
            self.process = subprocess.Popen(
                self._command(), cwd=self.folder, stdout=output, stderr=output, env=self._environment()
            )

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)

    def written(self) -> dict[str, bytes]:
        """Every file that it wrote, by name."""
        return {str(file): file.read_bytes() for file in self.folder.rglob("*") if file.is_file()}

    def _command(self) -> list[str]:
        if self.kind == "caddy":
            return ["caddy", "run", "--config", str(EXAMPLES["caddy"]), "--adapter", "caddyfile"]
        example = EXAMPLES["nginx"].read_text().replace("127.0.0.1:8000", f"127.0.0.1:{self.collector_port}")
        (self.folder / "footfall.conf").write_text(example)
        (self.folder / "nginx.conf").write_text(NGINX_SITE.format(folder=self.folder, port=self.port, logged=LOGGED))
        return [NGINX, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]

    def _environment(self) -> dict[str, str]:
        """Caddy takes the names of site and collector from here; `http://` asks for no certificate."""
        inside = {name: str(self.folder) for name in ("HOME", "TMPDIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
        return {
            **os.environ,
            **inside,
            "CADDY_ADMIN": f"127.0.0.1:{free_port()}",
            "FOOTFALL_SITE": f"http://127.0.0.1:{self.port}",
            "FOOTFALL_COLLECTOR": f"127.0.0.1:{self.collector_port}",
        }
