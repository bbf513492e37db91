# A datagram socket pair can be told to send anywhere.
# kind: stdin
# expected: escaped
import socket

one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
one.sendto(b"x", "\0@ABSTRACT@")
print("escaped")
