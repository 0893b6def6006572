"""Attributes that the steps of a model set, in their order."""

from __future__ import annotations


class StepOrderError(RuntimeError):
    """A step was called before the one that it builds on."""


class SetBy:
    """An attribute that one of the steps sets; read before that, it names the missing step."""

    def __init__(self, step: str):
        self._step = step

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, model, owner=None):
        if model is None:
            return self
        if self._name not in vars(model):
            raise StepOrderError(
                f"{owner.__name__} has no {self._name.strip('_')} yet: {self._step} has not been "
                "called; the order is loadData, createArchitecture, prepareModel, train, save"
            )
        return vars(model)[self._name]

    def __set__(self, model, value):
        vars(model)[self._name] = value
