"""Programs that others wrote, watched from outside: by strace or the kernel, in a lab or here.

`watched` and `kernel_watch` say which programs of a lab are; `keeper`, `tracer` and `gated` start
tracer and program in the right order; `trace` is `netlab trace`, `own_traffic` knows its frames.
"""
