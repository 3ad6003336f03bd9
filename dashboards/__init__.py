"""trends -> people: the internal side, which reads trends and the live view and nothing finer.

The map, in the order of a question: `server` (the process), `app` (HTTP), `access` (who may ask),
`question` (what is asked), `stats` with `statements/` (the answer). Beside it: `sql`, analysts' SELECTs.
"""
