"""GET /privacy.json: the facts about one site, for machines. The keys are stable; a new one may be added, and a changed
meaning changes `format`.

- `format` 1. `software`: {`name`, `version` (null where it is not installed as a package)}
- `site`, `development` (true for localhost and *.test), `timezone` (whose days are counted), `sealed_every` "day" or
  "week" (from Monday on; what is said of a day then holds for a week)
- `purpose` "audience_measurement"
- `consent`: {`required` true, `sources`: of "field" (the page says so with each event) and "assumed" (the operator
  declared that pages load the counting only after consent), `policy_version` (that must have been consented to, or
  null), `refusals`: what wins over any consent, of "gpc", "dnt", "opt_out_cookie", "explicit"}
- `opt_out`: {`cookie`, `value`, `max_age_days`}
- `open_day`: {`fields`: [{`group`, `fields` (columns), `after_sealing` "groups" or "destroyed", `dimensions`}],
  `destroyed_after`: {`event` "sealed", `not_before` "end_of_day", `grace_minutes`, `at_most_days_on_collector`,
  `at_most_days_in_store`}}
- `keys`: {`stored_in` "memory", `destroyed_after`: {`event` "end_of_day", `grace_minutes`, `at_most_days` (that of a
  day already over when its first event came, which waits for its seal)}}
- `trends`: {`fields`: {table: columns}, `measures`, `dimensions`, `crossed` (of these, those of which every two are
  counted together), `k`, `k_counts` "networks" or "visitors", `level` "rounded", "exact" or "dp",
  `subtraction_can_isolate_people`, `live_view` (whether the day that is open is shown, too), `noise`: null but for
  level "dp", then {`of_each` "visitor_and_day" (a visitor is a browser in a network on this site), `epsilon`, `delta`
  (what all tables together cost at most), `totals`: {measure: the most that a visitor adds}, `values`: {dimension: in
  how many of its values a visitor is counted at most; of values there are visitors alone}}}
- `last_request`: {`fields`, `at_most_days`}: what is known of the site's last request, of nobody's in particular
- `withdrawals`: {`fields`, `at_most_days`}: what finds the events of somebody who asked for their deletion, until then
- `retention`: {`trends`, `hours`, `coverage`: each {"months": n} or {"days": n}}
- `never_kept`: names of what no field has room for. `kept_query_parameters`: {`as_source`, `in_path`}
- `readers` ["operator"], `recipients` [] (the software passes nothing on), `store` "embedded" or "clickhouse"
- `reporting_servers`: whether the site's own servers may report visits, too
- `country_source`: {`name`, `url`}
- `operator_source`: null where the operators of networks are not looked up, else {`name`, `url`} of the data
- `loyalty`: null, or, where browsers count for themselves whether a visit is the first of a day, week or month, what
  they keep and say: {`device_storage` (the name in the site's local storage), `device_keeps` "day_of_last_visit",
  `device_says` (one word, with the first view of a day)}
- `declared`: what this site counts besides: {`properties` (keys; of what a view or an event carries nothing else is
  kept), `goals`, `funnels`, `experiments` (names)}
"""

from __future__ import annotations

from collector.declared import Declared
from collector.loyalty import LOYALTIES, STORED_AS
from collector.noise import VALUES, VIEWS, VISITS, Noise
from collector.page import SOURCE_PARAMETERS
from collector.policy.collected import (
    LAST_REQUEST,
    MEASURES,
    MEASURES_WITH_NOISE,
    NEVER,
    TRENDS,
    WITHDRAWAL,
    kept_of_open_day,
)
from collector.policy.country_source import CountrySource
from collector.policy.facts import LAST_REQUEST_DAYS, OPT_OUT_DAYS, Policy, Term
from collector.policy.opt_out import NAME

FORMAT = 1


