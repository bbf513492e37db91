"""The verifier `tool-use`: the tool calls that a response makes, against the gold's.

`strict_json` reads JSON, `calls` turns it into calls, `react` and `json_calls` find calls in a response and `responses`
chooses between them, `references` reads the gold, `compare` matches both and `feedback` words what differs.
"""
