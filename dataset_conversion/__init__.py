"""Source datasets to nnU-Net raw, one module a source."""
