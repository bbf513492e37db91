# output: Point(x=1, y=2) True
import copy
import pickle
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Point:
    x: int
    y: int


point = Point(1, 2)
print(pickle.loads(pickle.dumps(point)), copy.deepcopy(point) == point)
