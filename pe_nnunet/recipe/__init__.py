"""Training hyper-parameters and where they come from."""
