"""Model cards: what a model was trained, calibrated and scored on, in a README.md that is made of its files."""
