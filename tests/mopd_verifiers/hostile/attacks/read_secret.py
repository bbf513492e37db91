# Read a file in somebody's home.
# kind: stdin
# expected: @SECRET@
print(open("@SECRET_FILE@").read())
