# output: 3 0.5 [1, 2, 3] 6 abc
import bisect
import collections
import decimal
import fractions
import functools
import hashlib
import heapq
import itertools
import math
import random
import re
import statistics
import string
import zoneinfo

random.seed(1)
values = [3, 1, 2]
heapq.heapify(values)
print(
    statistics.median([1, 3, 5]),
    float(fractions.Fraction(1, 2)),
    [heapq.heappop(values) for _ in range(3)],
    math.factorial(3),
    re.sub(r"\d", "", "a1b2c3"),
)
