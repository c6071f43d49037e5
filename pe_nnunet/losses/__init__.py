"""Losses for targets that fill a thousandth of a patch."""
