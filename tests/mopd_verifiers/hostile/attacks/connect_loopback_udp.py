# Send a datagram on this machine.
# kind: stdin
# expected: escaped
import socket

socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", @PORT@))
print("escaped")
