"""Laws: one short file each, with its formula, its gradient and what each parameter means to a person."""

from tippingpoint.laws.additive import AdditivePowerLaw
from tippingpoint.laws.prediction import Prediction

__all__ = ["AdditivePowerLaw", "Prediction"]
