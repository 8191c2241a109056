"""The special functions of scipy, which is imported with the first call: that takes a quarter of the start of a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _called_late(name: str) -> Callable[..., Any]:
    """``scipy.special``'s function of that name: elementwise, NaN where it is undefined."""

    def call(*values: Any, **how: Any) -> Any:
        from scipy import special

        return getattr(special, name)(*values, **how)

    call.__name__ = call.__qualname__ = name
    return call


bdtr = _called_late("bdtr")
betaincinv = _called_late("betaincinv")
chdtrc = _called_late("chdtrc")
expit = _called_late("expit")
fdtri = _called_late("fdtri")
gammaincinv = _called_late("gammaincinv")
logit = _called_late("logit")
logsumexp = _called_late("logsumexp")
nctdtr = _called_late("nctdtr")
ndtr = _called_late("ndtr")
ndtri = _called_late("ndtri")
stdtr = _called_late("stdtr")
stdtrit = _called_late("stdtrit")
xlogy = _called_late("xlogy")
