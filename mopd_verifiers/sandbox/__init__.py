"""Runs programs that may be hostile. `api` is what verifiers import; `inside` is what runs in the sandboxed processes.

`program` holds the values that go in and come out. Everything under `inside` imports the standard library alone.
"""
