# input: 1
# output: 1
while True:
    try:
        line = input()
    except EOFError:
        break
    print(line)
