"""The verifier `length`: a reward that falls with the length of the response."""
