"""What the packages export: every name is there, and none is also the name of a module."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import pytest

import isr
import sifm_ref
from isr.errors import MissingExtraError

MODULES = sorted(m.name for p in (isr, sifm_ref) for m in pkgutil.walk_packages(p.__path__, f"{p.__name__}."))


def loaded(name: str) -> ModuleType:
    """The module; the test is skipped where a package that is no part of a plain installation is missing."""
    try:
        return importlib.import_module(name)
    except MissingExtraError as error:
        pytest.skip(str(error))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("isr", "sifm_ref"):
            raise
        pytest.skip(str(error))


def module_names(name: str) -> set[str]:
    """The last names of the module's submodules and of the modules beside it."""
    parent = name.rpartition(".")[0]
    return {m.rpartition(".")[2] for m in MODULES if m.rpartition(".")[0] in (name, parent) and m != name}


@pytest.mark.parametrize("name", ["isr", *(m for m in MODULES if not m.endswith("__main__"))])
def test_every_export_is_there_and_is_no_module(name: str) -> None:
    module = loaded(name)
    exported = list(getattr(module, "__all__", ()))
    assert len(exported) == len(set(exported))
    for export in exported:
        assert not isinstance(getattr(module, export), ModuleType), export
    assert set(exported) & module_names(name) == set()


def test_the_libraries_export_what_the_documents_name() -> None:
    from isr import calibration, stats

    assert {"rate_interval", "compare_methods", "holm_family", "mcnemar"} <= set(stats.__all__)
    assert {"corrected_rate", "two_rater_agreement", "human_ceiling", "homogeneity"} <= set(
        calibration.__all__
    )


def test_a_module_beside_an_export_is_found() -> None:
    assert {"ppi", "rogan_gladen"} <= module_names("isr.calibration.correction")
    assert "stats" in module_names("isr.calibration")
