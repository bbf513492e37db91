"""A verifier plugin for mopd: responses that have to be JSON, judged by a JSON Schema."""
