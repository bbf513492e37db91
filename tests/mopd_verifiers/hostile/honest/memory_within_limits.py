# output: 100
block = bytearray(100 << 20)
print(len(block) >> 20)