def document_of(policy: Policy) -> dict[str, object]:
    """`policy` as a JSON object, its keys as documented above."""
    return {
        "format": FORMAT,
        "software": {"name": "footfall", "version": policy.software_version},
        "site": policy.site,
        "development": policy.is_development,
        "timezone": policy.timezone,
        "sealed_every": policy.seal_every,
        "purpose": "audience_measurement",
        "consent": _consent(policy),
        "opt_out": {"cookie": NAME, "value": "1", "max_age_days": OPT_OUT_DAYS},
        "open_day": _open_day(policy),
        "keys": _keys(policy),
        "trends": _trends(policy),
        "last_request": {"fields": LAST_REQUEST, "at_most_days": LAST_REQUEST_DAYS},
        "withdrawals": {"fields": WITHDRAWAL, "at_most_days": policy.fail_safe_days},
        "retention": {
            "trends": _term(policy.retention.trends),
            "hours": _term(policy.retention.hours),
            "coverage": _term(policy.retention.coverage),
        },
        "never_kept": NEVER,
        "kept_query_parameters": {"as_source": sorted(SOURCE_PARAMETERS), "in_path": policy.allowed_parameters},
        "readers": ["operator"],
        "recipients": [],
        "store": policy.store,
        "reporting_servers": policy.has_reporting_servers,
        "country_source": _source(policy.country_source),
        "operator_source": _source(policy.operator_source) if policy.operator_source else None,
        "loyalty": _loyalty() if policy.loyalty else None,
        "declared": _declared(policy.declared),
    }


def _consent(policy: Policy) -> dict[str, object]:
    rules = policy.consent
    return {
        "required": True,
        "sources": [name for name, enabled in (("field", rules.field), ("assumed", rules.assumed)) if enabled],
        "policy_version": policy.policy_version,
        "refusals": ["gpc", *(["dnt"] if rules.respect_dnt else []), "opt_out_cookie", "explicit"],
    }


def _open_day(policy: Policy) -> dict[str, object]:
    fields = [
        {"group": kept.name, "fields": kept.fields, "after_sealing": kept.afterwards, "dimensions": kept.dimensions}
        for kept in kept_of_open_day(policy.noise)
    ]
    destroyed = {
        "event": "sealed",
        "not_before": "end_of_day",
        "grace_minutes": policy.grace_minutes,
        "at_most_days_on_collector": policy.fail_safe_days,
        "at_most_days_in_store": policy.open_days,
    }
    return {"fields": fields, "destroyed_after": destroyed}


def _keys(policy: Policy) -> dict[str, object]:
    destroyed = {"event": "end_of_day", "grace_minutes": policy.grace_minutes, "at_most_days": policy.fail_safe_days}
    return {"stored_in": "memory", "destroyed_after": destroyed}


def _trends(policy: Policy) -> dict[str, object]:
    return {
        "fields": dict(TRENDS),
        "measures": MEASURES_WITH_NOISE if policy.noise else MEASURES,
        "dimensions": [
            *(name for kept in kept_of_open_day(policy.noise) for name in kept.dimensions),
            *policy.declared.dimensions,
        ],
        "crossed": policy.crosses,
        "k": policy.k,
        "k_counts": "visitors" if policy.noise else f"{policy.distinct}s",
        "level": policy.level,
        "subtraction_can_isolate_people": policy.level == "exact",
        "live_view": policy.live_view,
        "noise": _noise(policy.noise) if policy.noise else None,
    }


def _noise(noise: Noise) -> dict[str, object]:
    return {
        "of_each": "visitor_and_day",
        "epsilon": noise.epsilon,
        "delta": noise.delta,
        "totals": {"visitors": 1, "visits": VISITS, "views": VIEWS},
        "values": {name: VALUES[name] for name in noise.dimensions},
    }


def _source(source: CountrySource) -> dict[str, object]:
    return {"name": source.name, "url": source.url}


def _loyalty() -> dict[str, object]:
    return {"device_storage": STORED_AS, "device_keeps": "day_of_last_visit", "device_says": LOYALTIES}


def _declared(declared: Declared) -> dict[str, object]:
    return {
        "properties": declared.properties,
        "goals": [goal.name for goal in declared.goals],
        "funnels": [funnel.name for funnel in declared.funnels],
        "experiments": [experiment.name for experiment in declared.experiments],
    }


def _term(term: Term) -> dict[str, int]:
    return {term.unit: term.number}
