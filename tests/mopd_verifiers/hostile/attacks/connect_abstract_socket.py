# Talk to whatever listens on a Unix socket without a path.
# kind: stdin
# expected: escaped
import socket

client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
client.connect("\0@ABSTRACT@")
print("escaped")
