# input: naïve ☃ 数
# output: 数 ☃ naïve
print(*reversed(input().split()))
