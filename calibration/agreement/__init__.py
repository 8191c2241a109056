"""Agreement of raters: two or many, verdicts or grades, with intervals clustered on the image."""

from isr.calibration.agreement.alpha import Metric
from isr.calibration.agreement.intraclass import ICC, intraclass_correlations
from isr.calibration.agreement.jackknife import mean_interval
from isr.calibration.agreement.many_raters import (
    Chance,
    RatersAgreement,
    chance_corrected,
    fleiss_kappa,
    krippendorff_alpha,
    randolph_kappa,
    raters_agreement,
    rating_counts,
)
from isr.calibration.agreement.summary import Agreement, Ceiling, human_ceiling, two_rater_agreement
from isr.calibration.agreement.two_raters import (
    KappaError,
    brennan_prediger,
    cohen_kappa,
    confusion,
    gwet_ac1,
    kappa_standard_error,
    krippendorff_nominal,
    matthews,
    percent_agreement,
    recalls,
    scott_pi,
)
from isr.stats.jackknife import jackknife_interval

__all__ = [
    "ICC",
    "Agreement",
    "Ceiling",
    "Chance",
    "KappaError",
    "Metric",
    "RatersAgreement",
    "brennan_prediger",
    "chance_corrected",
    "cohen_kappa",
    "confusion",
    "fleiss_kappa",
    "gwet_ac1",
    "human_ceiling",
    "intraclass_correlations",
    "jackknife_interval",
    "kappa_standard_error",
    "krippendorff_alpha",
    "krippendorff_nominal",
    "matthews",
    "mean_interval",
    "percent_agreement",
    "randolph_kappa",
    "raters_agreement",
    "rating_counts",
    "recalls",
    "scott_pi",
    "two_rater_agreement",
]
