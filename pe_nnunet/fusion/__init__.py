"""From a probability map to emboli."""
