# Talk to a server on this machine.
# kind: stdin
# expected: escaped
import socket

socket.create_connection(("127.0.0.1", @PORT@), timeout=1)
print("escaped")
