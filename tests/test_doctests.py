"""The examples in the docstrings of the public statistics are run, and no further function may come without one."""

from __future__ import annotations

import doctest
import inspect
import sys

import pytest

from isr import calibration, stats

FUNCTIONS = {
    name: value
    for package in (stats, calibration)
    for name in package.__all__
    if inspect.isfunction(value := getattr(package, name))
}
WITHOUT = {
    "advice",
    "auc",
    "between",
    "calibration_curve",
    "called",
    "chance_corrected",
    "cluster_bootstrap",
    "coefficient_difference",
    "compare_methods",
    "corrected_difference",
    "corrected_half_width",
    "corrected_rate",
    "cross_fit",
    "dawid_skene",
    "difference_core",
    "edits_for_two_proportions",
    "homogeneity",
    "human_ceiling",
    "image_folds",
    "images_for_difference",
    "images_for_half_width",
    "intraclass_correlations",
    "jackknife_interval",
    "kappa_standard_error",
    "label_allocation",
    "lee_allocation",
    "mcnemar",
    "pairwise_share",
    "percentile_interval",
    "platt",
    "post_stratified_core",
    "post_stratified_rate",
    "power_of_difference",
    "ppi_core",
    "ppi_lambda",
    "ppi_mean",
    "ppi_rate",
    "prompts_for_difference",
    "rank_correlation",
    "rate_core",
    "raters_agreement",
    "retest_reliability",
    "rogan_gladen_joint",
    "rogan_gladen_rate",
    "variance_components",
    "votes_needed",
}
"""Functions that still lack an example; the set only shrinks."""


@pytest.mark.parametrize("name", sorted({f.__module__ for f in FUNCTIONS.values()}))
def test_examples_are_right(name: str) -> None:
    assert doctest.testmod(sys.modules[name]).failed == 0


def test_every_other_exported_function_has_an_example() -> None:
    assert {n for n, f in FUNCTIONS.items() if ">>>" not in (f.__doc__ or "")} == WITHOUT
