"""Which rollouts the teacher is shown, and how: selectors, the teacher's prompt, and its token budget.

A selector is a module of its own here: a config, a class with `select` that draws through `draws.Draws`, and `build`.
What `select` returns goes through `check`, then to `teacher_prompt`, which words it with `context` and fits it with
`budget`.
"""
