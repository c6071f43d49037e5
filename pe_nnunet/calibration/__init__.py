"""Operating points: thresholds, weights of boxes and models, chosen on scans that no model was trained on."""
