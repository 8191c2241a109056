"""The engine ``ray``: the judges that run in a process, as actors on the nodes of a Ray cluster.

The judge is that of its own backend, opened in each actor from the same card; requests are made here and answers are kept here.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isr.actors.cluster import MOST_ACTORS, Cluster, Settings, joined, require_ray, settings_of, started
from isr.actors.hands import Hands
from isr.actors.pool import Pool
from isr.edits.images import ImagePolicy, read_checked
from isr.errors import JudgeError, UsageError
from isr.judging.backends import Judge, extra_of, open_judge
from isr.judging.cards import Card
from isr.judging.sending import Encoder, Prepared
from isr.version import __version__

if TYPE_CHECKING:
    from isr.judging.requests import Request
    from isr.types import Answer

TAKES = ()  # whatever runs in a process
EXTRA = "ray"
SHIPPED = 256 * 2**20  # bytes of pictures that are kept where the nodes can read them


def open_workers(card: Card, sets: Sequence[str]) -> OnRay:
    """The judge of a card on a cluster, which is joined at the first question. Raises ``IsrError``."""
    if card.endpoint.base_url:
        raise UsageError(
            f"--engine ray: expected a judge that runs in a process; found {card.name}, which a server at {card.endpoint.host} "
            "answers for; leave out --engine (several servers: endpoint.base_urls)"
        )
    require_ray()
    return OnRay(card, settings_of(sets))


def open_hands(sets: Sequence[str]) -> Hands:
    """What makes pictures on a cluster, which is joined when it begins. Raises ``IsrError``."""
    require_ray()
    return Hands(settings_of(sets))


class OnRay:
    """A judge whose requests are answered by actors; it is asked as any judge is."""

    def __init__(self, card: Card, settings: Settings) -> None:
        self.card, self.settings = card, settings
        self.most = (settings.most or MOST_ACTORS) * card.limits.concurrency
        self._cluster = Cluster(settings)
        self._pool: Pool | None = None
        self._starting = asyncio.Lock()
        self._pictures = _Pictures(self._cluster)
        self._kept = self._inside = 0  # requests that have a place, and that are being asked

    async def free(self) -> None:
        """Waits until one more request can be asked, and keeps its place. Raises ``IsrError`` where none ever can."""
        pool = await self._started()
        await pool.free(lambda: self._kept + self._inside)
        self._kept += 1

    async def ask(self, request: Request, images: Prepared) -> Answer:
        """The reply of one of the actors."""
        pool = await self._started()
        self._kept = max(0, self._kept - 1)
        self._inside += 1
        try:
            shipped = await self._pictures.shipped(images)
            answer: Answer = await pool.call(
                request.key, "ask", request, dict(images.files), list(shipped), *shipped.values()
            )
            return answer
        finally:
            self._inside -= 1
            await pool.tell()

    async def close(self) -> None:
        """Ends the actors; a cluster that was started for them ends with them."""
        if self._pool is not None:
            await self._pool.close()
        self._pictures.clear()
        await asyncio.to_thread(self._cluster.leave)

    async def _started(self) -> Pool:
        async with self._starting:
            if self._pool is None:
                await joined(self._cluster)
                fields = {name: getattr(self.card, name) for name in Card.model_fields}
                pool = await started(
                    self._cluster,
                    partial(HeldJudge, fields),
                    self.card.name,
                    gpus=_gpus(self.card, self._cluster),
                    places=self.card.limits.concurrency,
                )
                try:
                    _require_same(self.card, pool.facts)
                except JudgeError:
                    await pool.close()
                    raise
                self._pool = pool
        return self._pool


def _gpus(card: Card, cluster: Cluster) -> float:
    """GPUs of one actor: as set; else what the card's engine spans, where the nodes have any."""
    if cluster.settings.gpus is not None:
        return cluster.settings.gpus
    wide = [card.engine.get(name) for name in ("tensor_parallel_size", "data_parallel")]
    spans = [n for n in wide if isinstance(n, int) and not isinstance(n, bool)]
    if spans:
        product = 1
        for n in spans:
            product *= n
        return float(product) if any(s > 1 for s in spans) or _has_gpus(cluster) else 0.0
    return 1.0 if extra_of(card.backend, card.folder) and _has_gpus(cluster) else 0.0


def _has_gpus(cluster: Cluster) -> bool:
    return any(n.get("GPU", 0) for n in cluster.nodes())


def _require_same(card: Card, facts: Any) -> None:
    """Raises ``JudgeError`` unless the nodes hold the judge of the card: its answers would be another's."""
    expected = (__version__, card.digest)
    if facts != expected:
        raise JudgeError(
            f"{card.name}: expected isr {__version__} and the judge {card.digest} on the nodes; found isr {facts[0]} and "
            f"{facts[1]}; install the same isr there, and put the same files of the model at the same path"
        )


class _Pictures:
    """Files of pictures where the nodes read them: put there once each, while they are in use; the longest unused go first."""

    def __init__(self, cluster: Cluster, budget: int = SHIPPED) -> None:
        self._cluster, self._budget, self._bytes = cluster, budget, 0
        self._held: OrderedDict[str, tuple[Any, int]] = OrderedDict()

    async def shipped(self, images: Prepared) -> dict[str, Any]:
        """Where the files of a request lie, by their digests. Raises ``ImageProblem`` for one that changed."""
        return {
            digest: await self._one(images.encoder, path, digest) for path, digest in images.files.values()
        }

    async def _one(self, encoder: Encoder, path: str, digest: str) -> Any:
        if digest not in self._held:
            data = await asyncio.to_thread(read_checked, encoder.root, path, digest)
            if digest not in self._held:  # another request was faster
                self._held[digest] = (await asyncio.to_thread(self._cluster.put, data), len(data))
                self._bytes += len(data)
        self._held.move_to_end(digest)
        ref, _ = self._held[digest]
        while self._bytes > self._budget and len(self._held) > 1:
            self._bytes -= self._held.popitem(last=False)[1][1]
        return ref

    def clear(self) -> None:
        self._held.clear()


# ---------------------------------------------------------------------------------------- in the actor


class _Arrived(Encoder):
    """Prepares pictures whose files came with the requests that are in the actor now."""

    def __init__(self, policy: ImagePolicy) -> None:
        super().__init__(Path(), policy)
        self._files: dict[str, bytes] = {}
        self._users: Counter[str] = Counter()

    @contextmanager
    def holding(self, files: Mapping[str, bytes]) -> Iterator[None]:
        """Has these files, by their digests, as long as one of the requests that brought them is there."""
        self._files |= files
        self._users.update(files.keys())
        try:
            yield
        finally:
            for digest in files:
                self._users[digest] -= 1
                if not self._users[digest]:
                    del self._users[digest], self._files[digest]

    def read(self, files: tuple[tuple[str, str], ...]) -> list[bytes]:
        return [self._files[digest] for _, digest in files]


class HeldJudge:
    """A judge in an actor, opened from the card's fields."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._card = Card.model_construct(**fields)
        self._judge: Judge = open_judge(self._card, allow_retired=True)
        self._pictures = _Arrived(self._card.policy)

    def facts(self) -> object:
        """What tells this judge apart from another one."""
        return __version__, self._card.digest

    async def ask(
        self, request: Request, files: Mapping[str, tuple[str, str]], digests: Sequence[str], *pictures: bytes
    ) -> Answer:
        """The reply; ``pictures`` are the files of these digests."""
        with self._pictures.holding(dict(zip(digests, pictures, strict=True))):
            return await self._judge.ask(request, Prepared(self._pictures, files))
