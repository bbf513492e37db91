"""Every error that this project raises on purpose: one root, one class a boundary.

`exit_code` is what the command line leaves with: 2 where the user's input is at fault, 1 where a run failed.
An error's text says what is wrong, what was given, what is allowed and what to do. A new boundary gets a class here.
"""

from __future__ import annotations


class MopdError(Exception):
    """Root of all errors raised on purpose; the command line prints its text and no traceback."""

    exit_code = 1


class ConfigError(MopdError, ValueError):
    """The config, an option or a combination of them cannot be used."""

    exit_code = 2


class PluginError(MopdError, RuntimeError):
    """A plugin cannot be loaded, registers something wrong, or broke its contract. The text names its distribution."""

    exit_code = 2


class DataError(MopdError, ValueError):
    """A data file, a row or a column cannot be used. The text names the file and the row."""

    exit_code = 2


class CheckpointError(MopdError, RuntimeError):
    """A checkpoint or a run's folder is missing, damaged, or belongs to another config."""

    exit_code = 2


class ModelError(MopdError, RuntimeError):
    """A model or its tokenizer cannot be loaded or used."""

    exit_code = 2


class GeneratorError(MopdError, RuntimeError):
    """A generator failed, or returned something that is not what was asked for."""


class VerifierError(MopdError, RuntimeError):
    """A verifier failed as a whole. A single response that cannot be judged is a verdict, not an error."""


class SelectorError(MopdError, RuntimeError):
    """A peer selector returned a selection that must not be shown."""


class TrainingError(MopdError, RuntimeError):
    """The run cannot go on. The text says from where `--resume` does."""
