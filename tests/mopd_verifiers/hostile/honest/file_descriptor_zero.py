# input: 1 2 3
# output: 6
print(sum(map(int, open(0).read().split())))
