"""The options of the verifier `length`."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from mopd_core.config.base import PluginConfig


class LengthConfig(PluginConfig):
    """How long the response is: reward 1 up to a length, from there falling to 0; a part for `combine`.

    The whole response counts, its reasoning included; the reference is not looked at. As a part of a weighted sum it is
    a length penalty, and as a part of `all` a limit.
    """

    soft_chars: int = Field(ge=1)
    """Longest response with reward 1, in characters."""

    max_chars: int = Field(ge=1)
    """The length, in characters, at which the reward has fallen to 0 in a straight line, and the response has failed;
    equal to `soft_chars` it is a limit without a fall."""

    fail_truncated: bool = False
    """Fail a response that was cut off at the limit of tokens, however short it is."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.max_chars < self.soft_chars:
            raise ValueError(
                f"max_chars ({self.max_chars}) is below soft_chars ({self.soft_chars}); it has to be at least as large"
            )
        return self
