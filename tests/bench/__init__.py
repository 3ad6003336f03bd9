"""The benchmarks behind `make bench`: every figure that the README or a comment claims, in one run on one machine.

- figure        one measured number beside its target, and how it is printed
- traffic       requests as a busy site sees them, the same on each run
- load          the load generator, a process of its own: keep-alive connections that each wait for their answer
- handlers      what the collector is compared with: an empty handler, and one that only parses JSON
- running       servers started and stopped, and what they cost: CPU and memory from /proc
- collecting    CPU of an accepted event, throughput, latency
- user_agents   CPU of a User-Agent not seen before
- draining      rows a second from the spool into the open day
- sealing       a day of 1,000,000 events into trends; by `sealing-large`, which takes a quarter of an hour, 10,000,000
- memory        what each process of `footfall serve` holds

Nothing here fails for being slow: a target is "reached" or "missed", and the exit status is 0 either way. Compare the
figures of one run with one another; those of two machines, or of two runs beside other work, say little.
"""
