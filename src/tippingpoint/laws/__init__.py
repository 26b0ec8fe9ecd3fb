"""Laws: one short file each, with its formula, its gradient and what each parameter means to a person."""

from tippingpoint.laws.additive import AdditivePowerLaw
from tippingpoint.laws.auto import AutoLaw
from tippingpoint.laws.interaction import InteractionLaw
from tippingpoint.laws.multiplicative import FlooredMultiplicativeLaw, MultiplicativeLaw
from tippingpoint.laws.prediction import Prediction
from tippingpoint.laws.surface import SurfaceLaw
from tippingpoint.laws.transfer import TransferLaw

__all__ = [
    "AdditivePowerLaw",
    "AutoLaw",
    "FlooredMultiplicativeLaw",
    "InteractionLaw",
    "MultiplicativeLaw",
    "Prediction",
    "SurfaceLaw",
    "TransferLaw",
]
