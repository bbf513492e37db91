# Write big files wherever it may.
# kind: stdin
# expected: escaped
import os

done = False
for folder in ("@FOLDER@", "/tmp", "/var/tmp", "/dev/shm", ".", "/run"):
    try:
        with open(os.path.join(folder, "mopd-hostile-big"), "wb") as file:
            for _ in range(4):
                file.write(b"x" * (1 << 20))
        done = True
    except OSError:
        pass
print("escaped" if done else "contained")
