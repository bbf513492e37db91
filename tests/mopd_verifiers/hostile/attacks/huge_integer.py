# Print an integer whose digits take for ever.
# kind: stdin
import sys

sys.set_int_max_str_digits(0)
print(7 ** (10**7))
