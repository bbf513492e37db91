# output: 1
import os

with open(os.devnull, "w") as nowhere:
    print("hidden", file=nowhere)
print(1)
