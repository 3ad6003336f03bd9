"""spool -> open day -> trends: owns the schema and the store.

The map, in the order that the data takes:

- `front` (with `clickhouse_http`, `engine`, `table_files`): the embedded store, chDB behind ClickHouse's HTTP
  interface. `endpoint`, `store`: the one client, for it and for any ClickHouse server. `migrate`, `migrations/`:
  the schema.
- `backlog/`: a spool file as the drainer sees it. `drain`: batches into `open_events`, each exactly once. `presence`: a
  batch is there, and once. `coverage`: the spools' counters. `reconcile`: a damaged spool is saved and compared with
  the store.
  `watermark`: the drainer's promises about days that are over. `withdrawal` (with `withdrawal_record`): the open rows
  of who withdrew consent are deleted; `removal`: those of a site that is removed.
- `guard`, `lease`, `silence`: when sealing may go on. `seal`: an open day into trends, once. `decisions`: what it
  leaves beside them.
  `gathering`: the day's visits in the store's memory. `dimensions` (with `declared_dimensions`), `rollup`, `crosses`,
  `sql/`: what the trends are, and the k rule. `abreast`: two statements at a time. `noisy_sites`, `noisy_trends`,
  `noise`, `draw`: those of level dp, drawn once. `destroy`: nothing of the day is left.
  `fail_safe`: what the engine took by itself is counted. `retention`: trends whose time is over go.
- `live`: today, grouped and floored. `release`: what of it is shown, and when.
  `arrivals`: what became of each site's last request.

Beside the way: `process` (the two jobs in their loops), `ledger` (conservation), `sites` (a site removed whole),
`deletion` (rows of trends deleted to the last byte), `doctor` (does it work?), `audit/` (is it private?), `finding`
(what both of these tell).
"""
