"""What this installation collects, told from the settings that it runs with: for people, for machines, and the opt-out.

Place: beside the data's way. Nothing here sees an event, and no request for these pages is counted or logged.

- `facts`: `Policy`, the one set of facts about a site, made from `Settings`. Page and JSON say nothing else.
- `collected`: what each field that may be stored is, and what becomes of it. `country_source`: whose country data.
- `opt_out`: the cookie that says no, where it can work, and what a page may say about it.
- `sentences` (with `languages/`, one TOML file each): what people read. A new language is a new file.
- `page` (with `policy.html`, `ask.html`, `frame.html`, `privacy.css`): the facts as a page.
- `machine`: the facts as JSON, its keys documented there.
- `endpoint`: the routes, and which site a request asks about.
"""
