# output: main other
import threading
import time


def late():
    time.sleep(0.05)
    print("other")


threading.Thread(target=late).start()
print("main", end=" ")
