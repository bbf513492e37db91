"""Trusted tests in one sandboxed process, the candidate in another: a module object whose attributes live over there.

In the tests' process an entry opens a `Session` on its `Job.channel` and uses the candidate as a module:

    from mopd_verifiers.proxy.session import Session

    def run(job: Job) -> None:
        with Session(job.channel, ["solution"], classes=frozenset()) as session:
            solution = session.load("solution")        # raises what the candidate's import raises
            assert solution.add(1, 2) == 3             # or `import solution`, from now on

The other program of the pair is `candidate_program({"solution.py": source})` of `mopd_verifiers.proxy.program`. Leaving
the `with` raises `ProtocolError` if the candidate broke the protocol or died, whatever was caught before, and
`UnsendableError` if the tests passed it something that cannot be sent: that one is the tests' fault.

`wire` frames messages; `codec` turns values into typed JSON, by the tables of `values`, `containers` and `names`.
In the candidate's process `server` answers, with `loader`, `describe` and `special`. In the tests' process `link` asks;
`mirror`, `remote`, `operators`, `classes`, `exceptions` and `modules` make what the tests hold; and `trust` says which
of the candidate's objects may be compared with the tests' data. Everything but `program` runs inside the sandbox and
imports the standard library alone. Nothing here unpickles or evaluates anything.
"""
