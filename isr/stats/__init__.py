"""Intervals, tests and plans from arrays: numpy and scipy only, no file, no judge, no edit."""

from isr.stats.bootstrap import cluster_bootstrap, percentile_interval
from isr.stats.difference import DifferenceCore, difference_core, difference_interval
from isr.stats.discrimination import area_under_curve, auc, between, called, youden
from isr.stats.endpoints import RateCore, rate_core
from isr.stats.independent import clopper_pearson, jeffreys, wilson
from isr.stats.label_planning import (
    LeeAllocation,
    PairedVerdicts,
    corrected_half_width,
    corrected_power,
    label_allocation,
    labels_for_difference,
    lee_allocation,
)
from isr.stats.multiplicity import (
    benjamini_hochberg,
    benjamini_yekutieli,
    bonferroni,
    holm,
    holm_family,
    simultaneous_level,
)
from isr.stats.paired import McNemar, PairedComparison, compare_methods, mcnemar
from isr.stats.planning import (
    Components,
    Plan,
    TwoProportions,
    edits_for_half_width,
    edits_for_two_proportions,
    half_width_of_images,
    images_for_difference,
    images_for_half_width,
    images_within_margin,
    planned_design_effect,
    power_of_difference,
    prompts_for_difference,
    variance_components,
)
from isr.stats.pooling import GroupEstimates, PooledGroups, common_correlation, group_differences, pool_groups
from isr.stats.rate import rate_interval
from isr.stats.rows import Interval
from isr.stats.sequence import BettingSequence, OpenSequence, betting_sequence
from isr.stats.sign_flip import SignFlip, sign_flip_test
from isr.stats.variance import design_effect

__all__ = [
    "BettingSequence",
    "Components",
    "DifferenceCore",
    "GroupEstimates",
    "Interval",
    "LeeAllocation",
    "McNemar",
    "OpenSequence",
    "PairedComparison",
    "PairedVerdicts",
    "Plan",
    "PooledGroups",
    "RateCore",
    "SignFlip",
    "TwoProportions",
    "area_under_curve",
    "auc",
    "benjamini_hochberg",
    "benjamini_yekutieli",
    "betting_sequence",
    "between",
    "bonferroni",
    "called",
    "clopper_pearson",
    "cluster_bootstrap",
    "common_correlation",
    "compare_methods",
    "corrected_half_width",
    "corrected_power",
    "design_effect",
    "difference_core",
    "difference_interval",
    "edits_for_half_width",
    "edits_for_two_proportions",
    "group_differences",
    "half_width_of_images",
    "holm",
    "holm_family",
    "images_for_difference",
    "images_for_half_width",
    "images_within_margin",
    "jeffreys",
    "label_allocation",
    "labels_for_difference",
    "lee_allocation",
    "mcnemar",
    "percentile_interval",
    "planned_design_effect",
    "pool_groups",
    "power_of_difference",
    "prompts_for_difference",
    "rate_core",
    "rate_interval",
    "sign_flip_test",
    "simultaneous_level",
    "variance_components",
    "wilson",
    "youden",
]
