"""hit -> event -> spool: the public side, which knows no ClickHouse.

The map, in the order that the data takes:

- `settings` (with `toml_table`, `declared`, `noise`): footfall.toml and the environment, frozen. `clock`, `days`,
  `calendar`: instants and local days. `zones`: the time zone that a site's days are counted in, and when a changed one
  takes effect.
- `beacon/`: the script that a page loads, which sends the events.
- `server`: the workers. `app`: one worker. `endpoints`, `bulk`: HTTP in and out. `body`: bodies within bounds.
  `withdrawal`: the request to delete a visitor's open rows.
- `hit`: a raw request, parsed. `pipeline`: the table of steps from a hit to an event, which are
  - `consent`, then `refuse`: may it be counted?
  - `address`, `country`, `network_operator` (with `places`): the truncated address, its country and operator.
  - `client` (with `user_agent`, `client_names`): browser, system, device, screen, language.
  - `page` (with `pages`): host name and scrubbed path. `source` (with `source_names`): where the visit came from.
    `loyalty`: what a device may say of earlier visits.
  - `keys`: the day's key, and the tokens it makes.
- `event`: exactly what may be stored.
- `committer`, `group`, `spool`: group commit to the durable queue on local disk. Only then comes the 202.
  `spool_file`, `spool_fault`: the file's format, and what goes wrong with it. `answers`: to idempotency keys
  (with `unsettled`: commits of which nobody knows yet whether they count).
  `failed_write`, `damage`: a spool file that is left, as a write into it failed or bytes are lost. `salvage` (with
  `sqlite_image`): what can be read of one into a fresh file. `expiry`, `expired_rows`: what waits past the fail-safe
  goes. `arrivals`: each site's last request, for a page that waits for one.

Beside the way: `fault` (faults that a person can mend), `folders` (names that outlive a power cut), `startup` (what is
looked at before anything runs), `process` (no core dumps), `supervisor` (keeps processes running), `ingest_token`
(tokens for `/api/events`), `data/` (countries and sources, and how these files are built), `policy/` (what is
collected, told to visitors, and the opt-out).
"""
