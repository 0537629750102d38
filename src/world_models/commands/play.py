"""``world-models play``: M's dream in the browser, served on this machine alone."""

import threading
import webbrowser
from argparse import Namespace

from world_models.browser.serve import HOST, server
from world_models.commands.export import build
from world_models.commands.ports import free_port


def run(arguments: Namespace) -> int:
    """Serve the page until Ctrl-C."""
    content = build(arguments)
    port = free_port(arguments.port, "play")
    if port != arguments.port:
        print(f"Port {arguments.port} is taken.")
    with server(content, port) as serving:
        address = f"http://{HOST}:{port}/"
        print(f"{arguments.environment}, dreamed: {address} (Ctrl-C ends it)", flush=True)
        if arguments.browser:
            # A browser of the terminal does not return while it is open.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        serving.serve_forever()
    return 0
