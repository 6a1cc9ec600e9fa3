"""Captures by others, of any size: the kernels, bound and driven over a file.

`whole.read` is the way in. `plain` runs the kernels as they stand, `native` compiled;
`memory` holds the tables; what the kernels leave aside goes through the general path (`general`),
row for row equal. Knows no calls: a recording of netlab's own is not for it.
"""
