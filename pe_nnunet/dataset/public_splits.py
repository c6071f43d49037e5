"""Test sets that are published with public datasets: for who converts these, or runs a model trained on the rest."""

from __future__ import annotations

CAD_PE_TEST = frozenset(f"{number:03d}" for number in range(21, 41))
"""Scans 021 to 040 of CAD-PE."""
