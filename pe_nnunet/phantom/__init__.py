"""Synthetic CT pulmonary angiography with exact truth."""

from pe_nnunet.phantom.baseline import threshold_baseline
from pe_nnunet.phantom.cohort import write_cohort
from pe_nnunet.phantom.make import Phantom, make_phantom
from pe_nnunet.phantom.settings import PhantomSettings, coarse_settings

__all__ = ["Phantom", "PhantomSettings", "coarse_settings", "make_phantom", "threshold_baseline", "write_cohort"]
