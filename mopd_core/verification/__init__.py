"""From rollouts to verdicts: `router` sends items to verifiers and checks what they return, `scheduler` says when.

`groups` judges the rollouts of a step while they are being sampled, `rows` and `verify_file` the rows of a file.
Verifiers themselves are plugins; the built-in ones live in `mopd_verifiers`.
"""
