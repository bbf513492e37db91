# Catch whatever a timeout raises, and go on.
# kind: stdin
while True:
    try:
        while True:
            pass
    except BaseException:
        continue
