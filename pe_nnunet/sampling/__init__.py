"""Which patches a training batch is made of: emboli by size, cases by target ratio."""
