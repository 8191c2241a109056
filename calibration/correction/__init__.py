"""The rate that people would have given, from a judge's verdicts and a sample of human labels.

Which estimator is valid depends on how the labelled edits were chosen, and nothing in the data can tell.
:func:`corrected_rate` therefore takes the design, and picks the estimator or refuses:

===================  ==============================================================================
``label_design``     estimator
===================  ==============================================================================
``random``           post-stratified by verdict; PPI++ for a graded score
``within_verdict``   post-stratified by verdict (sampling within verdict biases the other two)
``external``         Rogan-Gladen, Lee-adjusted, from labels of another experiment
``weights``          post-stratified or PPI++ with known inclusion probabilities
===================  ==============================================================================

The estimators from labels inside the test set share one form: the estimate is a sum over edits of an influence
``phi_i``, its variance ``G/(G-1) sum_g (sum_{i in g} phi_i)^2`` over images. Partly labelled images, and the
covariance between the judge's part and the people's part, are thereby counted. The ``*_core`` functions take
arrays ``(..., n)`` with the edits of an image side by side and evaluate many data sets at once.
"""

from isr.calibration.correction.by_design import Estimator, LabelDesign, corrected_rate
from isr.calibration.correction.paired import CorrectedPair, corrected_difference, corrected_pair
from isr.calibration.correction.post_stratified import post_stratified_core, post_stratified_rate
from isr.calibration.correction.ppi import PPI, ppi_core, ppi_lambda, ppi_mean, ppi_rate
from isr.calibration.correction.quality import Quality, paired_quality
from isr.calibration.correction.rogan_gladen import (
    Calibration,
    rogan_gladen_joint,
    rogan_gladen_rate,
    rogan_gladen_value,
)

__all__ = [
    "PPI",
    "Calibration",
    "CorrectedPair",
    "Estimator",
    "LabelDesign",
    "Quality",
    "corrected_difference",
    "corrected_pair",
    "corrected_rate",
    "paired_quality",
    "post_stratified_core",
    "post_stratified_rate",
    "ppi_core",
    "ppi_lambda",
    "ppi_mean",
    "ppi_rate",
    "rogan_gladen_joint",
    "rogan_gladen_rate",
    "rogan_gladen_value",
]
