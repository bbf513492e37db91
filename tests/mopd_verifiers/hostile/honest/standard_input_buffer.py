# input: 5 6
# output: 11
import sys

print(sum(map(int, sys.stdin.buffer.read().split())))
