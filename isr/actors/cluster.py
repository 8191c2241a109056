"""Ray, as far as it is needed: a cluster is joined or started, actors are placed in it, bytes are put where they can be read.

Ray is imported here, and by what runs in its actors, only when a cluster is joined. Its own retries and restarts are switched off: who is asked
again, and how often, is decided in ``isr.actors.suspects``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from isr.actors.held import Held, Holds
from isr.actors.pool import ROOM_S, Died, Pool
from isr.actors.suspects import Death
from isr.actors.wire import from_wire
from isr.errors import JudgeError, MissingExtraError, UsageError
from isr.text import did_you_mean

log = logging.getLogger("isr")

PORT = 6379  # of Ray's head node
CONNECT_S = 10.0
LOCAL, AUTO = "local", "auto"
MOST_ACTORS = 32  # where the settings say none
MOST_PLACES = 1024
_MEMORY = ("memory monitor", "out-of-memory", "out of memory", "oom")
_NODE = ("node has died", "node died", "node was terminated", "node failure")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a cluster is used. ``most = 0``: as many actors as find room; ``gpus = None``: as what is held says."""

    address: str = ""
    least: int = 1
    most: int = 0
    gpus: float | None = None
    cpus: float = 1.0
    room_s: float = ROOM_S
    silent_s: float = 1800.0

    @property
    def where(self) -> str:
        """The address as Ray takes it: as given, else the environment's, else this machine alone."""
        return self.address or os.environ.get("RAY_ADDRESS", "") or LOCAL


def settings_of(texts: Sequence[str], option: str = "--engine-set") -> Settings:
    """The settings in ``KEY=VALUE`` texts. Raises ``UsageError``."""
    found: dict[str, Any] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if key not in _READ or not sign:
            hint = did_you_mean(key, sorted(_READ), "correct it")
            raise UsageError(
                f"{option} {text}: expected KEY=VALUE with a key out of {', '.join(_READ)}; found {key!r}; {hint}"
            )
        read, expected = _READ[key]
        try:
            found |= read(value)
        except ValueError:
            raise UsageError(f"{option} {key}: expected {expected}; found {value!r}; correct it") from None
    return Settings(**found)


def _range(value: str) -> Mapping[str, int]:
    least, _, most = value.partition(",")
    found = {"least": int(least), "most": int(most) if most else int(least)}
    if not 1 <= found["least"] <= found["most"]:
        raise ValueError
    return found


def _number(name: str, above: float) -> Callable[[str], Mapping[str, float]]:
    def read(value: str) -> Mapping[str, float]:
        if not (number := float(value)) > above or number == float("inf"):
            raise ValueError
        return {name: number}

    return read


_READ: Mapping[str, tuple[Callable[[str], Mapping[str, Any]], str]] = {
    "address": (lambda v: {"address": v}, "an address"),
    "actors": (_range, "N, or MIN,MAX with 1 <= MIN <= MAX"),
    "gpus": (_number("gpus", -1e-9), "a number of at least 0"),
    "cpus": (_number("cpus", 0), "a number above 0"),
    "room_s": (_number("room_s", 0), "seconds above 0"),
    "silent_s": (_number("silent_s", 0), "seconds above 0"),
}


def require_ray() -> Any:
    """The module ``ray``. Raises ``MissingExtraError``."""
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(
            f"ray is not installed ({error}): run pip install 'isr-eval[ray]', here and on every node (docs/scale.md)"
        ) from error
    return ray


