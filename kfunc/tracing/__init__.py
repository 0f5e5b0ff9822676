"""Arrays that stand for other arrays. A function that runs on them shows what it does.

- `spec`: arrays with a shape and a dtype, and no values. With them `init` finds the shapes of parameters.
- `tape`: arrays that remember how they were made. They give gradients to libraries that have none.
- `record`: arrays that write down the kernel calls. They give programs to libraries without a compiler.
- `loops`: the transforms that are plain Python loops.

No framework is named here.
"""
