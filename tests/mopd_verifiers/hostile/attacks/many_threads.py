# More threads than anybody has a use for.
# kind: stdin
# expected: escaped
import threading
import time

count = 0
try:
    while count < 3000:
        threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
        count += 1
except RuntimeError:
    pass
print("escaped" if count >= 3000 else "contained")
