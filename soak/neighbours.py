"""What the service leans on: Cognito emulated, redis-server, nginx."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from soak.daemons import Daemon, free_port, listens

ROOT = Path(__file__).parent.parent
POOL, REGION = "eu-west-2_Soak00001", "eu-west-2"
CLIENT, SECRET = "web", "secret-of-the-soak-client"
PASSWORD = "Str0ng-passw0rd!"
USERS = ("ada", "bob", "cy", "dee")

_POOL = f"""
[[pools]]
id = "{POOL}"
[[pools.clients]]
id = "{CLIENT}"
secret = "{SECRET}"
flows = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
"""
_USER = """
[[pools.users]]
username = "{name}"
password = "{password}"
attributes = {{ email = "{name}@example.com", email_verified = "true" }}
"""


class Missing(RuntimeError):
    """A program that a scenario needs is not installed; the text names it."""


def emulator(home: Path) -> tuple[Daemon, dict[str, Any]]:
    """Start Cognito with four users; return it and what it says of itself."""
    pools = home / "pools.toml"
    people = [_USER.format(name=name, password=PASSWORD) for name in USERS]
    pools.write_text(_POOL + "".join(people), encoding="utf-8")
    ready = home / "emulator.json"
    command = [sys.executable, "-m", "resource_server.emulator", "--port", "0"]
    command += ["--pools", str(pools), "--ready-file", str(ready)]
    command += ["--trigger", "resource_server.triggers.pre_token_generation:handler"]
    daemon = Daemon("emulator", command, home=home, environment={"PYTHONPATH": str(ROOT)})
    daemon.wait_until(ready.exists)
    return daemon, json.loads(ready.read_text(encoding="utf-8"))


def redis(home: Path, port: int) -> Daemon:
    """Start Redis, keeping nothing on disk.

    Raises Missing.
    """
    command = [_program("redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
    daemon = Daemon("redis", [*command, "--save", ""], home=home, environment={})
    daemon.wait_until(lambda: listens(port))
    return daemon


# Our own deploy/nginx.conf is for containers; this is its essence on one machine.
_NGINX = Template("""
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 2048; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  client_header_timeout 10s; client_body_timeout 10s;
  client_max_body_size 64k;
  large_client_header_buffers 4 36k;
  upstream service { $servers keepalive 16; }
  server {
    listen 127.0.0.1:$port;
    location / {
      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $$host;
      proxy_set_header X-Forwarded-For $$remote_addr;
      proxy_set_header X-Forwarded-Proto $$scheme;
      proxy_request_buffering on;
    }
  }
}
""")


def nginx(home: Path, upstream: Sequence[int]) -> tuple[Daemon, int]:
    """Start nginx before some ports; return it and its own port.

    Raises Missing.
    """
    program, port = _program("nginx"), free_port()
    servers = " ".join(f"server 127.0.0.1:{each} max_fails=0;" for each in upstream)
    file = home / f"nginx-{port}.conf"
    file.write_text(_NGINX.substitute(servers=servers, port=port), encoding="utf-8")
    command = [program, "-p", str(home), "-c", str(file)]
    daemon = Daemon(f"nginx-{port}", command, home=home, environment={})
    daemon.wait_until(lambda: listens(port))
    return daemon, port


def versions() -> dict[str, str]:
    """Say which of the programs are there."""
    return {name: shutil.which(name) or "" for name in ("redis-server", "nginx")}


def _program(name: str) -> str:
    # Debian keeps servers out of an ordinary user's PATH.
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Missing(f"{name} is not installed")
    return found
