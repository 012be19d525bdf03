"""What the program tells when it serves: people on the terminal, programs in a file."""

from pathlib import Path
from typing import Any

from resource_server.emulator import gaps
from resource_server.terminal import printable

_VARIABLE = "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER"


def describe(url: str, port: int) -> dict[str, Any]:
    """Return addresses, ids and client secrets."""
    return {
        "url": url,
        "port": port,
        "codes": f"{url}/_emulator/codes",
        "pools": [
            {
                "id": pool.id,
                "region": pool.region,
                "issuer": gaps.issuer_of(pool),
                "jwks_uri": f"{url}/{pool.id}/.well-known/jwks.json",
                "discovery": f"{url}/{pool.id}/.well-known/openid-configuration",
                "clients": [
                    {
                        "id": client.id,
                        "name": client.extended_config.get("ClientName"),
                        "secret": client.secret if client.generate_secret else None,
                    }
                    for client in pool.clients.values()
                ],
            }
            for pool in gaps.pools()
        ],
    }


def text(shown: dict[str, Any], file: Path | None) -> str:
    """Write it for people, without the secrets."""
    kept = (
        f"kept in {printable(file)}"
        if file
        else "kept nowhere: they end with this process (see --state)"
    )
    lines = [
        "",
        f" Cognito, emulated, on {shown['url']}",
        f" Users   {kept}",
        f" Codes   shown here, and at {shown['codes']}",
    ]
    for pool in shown["pools"]:
        clients = ", ".join(
            f"{printable(client['id'])} ({printable(client['name'])}, "
            f"{'secret' if client['secret'] else 'public'})"
            for client in pool["clients"]
        )
        lines += [
            "",
            f" Pool {pool['id']}",
            f"   clients    {clients}",
            f"   discovery  {pool['discovery']}",
            f"   issuer     {pool['issuer']}",
        ]
    lines += [
        "",
        " AWS SDKs, in any language, and the AWS CLI find it by the environment:",
        f"   {_VARIABLE}={shown['url']}",
        "   AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any   # for what administrators do",
    ]
    if shown["pools"]:
        pool = shown["pools"][0]
        lines += [
            " This project's service, and whatever reads its settings, needs beside that:",
            f"   AWS_USER_POOL_ID={pool['id']} COGNITO_ENDPOINT_IS_EMULATOR=true",
            f"   COGNITO_JWKS_URI={pool['jwks_uri']}",
        ]
        if pool["issuer"].startswith(shown["url"]):
            lines.append(f"   COGNITO_ISSUER={pool['issuer']}")
    return "\n".join(lines)
