# input: 2\n5 6\n7 8
# output: 11\n15
import sys

lines = sys.stdin.readlines()
for line in lines[1:]:
    print(sum(map(int, line.split())))
