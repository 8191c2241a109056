"""A vLLM server for a judge card: its exact command, and its life while something is judged."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from isr.errors import JudgeError, UsageError
from isr.judges import vllm_engine
from isr.judges._local import Guard, engine_options
from isr.judging.cards import Card
from isr.judging.keys import endpoint_key, is_loopback
from isr.judging.thinking import template_fields
from isr.reading import MAX_LINE, json_of

VLLM = vllm_engine.__name__.rpartition(".")[2]
MODULE = "vllm.entrypoints.openai.api_server"
LOCAL = "http://127.0.0.1:8000/v1"
GRACE_S = 30.0


@dataclass(frozen=True)
class Server:
    """What to start, and where it will listen. A key travels in the environment, never in the command."""

    base_url: str
    model: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    key: str = field(default="", repr=False)

    @property
    def command(self) -> str:
        """The command as it is typed into a shell."""
        words = [f"{k}={shlex.quote(v)}" for k, v in self.environment.items()]
        return " ".join([*words, shlex.join(self.argv)])


def server_of(card: Card, python: str = "python") -> Server:
    """The vLLM server that serves a card's model as the card says. Raises ``CardError``, ``UsageError``."""
    by_name = card.traits.served_by_name
    if not by_name and card.backend != VLLM:
        raise UsageError(
            f"{card.name}: expected a card whose model is asked for at a server (such as openai_chat), or one of "
            f"{VLLM}; found {card.backend}, which vLLM does not serve"
        )
    url = urlsplit(card.endpoint.base_url or LOCAL)
    if not is_loopback(url.hostname or ""):
        raise UsageError(
            f"{card.name}: expected an endpoint on this machine, such as {LOCAL}; found {url.hostname}, which "
            f"others serve; use --set endpoint.base_url={LOCAL}"
        )
    options = engine_options(card, vllm_engine.VllmOptions)
    args = options.engine_args(card)
    argv = [python, "-m", MODULE, "--served-model-name", card.served_name]
    argv += ["--host", url.hostname or "127.0.0.1", "--port", str(url.port or 80)]
    for name, value in args.items():
        argv += _flag(name, value)
    told = template_fields(card.decoding.thinking)
    if told:  # each request says it as well; whoever else asks this server gets the same judge
        argv += ["--default-chat-template-kwargs", json.dumps(told, separators=(",", ":"))]
    environment = {"VLLM_BATCH_INVARIANT": "1" if options.batch_invariant else "0"}
    key = endpoint_key(card) if by_name else ""
    return Server(card.endpoint.base_url or LOCAL, card.served_name, tuple(argv), environment, key)


def _flag(name: str, value: object) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag] if value else [f"--no-{flag[2:]}"]
    if isinstance(value, dict | list):
        return [flag, json.dumps(value, separators=(",", ":"))]
    return [flag, str(value)]


@contextmanager
def running(server: Server, wait_s: float = 900.0) -> Iterator[None]:
    """Starts the server, waits until it answers, and stops it with all its processes in the end.

    Raises ``JudgeError`` if something else listens there, if it ends by itself, or does not answer in time.
    """
    url = urlsplit(server.base_url)
    with socket.socket(socket.AF_INET6 if ":" in (url.hostname or "") else socket.AF_INET) as probe:
        if probe.connect_ex((url.hostname, url.port or 80)) == 0:
            raise JudgeError(
                f"{server.base_url}: expected a free port; found a server that listens there already; stop it, or "
                f"use --set endpoint.base_url=http://127.0.0.1:PORT/v1"
            )
    environment = {**os.environ, "VLLM_NO_USAGE_STATS": "1", **server.environment}
    if server.key:
        environment["VLLM_API_KEY"] = server.key
    guard = Guard()
    try:
        process = subprocess.Popen(  # noqa: S603  (the command of a card that the user names)
            server.argv, env=environment, stdout=sys.stderr.fileno(), start_new_session=True
        )
        guard.watch([-process.pid])
    except OSError as error:
        guard.dismiss()
        raise JudgeError(
            f"{server.argv[0]}: cannot be started ({error.strerror}); use --python PATH"
        ) from error
    try:
        _wait(server, process, wait_s)
        yield
    finally:
        _stop(process)
        guard.dismiss()


def _wait(server: Server, process: subprocess.Popen[bytes], wait_s: float) -> None:
    until = time.monotonic() + wait_s
    while True:
        if process.poll() is not None:
            raise JudgeError(
                f"the server ended with exit code {process.returncode} before it answered; its own messages are "
                f"above (vLLM must be installed in {server.argv[0]}; --python names another)"
            )
        if _answers(server):
            return
        if time.monotonic() > until:
            raise JudgeError(
                f"the server did not answer at {server.base_url} within {wait_s:g} s; use --wait"
            )
        time.sleep(0.5)


def _answers(server: Server) -> bool:
    """Whether the server offers the card's model. Nothing is followed, no proxy is asked: this is this machine."""
    url = urlsplit(server.base_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=5)
    headers = {"Authorization": f"Bearer {server.key}"} if server.key else {}
    try:
        connection.request("GET", f"{url.path.rstrip('/')}/models", headers=headers)
        offered = json_of(connection.getresponse().read(MAX_LINE))["data"]
        return any(model["id"] == server.model for model in offered)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Asks the whole group to end, and ends it after a while."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def run_beside(server: Server, command: Sequence[str], wait_s: float) -> int:
    """Runs a command while the server is up; its exit code, 128 + N where signal N ended it.

    Raises ``UsageError`` before anything is started if there is no such command.
    """
    if shutil.which(command[0]) is None:
        raise UsageError(f"{command[0]}: expected a command to run beside the server; found no such command")
    with running(server, wait_s):
        code = subprocess.run(list(command), check=False).returncode  # noqa: S603
    return code if code >= 0 else 128 - code
