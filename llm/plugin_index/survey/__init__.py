"""Makes the plugin index, in a process of its own that `records.make_index` starts.

`run` imports each plugin and calls its hooks; `watch` takes down what it does meanwhile, and
`commands` what it does to the commands. Nothing here is loaded in the program itself.
"""
