"""A disk that loses its power: what was not synced is gone, in part, or there in another order.

- `disk`: the model, without any system call: what is seen while the power is on, what is on the medium, and what a cut
  leaves of the difference.
- `mount`: the model as a FUSE file system in a process of its own, with a door for the switch.
- `switch`: starts that process, cuts the power and gives it back.
"""
