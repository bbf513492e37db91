# output: 3
import sqlite3

connection = sqlite3.connect(":memory:")
connection.execute("create table t (n integer)")
connection.executemany("insert into t values (?)", [(1,), (2,)])
print(connection.execute("select sum(n) from t").fetchone()[0])
