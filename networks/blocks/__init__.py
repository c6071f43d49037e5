"""The building blocks of the networks."""
