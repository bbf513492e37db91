"""Published data sets over `table`: the columns that their files have and, where those do not suffice, an `Adapter`."""
