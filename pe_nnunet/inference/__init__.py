"""Prediction on the region of interest with an ensemble of folds and models."""
