"""The gold of a tool-use prompt: a list of calls, as JSON or as its text.

Raises `DataError` naming the prompt for a reference that is none of the forms in the config's docstring.
"""

from __future__ import annotations

import json
import reprlib

from mopd_core.errors import DataError
from mopd_core.types import VerifyItem
from mopd_verifiers.tool_use.calls import Call, calls_in
from mopd_verifiers.tool_use.strict_json import read_whole

_MAX_SHOWN_CHARS = 200


def read_gold(item: VerifyItem) -> list[Call]:
    """The gold calls of an item; none where no tool is needed."""
    try:
        text = item.reference if isinstance(item.reference, str) else json.dumps(item.reference, allow_nan=False)
        calls = calls_in(read_whole(text))
    except (TypeError, ValueError, RecursionError) as error:
        raise _bad_gold(item, str(error)) from error
    if calls is None:
        raise _bad_gold(item, "it holds no calls")
    return calls


def _bad_gold(item: VerifyItem, problem: str) -> DataError:
    given = item.reference
    shown = (repr(given) if isinstance(given, str) else reprlib.repr(given))[:_MAX_SHOWN_CHARS]
    return DataError(
        f"prompt {item.prompt_id!r}: the verifier `tool-use` cannot use its reference {shown}: "
        f'{problem}. Allowed: a list of {{"name": ..., "arguments": {{...}}}} or of {{"Action": ..., "Action_Input": '
        "{...}}, as JSON or as its text, and [] where no tool is needed. Repair the row or its column mapping"
    )
