"""From rollouts to verdicts: `router` sends items to verifiers and checks what they return, `groups` judges a step.

`verify_file` judges the rows of a file. Verifiers themselves are plugins; the built-in ones live in `mopd_verifiers`.
"""
