# The main thread ends; another one holds the process.
# kind: stdin
import threading
import time

threading.Thread(target=time.sleep, args=(1000,)).start()
print("@TOKEN@", flush=True)
