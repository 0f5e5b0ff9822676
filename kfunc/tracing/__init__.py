"""Arrays that stand for other arrays, so that what a function does to them is found by running it.

`spec` arrays have shapes and dtypes alone: `init` finds the shapes of parameters with them. `tape` arrays remember how
they were made: gradients for libraries that bring none. `record` arrays write down the kernel calls: programs for
libraries without a compiler. `loops` holds the transforms that are plain Python loops. No framework is named here.
"""
