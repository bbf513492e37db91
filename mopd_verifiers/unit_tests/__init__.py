"""The verifier `unit-tests`: do hidden pytest or unittest files pass against the candidate's modules?

`references` reads a problem, `sources` finds the candidate's files in a response, `inside` runs pytest in the tests'
sandboxed process, against a proxy of the candidate that lives in another one, `tally` reads what it reports, and
`verifier` turns that into verdicts, worded by `feedback`.
"""
