"""Per-token divergences of the student p from the teacher q, in nats.

A new formula gets a module of its own here, a config in `config`, a factory in `factories` and a registration line in
`mopd_core.builtin`. What it is evaluated on (temperature, support, remainder) is the business of `outcomes`, never the
formula's.
"""
