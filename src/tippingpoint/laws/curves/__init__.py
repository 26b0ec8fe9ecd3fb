"""Laws of one axis, the learning curve: M1 to M4 (Alabdulmohsin et al. 2022) and the broken power law."""

from tippingpoint.laws.curves.broken import BrokenCurve
from tippingpoint.laws.curves.floored import FlooredCurve
from tippingpoint.laws.curves.law import CurveLaw, LinearForms
from tippingpoint.laws.curves.power import PowerCurve
from tippingpoint.laws.curves.registry import curve_law, curve_laws, law_key
from tippingpoint.laws.curves.saturating import SaturatingCurve
from tippingpoint.laws.curves.sigmoidal import SigmoidalCurve

__all__ = [
    "BrokenCurve",
    "CurveLaw",
    "FlooredCurve",
    "LinearForms",
    "PowerCurve",
    "SaturatingCurve",
    "SigmoidalCurve",
    "curve_law",
    "curve_laws",
    "law_key",
]
