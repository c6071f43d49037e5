"""Synthetic CT pulmonary angiography with exact truth."""
