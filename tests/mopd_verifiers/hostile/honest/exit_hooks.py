# output: first last
import atexit

atexit.register(print, "last")
print("first", end=" ")
