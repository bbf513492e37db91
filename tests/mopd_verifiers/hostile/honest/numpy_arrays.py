# needs: numpy
# input: 1 2 3 4
# output: 10.0 [[1. 2.] [3. 4.]] 2
import numpy as np
from numpy.linalg import matrix_rank

values = np.array(input().split(), dtype=float)
matrix = values.reshape(2, 2)
print(values.sum(), str(matrix).replace("\n", ""), matrix_rank(matrix))
