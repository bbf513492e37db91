"""The verifier `format`: the form of a response, whatever it says."""
