"""The strace witness: what `strace -f -ttt -T` printed -> call records. Runs nothing."""
