"""States of several parts: `clock` relates the levels of the parts, `coupling` says which levels training combines,
`grid` makes the rows of sampling, and `process` is `process=joint`.
"""
