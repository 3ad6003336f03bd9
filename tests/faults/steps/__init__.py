"""A state machine over the real spool, drainer and sealer, whose disk forgets: every step any order may come in.

Spools, `drainer.sqlite` and `drainer.id` lie on a simulated disk (tests/faults/power); the store is a real one, on
another machine as it were: it keeps its power, but its answers get lost, before or after it has done what was asked.
Clocks are set, so that days end within an example.

- `bench`: what all examples share: a disk, a store, and what they add up to.
- `account`: what an example has been told: acknowledged, refused, dropped, withdrawn.
- `world`: one machine with workers and a drainer, and a sealer beside the store; what can be done to it.
- `promises`: what must hold after each step.
- `machine`: the steps as rules of hypothesis, and how many are played.
- `shard`: some of them in a process of its own, with a disk and a store of its own; they are played side by side.
"""
