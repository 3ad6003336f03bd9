"""`footfall audit`: is what Footfall promises about privacy true of this installation, now?

Promises: each check looks at the real thing (tables as ClickHouse reports them, rows, bytes of files, modes, sockets,
the kernel's list of locks) and at the configuration only where there is nothing else to look at; what could not be
looked at is a finding; looking changes nothing but a scratch database, made and dropped by `schema`.

The map: `examine` runs the tables of checks, `check` is what they are made of.
- The store: `schema` (tables, columns, TTLs), `rows` (the k rule, rounding, retention), `values` (what looks like an
  identifier), `open_days` (ages, and what is left of days that were destroyed), `server` (logs of statements, sockets).
- The machine: `keys`, `spools`, `files` (modes), `machine` (swap, core dumps, encryption), `public_side`.

A row's number cannot be checked against people any more once they are gone: that is what `test_rollup` does, with an
oracle. What is left to see, and seen here, is the form that honest rows have and dishonest ones mostly lack.
"""
