"""Everything that the author of a judge backend imports, and what a backend has to do.

A backend is a module with a function ``open_judge(card)``. It returns an object with two coroutines::

    async def ask(self, request: Request, images: Prepared) -> Answer: ...
    async def close(self) -> None: ...

``ask`` asks once and returns the completed reply, whatever it says: a refusal or an answer that breaks the schema is
an ``Answer`` too. ``isr`` does everything else: retries, limits, budget, the answer store, parsing. So:

- ``await message_of(request, images)`` is what to send: ``system`` text, ``parts`` in order (each a ``text``, or an
  ``image`` with ``media_type``, ``data``, ``base64`` and ``url``), the answer's JSON ``schema``, and ``sent`` for
  ``Answer(sent=...)``. A judge that looks at pixels itself uses ``images.pixels("source")`` and ``images.pixels("edit")``.
- ``card.served_name``, ``card.endpoint.base_url``, ``card.decoding.temperature``, ``card.decoding.max_tokens``,
  ``card.decoding.seed`` and ``card.limits.timeout_s`` are the settings; ``card.engine`` holds fields of your own.
  ``request.repeat`` counts repeats of one request from 0: add it to the seed.
- ``Client(card, headers)`` posts JSON to the card's endpoint with the user's key, and raises the right errors;
  ``client.clean(text)`` removes the key from a text. Put every text of the server through it before it enters an
  ``Answer``, an exception or a log line. With a client library of your own, ``endpoint_key(card)`` is the key (it
  raises where the user has not allowed the key to go to that host; read no key in another way), and
  ``redactor(key)`` makes ``clean``.
- ``finish_of(word)`` translates the server's word for how a reply ended into a ``Finish``. A reply that was cut off must
  be ``Finish.LENGTH``; otherwise its beginning would be judged as a whole answer.
- Without a completed reply, raise. ``error_of_status(card, status, body, headers, clean)`` returns the right error for
  an HTTP status. ``TransportError(reason, message)`` with a ``TransportReason`` leaves this request undecided until the
  next run; it is retried, unless ``retryable=False``. A ``JudgeError`` (``AuthenticationError``, ``QuotaError``,
  ``ModelNotFoundError``, ``RejectedError``) stops the run. ``CardError`` in ``open_judge`` says what the card lacks.
  Any other exception stops the run as one ``JudgeError`` that names the backend.
- Let ``asyncio.CancelledError`` pass, and release everything in ``close``.

The module says what it is by constants. Each default is the cautious one:

``FREE = True``            asking costs no money; otherwise ``--budget-usd`` demands prices in the card.
``FILES = ("weights",)``   fields of ``[engine]`` that name files; their content is part of the judge's identity.
``SERVED_BY_NAME = True``  ``model`` is a name at a server; an absolute path in it is no folder here.
``WRITES = True``          the judges also have ``write(system, text, response_format, repeat)``.
``ANSWERS_VERSION = "1"``  raise it whenever the same request could now get another answer. It belongs to the judge's
                           identity, with the name of your distribution. Without it the distribution's version does, and
                           every release asks, and pays for, every answer again.
``FORMERLY_BUILT_IN``      ``True`` only where the backend was a part of ``isr`` before it had a distribution: its judges
                           keep the identity that they had.

The backend is found by an entry point of its distribution::

    [project.entry-points."isr.judge_backends"]
    my_backend = "my_package.judge:open_judge"

or, on your own machine, by its file: ``backend = "./judge.py:open_judge"`` in a card that is given as a path.
``python -m isr.contract CARD`` checks a backend. ``docs/extending.md`` has a whole one.
"""

from __future__ import annotations

from isr.errors import (
    AuthenticationError,
    CardError,
    JudgeError,
    MissingExtraError,
    ModelNotFoundError,
    QuotaError,
    RejectedError,
    SecretError,
    TransportError,
    TransportReason,
)
from isr.judging.backends import Judge, Writer
from isr.judging.cards import Card
from isr.judging.client import Client
from isr.judging.keys import endpoint_key
from isr.judging.messages import Message, Part, message_of
from isr.judging.requests import Request
from isr.judging.sending import Picture, Prepared, Sent
from isr.judging.statuses import error_of_status, finish_of
from isr.redaction import redactor
from isr.types import Answer, AnswerReason, Finish, PanelReason, Question, Reason

__all__ = [
    "Answer",
    "AnswerReason",
    "AuthenticationError",
    "Card",
    "CardError",
    "Client",
    "Finish",
    "Judge",
    "JudgeError",
    "Message",
    "MissingExtraError",
    "ModelNotFoundError",
    "PanelReason",
    "Part",
    "Picture",
    "Prepared",
    "Question",
    "QuotaError",
    "Reason",
    "RejectedError",
    "Request",
    "SecretError",
    "Sent",
    "TransportError",
    "TransportReason",
    "Writer",
    "endpoint_key",
    "error_of_status",
    "finish_of",
    "message_of",
    "redactor",
]
