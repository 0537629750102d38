"""Servers on this machine alone, for as long as a block lasts: MLflow's, and one that speaks S3."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BUCKET = "world-models"


def free_port() -> int:
    """A port of this machine that nothing uses now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def mlflow(folder: Path, port: int, *options: str, **variables: str) -> Iterator[str]:
    """MLflow's tracking server, whose database and artifacts lie in ``folder``.

    Args:
        folder: an existing one; a database there is used again.
        port: a free one, or the one that an earlier server had.
        options: of ``mlflow server``.
        variables: of its environment.

    Yields:
        Its address, once it answers.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += [*options, "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "served")]
    # Without MLflow's jobs, for language models: six processes, each of which loads MLflow.
    with _serving(command, port, folder, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", **variables):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def s3() -> Iterator[dict[str, str]]:
    """A server that speaks S3, with an empty bucket `BUCKET`.

    Yields:
        The environment's variables by which S3's clients find it and are let in.
    """
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    address = f"http://127.0.0.1:{port}"
    with _serving(command, port, Path()):
        request = urllib.request.Request(f"{address}/{BUCKET}", method="PUT")
        urllib.request.urlopen(request, timeout=60).close()
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
        yield {"AWS_ENDPOINT_URL": address} | dict.fromkeys(keys, "us-east-1")


@contextmanager
def _serving(command: list[str], port: int, folder: Path, **variables: str) -> Iterator[None]:
    """A server's process and those that it starts; the block begins once the port answers.

    Raises:
        TimeoutError: it ended, or did not answer within two minutes.
    """
    server = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait(server, port)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _wait(server: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.1)
    raise TimeoutError(f"{server.args!r} does not answer on port {port}")
