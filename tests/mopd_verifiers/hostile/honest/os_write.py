# output: raw
import os

os.write(1, b"raw\n")
