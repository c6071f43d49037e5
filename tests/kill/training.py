"""Trainings."""

TRAININGS = ()


def prepare_training(folder): ...
