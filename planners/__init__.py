"""nnU-Net experiment planners."""
