"""trends -> people: the internal side, which reads trends and the live view and nothing finer.

The map, in the order of a question: `server` (the process), `app` (HTTP), `sign_in` (links, sessions, our own forms),
`access` with `role`, `users` and `people_file` (who may ask), `desk` (settings, people and store together), `question`
and `period` (what is asked), `stats` (the answer) with `shown_days`, `comparison`, `statement` and `statements/`,
`faults` (what goes wrong, in a sentence).

A page, from its numbers to its look: `pages` (the endpoints), `site_page` (all that a site's page says), `tiles` (its
numbers), `timeline` and `chart` (the curve), `panels` (the lists), `narrowing` (to one value), `rates`, `experiments`
and `declared_panels` (goals, funnels and variants), `smallest_group` (what is said of k), `day_or_week` (of either),
`reasons` (why requests are not counted), `waiting` and `snippet` (before the first event), `words` with `languages/`
(sentences, numbers and names in a reader's language), `layout` with `templates/` and `static/` (HTML, style, script).

Beside all that: `sql`, analysts' SELECTs; `demo/`, an installation to look at.
"""
