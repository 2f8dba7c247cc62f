"""The command that serves the local app."""

import html
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import click
from platformdirs import user_cache_path

from embedkit._internal.paths import shown
from embedkit.cli import show
from embedkit.cli.options import options
from embedkit.errors import MissingExtra


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="HOST",
    help="Address to listen on. With 0.0.0.0, other machines can connect too; they need the token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Port; 0 for a free one.  [default: 8899, or a free one if it is in use]",
)
@click.option("--open", "open_browser", is_flag=True, help="Open the app in the browser.")
@click.option("--read-only", is_flag=True, help="Refuse every change.")
@click.option("--api-only", is_flag=True, help="Serve the JSON API without pages.")
@options
def serve(
    host: str,
    port: int | None,
    open_browser: bool,
    read_only: bool,
    api_only: bool,
    workspace: Path,
    as_json: bool,
) -> None:
    """Look at the photos, search and decide in the browser.

    The app runs on this machine. Open the link that this command prints: the part after # is a
    secret, without which the server refuses requests. Stop the server with Ctrl+C. Other commands
    can use the workspace at the same time.

    With --json, one line with url, token and port is printed when the server is ready. Programs
    send the token as 'Authorization: Bearer TOKEN'; /api/v1/openapi.json describes the API.

    Examples:

    \b
        embedkit serve --open
        embedkit serve --api-only --port 9000 --json
    """
    try:
        from embedkit.web.serve import Address
        from embedkit.web.serve import serve as run
    except ModuleNotFoundError as error:
        if (error.name or "embedkit").startswith("embedkit"):
            raise
        raise MissingExtra(
            f"the app needs {error.name}; run pip install 'embedkit[web]'"
        ) from error

    opened = ExitStack()

    def report(address: Address) -> None:
        if as_json:
            show.print_json_line({"url": address.url, "token": address.token, "port": address.port})
        else:
            show.print_line(f"embedkit serves {shown(str(workspace))} at {address.url}")
        if open_browser:
            webbrowser.open(opened.enter_context(_private_page(address.url)))

    with opened, suppress(KeyboardInterrupt):  # how a person stops the server
        run(workspace, report, host=host, port=port, read_only=read_only, api_only=api_only)


@contextmanager
def _private_page(url: str) -> Iterator[str]:
    """Yield the address of a file that opens ``url``, which contains the secret.

    Only this user can read the file. The arguments of the browser's process are visible to other
    users of the machine, so ``url`` must not be one of them.
    """
    folder = user_cache_path("embedkit")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".html", dir=folder) as page:
        page.write(f'<meta http-equiv="refresh" content="0;url={html.escape(url)}">')
        page.flush()
        yield Path(page.name).as_uri()
