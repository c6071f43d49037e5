"""From a result that a person corrected to a label to train on: what changed, which scans next, and nothing lost."""
