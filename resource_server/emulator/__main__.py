"""`python -m resource_server.emulator`, or `cognito-emulator`: the emulator as a program."""

import importlib
from pathlib import Path

import click

from resource_server.emulator.state import DEFAULT_PORT

_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="resource-server", prog_name="cognito-emulator")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Where to serve; 0 takes any free port. A port that is taken is an error.",
)
@click.option(
    "--pools",
    type=_EXISTING,
    help="Pools, clients and users, in TOML (docs/emulator.md). Without it there is one pool "
    "with a demo user.",
)
@click.option(
    "--trigger",
    metavar="MODULE:FUNCTION",
    help="Pre Token Generation trigger (V2_0) of pools that have none of their own. It is "
    "imported from the current folder, too. Default: none.",
)
@click.option(
    "--state",
    type=_FILE,
    help="Keep users, sign-ins and what the API configured in this file. Without it nothing "
    "outlives the process.",
)
@click.option(
    "--issuer",
    type=click.Choice(["local", "aws"]),
    default="local",
    show_default=True,
    help="The `iss` of tokens. local: this server's address, which OpenID Connect clients "
    "discover. aws: that of a real pool, for libraries that derive it from the pool's id.",
)
@click.option(
    "--public-url",
    metavar="URL",
    help="What others call this server by, for example http://cognito:5001 between containers. "
    "Default: http://127.0.0.1 and the port.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen. Another address than loopback, as a container needs, lets everybody "
    "who reaches it read codes and make administrators.",
)
@click.option(
    "--ready-file",
    type=_FILE,
    help="Write addresses, ids and secrets (JSON) to this file once requests are answered; it is "
    "removed at the end.",
)
def main(
    *,
    port: int,
    pools: Path | None,
    trigger: str | None,
    state: Path | None,
    issuer: str,
    public_url: str | None,
    host: str,
    ready_file: Path | None,
) -> None:
    """Emulate Amazon Cognito user pools on this machine.

    It serves Cognito's API, which any AWS SDK finds by
    AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER, and managed login. Codes are shown here and at
    /_emulator/codes. Ctrl+C or SIGTERM stops it.
    """
    # Imported here: Ctrl-C during the second that this takes is click's to handle.
    try:
        program = importlib.import_module("resource_server.emulator.program")
        pools_file = importlib.import_module("resource_server.emulator.pools_file")
    except ImportError as error:
        raise click.ClickException(
            f"The emulator needs the extra `dev` ({error.name} is missing): "
            "pip install 'resource-server[dev]'"
        ) from error
    program.Program(
        pools_file.read_pools(pools) if pools else [],
        trigger=trigger,
        state=state,
        local_issuer=issuer == "local",
        public_url=public_url,
        ready_file=ready_file,
    ).run(host, port)


if __name__ == "__main__":
    main(prog_name="cognito-emulator")
