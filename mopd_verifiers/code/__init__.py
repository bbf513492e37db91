"""The verifier `code`: does the program in a response give the right results?

`extract` finds the program, and `references` reads what it is tested on (`livecodebench` the columns which that
benchmark publishes), as one of the classes in `problems`. `stdin`, `function` and `humaneval` are the graders: one file
a kind of problem, all with the contract in `grade`. `compare` says whether a result is right, `failures` and `feedback`
word what went wrong, and `verifier` puts them together. Inside the sandbox run `driver` and `prelude`, beside the
candidate and without knowing what is expected, and `checker`, with HumanEval's tests and without the candidate.
"""
