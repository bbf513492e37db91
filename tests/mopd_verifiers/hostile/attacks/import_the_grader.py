# Import the grader's own packages and look for the answer there.
# kind: stdin
# expected: escaped
import glob
import sys

for name in ("mopd_core", "mopd_verifiers.code.references", "pydantic", "pytest", "typer"):
    try:
        __import__(name)
        print("escaped")
        break
    except (ImportError, OSError):
        continue
for entry in (*sys.path, "@PACKAGES@"):
    for path in glob.glob(entry + "/mopd*/**/*.json*", recursive=True):
        print(open(path).read())
