"""Faults on purpose, and what became of every acknowledged event: the proof behind docs/durability.md.

Each test file is one kind of fault. Its short form is in `make test`; its full form is marked `soak`, prints a table
and records it in docs/figures, from which `python -m tests.faults.document` writes the tables of docs/durability.md.

- `figures`: a table of a fault's rounds: lost, doubled, kept too long. `document`: those tables, in docs/durability.md.
- `accounting`: what senders know held against what an installation has.
- `test_kills` (`strikes`: what is killed or restarted), `test_upgrade`: processes that end, and come back as others.
- `power/`: a disk that loses its power. `test_power_cuts`, `test_state_machine` (`steps/`), `test_order_of_syncs`: what
  survives it, and why.
- `test_disk` (`disk`, `draining`), `test_failed_syncs`: disks that are full, fail, are slow or read-only.
  `test_corruption` (`damage`): bytes of spool files that are not what was written.
- `test_store` (`store_proxy`), `test_store_down`, `test_backlog_of_millions` (`flowing`): stores that are away, fail,
  or answer what is not true. `test_absent_drainer`, `test_two_drainers`: none, and one too many.
- `test_time` (`timeline`), `test_clock_jumps`, `test_far_days`, `test_late_drainer`, `test_zone_change` (`own_clock`
  with `clocks/`, `clocked_store`): clocks and time zones that are set, and who comes back late.
- `test_overload` (`crowd`), `test_day_of_traffic`: more than it can take, and a day in twenty minutes.
"""