class Cluster:
    """A cluster that is joined, or one of this machine alone that ends with this process. Used by several at a time."""

    _lock = threading.Lock()
    _users = 0

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._ray = require_ray()
        self._joined = False

    def join(self) -> None:
        """Joins the cluster, or starts one. Blocks for seconds. Raises ``UsageError`` where there is none."""
        with Cluster._lock:
            if self._joined:
                return
            if not self._ray.is_initialized():
                _require_listener(self.settings.where)
                self._init()
            Cluster._users += 1
            self._joined = True

    def _init(self) -> None:
        where = self.settings.where
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        logging.getLogger("ray").setLevel(logging.ERROR)
        _silence(self._ray)
        more = {"include_dashboard": False} if where == LOCAL else {}
        try:
            self._ray.init(address=where, log_to_driver=False, configure_logging=False, **more)
        except Exception as error:  # a cluster can be unfit in any way
            said = " ".join(str(error).split())[:400]
            raise UsageError(
                f"Ray at {where}: expected a cluster that can be joined; found {type(error).__name__}: {said}; start one with "
                "ray start --head, with the same versions of Ray and Python everywhere (docs/scale.md)"
            ) from error

    def leave(self) -> None:
        """Leaves the cluster; one of this machine alone ends, once nobody uses it any more."""
        with Cluster._lock:
            if not self._joined:
                return
            self._joined = False
            Cluster._users -= 1
            if Cluster._users == 0:
                self._ray.shutdown()

    def put(self, data: bytes) -> Any:
        """Bytes where every node can read them, until what is returned is dropped."""
        return self._ray.put(data)

    def actor(self, make: Callable[[], Holds], gpus: float, places: int) -> RayActor:
        """An actor that waits for room and then makes what it holds."""
        options = {
            "num_cpus": self.settings.cpus,
            "num_gpus": gpus,
            "max_restarts": 0,
            "max_task_retries": 0,
            "max_concurrency": places + 8,
        }
        return RayActor(self._ray, self._ray.remote(Held).options(**options).remote(make, os.getcwd()))

    def nodes(self) -> list[Mapping[str, float]]:
        """What each node that lives has in all."""
        return [n["Resources"] for n in self._ray.nodes() if n["Alive"]]

    def room(self, gpus: float) -> int:
        """How many actors the nodes have room for in all, whoever uses it now."""
        cpus = self.settings.cpus
        return sum(
            int(min(n.get("CPU", 0) // cpus, n.get("GPU", 0) // gpus if gpus else 2**31))
            for n in self.nodes()
        )

    def in_words(self, gpus: float) -> str:
        """What an actor asks for and what there is."""
        has = "; ".join(f"CPU {n.get('CPU', 0):g}, GPU {n.get('GPU', 0):g}" for n in self.nodes())
        return f"each asks for CPU {self.settings.cpus:g}, GPU {gpus:g}; the nodes have {has or 'nothing'}"


class RayActor:
    """One actor of Ray, whose every failure is ``Died`` or an error of the package."""

    def __init__(self, ray: Any, handle: Any) -> None:
        self._ray, self._handle = ray, handle
        self._node = ""

    async def placed(self) -> str:
        self._node, name = await self._awaited(self._handle.node.remote())
        return str(name)

    async def begin(self) -> object:
        return _unpacked(await self._awaited(self._handle.begin.remote()))

    async def call(self, *task: Any) -> Any:
        return _unpacked(await self._awaited(self._handle.call.remote(*task)))

    def kill(self) -> None:
        try:
            self._ray.kill(self._handle)
        except Exception as error:  # it, its node, or the whole cluster may be gone
            log.debug("an actor could not be ended: %s", error)

    async def _awaited(self, ref: Any) -> Any:
        try:
            return await asyncio.wrap_future(ref.future())
        except self._ray.exceptions.RayTaskError as error:
            cause = " ".join(str(error.cause or error).split())[:400]
            raise JudgeError(
                f"an actor failed ({type(error.cause).__name__}: {cause}); what was received is kept"
            ) from error
        except self._ray.exceptions.RayError as error:
            death = _death(self._ray, error)
            if death is Death.PROCESS and self._node and not await asyncio.to_thread(self._node_lives):
                death = Death.NODE  # of which Ray itself may learn only later
            raise Died(death, " ".join(str(error).split())[:600]) from error

    def _node_lives(self) -> bool:
        """Whether the node still answers at its port."""
        for node in self._ray.nodes():
            if node["NodeID"] == self._node:
                return bool(node["Alive"]) and _listens(node["NodeManagerAddress"], node["NodeManagerPort"])
        return False


def _death(ray: Any, error: Exception) -> Death:
    """How an actor ended, by what Ray says of it."""
    said = str(error).lower()
    if isinstance(error, ray.exceptions.OutOfMemoryError) or any(w in _own_words(said) for w in _MEMORY):
        return Death.MEMORY
    gone = isinstance(error, ray.exceptions.NodeDiedError) or getattr(error, "preempted", False)
    return Death.NODE if gone or any(w in said for w in _NODE) else Death.PROCESS


def _own_words(said: str) -> str:
    """What Ray says of an end, without its list of common causes, which names memory every time."""
    return said.partition("some common causes")[0]


def _unpacked(reply: tuple[Any, Any, list[str]]) -> Any:
    value, error, warnings = reply
    for line in warnings:
        if line not in _told:
            _told.add(line)
            log.warning("%s", line)
    if error is not None:
        raise from_wire(error)
    return value


_told: set[str] = set()  # warnings of actors, each said once


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=CONNECT_S):
            return True
    except OSError:
        return False


def _require_listener(where: str) -> None:
    """Raises ``UsageError`` if nobody listens at an address: Ray itself would try for minutes."""
    if where in (LOCAL, AUTO) or "://" in where:
        return
    host, _, port = where.rpartition(":") if ":" in where else (where, "", str(PORT))
    try:
        with socket.create_connection((host, int(port)), timeout=CONNECT_S):
            return
    except (OSError, ValueError) as error:
        raise UsageError(
            f"Ray at {where}: expected the head node of a cluster; found nobody who listens ({error}); start it with "
            f"ray start --head --port={PORT}, or correct the address (HOST:PORT, auto or local)"
        ) from error


def _silence(ray: Any) -> None:
    """Ray prints what its nodes say to stdout, where the result stands; it goes to our log instead."""
    worker = ray._private.worker
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda data, **_: log.debug("ray: %s", " ".join(data.get("lines", ())))


@contextmanager
def own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself when it begins; afterwards what was asked for before holds again. In the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


async def joined(cluster: Cluster) -> None:
    """Joins on a thread of its own, so that the loop goes on. Raises as ``Cluster.join`` does."""
    with own_signals():
        await asyncio.to_thread(cluster.join)


async def started(
    cluster: Cluster, make: Callable[[], Holds], name: str, *, gpus: float, places: int = 1
) -> Pool:
    """A pool on a cluster that is joined, its first actor ready. Raises ``IsrError``.

    gpus: of each actor. places: tasks in each. name: of what they hold, for messages.
    """
    settings = cluster.settings
    pool = Pool(
        lambda: cluster.actor(make, gpus, places),
        name=name,
        most=settings.most or max(settings.least, min(MOST_ACTORS, cluster.room(gpus))),
        places=places,
        least=settings.least,
        room_s=settings.room_s,
        silent_s=settings.silent_s,
        room=lambda: cluster.in_words(gpus),
    )
    try:
        await pool.start()
    except BaseException:
        await pool.close()
        raise
    return pool
